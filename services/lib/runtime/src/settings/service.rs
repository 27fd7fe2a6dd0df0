//! Where the services are found (internals, process map and §1.4).

use super::{RabbitMqSettings, RedisSettings, RpcSettings};

/// The six processes, by the reference's class names.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Service {
    AgentServer,
    WebsocketServer,
    ExecutionManager,
    Scheduler,
    DatabaseManager,
    NotificationManager,
}

impl Service {
    /// The service that a binary runs; none for `app`, which runs them all.
    pub fn from_binary(name: &str) -> Option<Self> {
        match name {
            "rest" => Some(Self::AgentServer),
            "ws" => Some(Self::WebsocketServer),
            "executor" => Some(Self::ExecutionManager),
            "scheduler" => Some(Self::Scheduler),
            "db" => Some(Self::DatabaseManager),
            "notification" => Some(Self::NotificationManager),
            _ => None,
        }
    }

    pub(super) fn base_url(self, rpc: &RpcSettings) -> String {
        let port = match self {
            Self::AgentServer => rpc.ports.agent_api,
            Self::WebsocketServer => rpc.ports.websocket,
            Self::ExecutionManager => rpc.ports.execution_manager,
            Self::Scheduler => rpc.ports.scheduler,
            Self::DatabaseManager => rpc.ports.database_api,
            Self::NotificationManager => rpc.ports.notification,
        };
        let target = self.host(rpc);
        let own = rpc.own.map(|own| own.host(rpc));
        let default = dialable(&rpc.bind_host);
        // Two services in one container: the name that others use for it need not resolve inside.
        let host = if own == Some(target) && target != default { "localhost" } else { target };
        if host.contains(':') {
            format!("http://[{host}]:{port}")
        } else {
            format!("http://{host}:{port}")
        }
    }

    fn host(self, rpc: &RpcSettings) -> &str {
        let named = match self {
            Self::ExecutionManager => &rpc.execution_manager_host,
            Self::Scheduler => &rpc.scheduler_host,
            Self::DatabaseManager => &rpc.database_manager_host,
            Self::NotificationManager => &rpc.notification_host,
            Self::AgentServer | Self::WebsocketServer => &None,
        };
        named.as_deref().unwrap_or_else(|| dialable(&rpc.bind_host))
    }
}

/// `PYRO_HOST` is both what servers bind and the default target; the wildcard address cannot be a target.
fn dialable(bind_host: &str) -> &str {
    match bind_host {
        "0.0.0.0" | "::" | "[::]" => "localhost",
        other => other,
    }
}

impl RedisSettings {
    pub fn url(&self) -> String {
        if !self.full_url.is_empty() {
            return self.full_url.clone();
        }
        let login = if self.password.is_empty() {
            String::new()
        } else {
            format!(":{}@", escape(self.password.expose()))
        };
        format!("redis://{login}{}:{}/0", bracketed(&self.host), self.port)
    }
}

impl RabbitMqSettings {
    /// Strictly read, `amqp://host/` means the virtual host with the empty name, which nobody has: it is taken as `/`.
    pub fn url(&self) -> String {
        if !self.full_url.is_empty() {
            let (address, query) = self
                .full_url
                .split_once('?')
                .map_or((self.full_url.as_str(), ""), |(address, query)| (address, query));
            let without_vhost = address
                .strip_suffix('/')
                .filter(|rest| rest.split_once("://").is_some_and(|(_, host)| !host.contains('/')));
            return match without_vhost {
                Some(rest) if query.is_empty() => format!("{rest}/%2f"),
                Some(rest) => format!("{rest}/%2f?{query}"),
                None => self.full_url.clone(),
            };
        }
        format!(
            "amqp://{}:{}@{}:{}/{}",
            escape(&self.user),
            escape(self.password.expose()),
            bracketed(&self.host),
            self.port,
            escape(&self.vhost)
        )
    }
}

pub(super) fn bracketed(host: &str) -> String {
    if host.contains(':') && !host.starts_with('[') {
        format!("[{host}]")
    } else {
        host.to_owned()
    }
}

/// Percent-encodes everything that could end a user name, password or path segment.
pub(super) fn escape(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' => char::from(byte).to_string(),
            other => format!("%{other:02X}"),
        })
        .collect()
}
