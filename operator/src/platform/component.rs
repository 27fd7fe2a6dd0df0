//! The six services and three data services: names, ports, images.

use crds::platform::{Component as Options, Components};

/// One of the six services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Component {
    DatabaseManager,
    Executor,
    Scheduler,
    Notification,
    Rest,
    Websocket,
}

impl Component {
    pub const ALL: [Self; 6] = [
        Self::DatabaseManager,
        Self::Executor,
        Self::Scheduler,
        Self::Notification,
        Self::Rest,
        Self::Websocket,
    ];

    /// Suffix of its objects' names, and its `app.kubernetes.io/component`.
    pub fn name(self) -> &'static str {
        match self {
            Self::DatabaseManager => "database-manager",
            Self::Executor => "executor",
            Self::Scheduler => "scheduler",
            Self::Notification => "notification",
            Self::Rest => "rest",
            Self::Websocket => "websocket",
        }
    }

    /// Name of its image, which is that of its binary.
    pub fn image(self) -> &'static str {
        match self {
            Self::DatabaseManager => "db",
            Self::Executor => "executor",
            Self::Scheduler => "scheduler",
            Self::Notification => "notification",
            Self::Rest => "rest",
            Self::Websocket => "ws",
        }
    }

    /// The contract's port (internals §6.1).
    pub fn port(self) -> i32 {
        match self {
            Self::Websocket => 8001,
            Self::Executor => 8002,
            Self::Scheduler => 8003,
            Self::DatabaseManager => 8005,
            Self::Rest => 8006,
            Self::Notification => 8007,
        }
    }

    /// The contract's variable that names its host (internals §1.4).
    pub fn host_variable(self) -> &'static str {
        match self {
            Self::DatabaseManager => "DATABASEMANAGER_HOST",
            Self::Executor => "EXECUTIONMANAGER_HOST",
            Self::Scheduler => "SCHEDULER_HOST",
            Self::Notification => "NOTIFICATIONMANAGER_HOST",
            Self::Rest => "AGENTSERVER_HOST",
            Self::Websocket => "WEBSOCKETSERVER_HOST",
        }
    }

    /// Which data services it talks to.
    pub fn uses(self, store: DataStore) -> bool {
        match store {
            DataStore::Postgres => matches!(self, Self::DatabaseManager | Self::Scheduler | Self::Rest),
            DataStore::Redis => !matches!(self, Self::Notification),
            DataStore::RabbitMq => !matches!(self, Self::Websocket),
        }
    }

    /// Seals or opens credentials of users.
    pub fn keeps_credentials(self) -> bool {
        matches!(self, Self::Rest | Self::Scheduler | Self::DatabaseManager)
    }

    /// Signs the links in mails that switch them off, or checks what such a link has.
    pub fn signs_links(self) -> bool {
        matches!(self, Self::Rest | Self::Notification)
    }

    /// Gives others addresses of the API from outside: of uploads, webhooks and what a link in a mail does.
    pub fn leads_to_the_api(self) -> bool {
        matches!(self, Self::Rest | Self::Notification)
    }

    /// Gives others addresses of pages from outside: of shared runs, the account's settings and what a balance is filled up with.
    pub fn leads_to_pages(self) -> bool {
        matches!(self, Self::Rest | Self::Notification | Self::Executor)
    }

    /// Whether it checks users' tokens.
    pub fn checks_users(self) -> bool {
        matches!(self, Self::Rest | Self::Websocket)
    }

    /// Seconds between the wish that a pod goes and SIGKILL. The executor lets nodes with outside effects finish; the others serve on for a
    /// moment before SIGTERM (`build::pod::linger`).
    pub fn termination_grace(self) -> i64 {
        match self {
            Self::Executor => 135,
            _ => 30,
        }
    }

    /// What the specification says about it.
    pub fn options(self, components: &Components) -> &Options {
        match self {
            Self::DatabaseManager => &components.database_manager,
            Self::Executor => &components.executor,
            Self::Scheduler => &components.scheduler,
            Self::Notification => &components.notification,
            Self::Rest => &components.rest,
            Self::Websocket => &components.websocket,
        }
    }
}

/// One of the three data services.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum DataStore {
    Postgres,
    Redis,
    RabbitMq,
}

impl DataStore {
    pub const ALL: [Self; 3] = [Self::Postgres, Self::Redis, Self::RabbitMq];

    /// Suffix of its objects' names, its field in the specification, and its `app.kubernetes.io/component`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Postgres => "postgres",
            Self::Redis => "redis",
            Self::RabbitMq => "rabbitmq",
        }
    }

    pub fn port(self) -> i32 {
        match self {
            Self::Postgres => 5432,
            Self::Redis => 6379,
            Self::RabbitMq => 5672,
        }
    }

    /// The variable that carries its address and login.
    pub fn url_variable(self) -> &'static str {
        match self {
            Self::Postgres => "DATABASE_URL",
            Self::Redis => "REDIS_URL",
            Self::RabbitMq => "RABBITMQ_URL",
        }
    }

    /// What an address of it looks like, for messages.
    pub fn url_example(self) -> &'static str {
        match self {
            Self::Postgres => "postgresql://user:password@host:5432/database",
            Self::Redis => "redis://:password@host:6379",
            Self::RabbitMq => "amqp://user:password@host:5672/",
        }
    }
}
