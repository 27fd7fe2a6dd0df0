//! PostgreSQL, Redis and RabbitMQ as child processes: for tests, and for a laptop that has none of them running.
//!
//! Everything listens on loopback ports that were free, lives in one directory, and ends with the process that
//! started it, however that ends.

mod find;
mod postgres;
pub mod process;
mod rabbitmq;
mod redis;
pub mod testing;

use std::path::{Path, PathBuf};

use process::{Guardian, Process, free_ports};

/// Why a service could not be started, and what to do.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("{program} is not installed: run `apt-get install -y --no-install-recommends {package}`, or put it on the PATH")]
    Missing { program: &'static str, package: &'static str },
    #[error("{what} in {path}: {source}", path = .path.display())]
    Directory {
        what: &'static str,
        path: PathBuf,
        source: std::io::Error,
    },
    #[error("{program} could not be run: {source}")]
    Spawn { program: String, source: std::io::Error },
    #[error("rabbitmqctl failed: {0}")]
    Control(String),
    #[error("{program} ended instead of starting; the end of its log ({path}):\n{tail}", path = .log.display())]
    Ended { program: &'static str, log: PathBuf, tail: String },
    #[error("{program} was not ready within {seconds} s; the end of its log ({path}):\n{tail}", path = .log.display())]
    TooSlow {
        program: &'static str,
        seconds: u64,
        log: PathBuf,
        tail: String,
    },
}

/// How the services are set up.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// Data survives a crash of the machine. Off, PostgreSQL runs without fsync: much faster, for tests only.
    pub durable: bool,
}

/// The three services, running. Dropping it kills them; [`Stack::stop`] ends them in order.
pub struct Stack {
    postgres: Process,
    redis: Process,
    rabbitmq: rabbitmq::RabbitMq,
    pub database_url: String,
    pub redis_url: String,
    pub amqp_url: String,
    /// RabbitMQ's management API, with credentials.
    pub rabbitmq_api_url: String,
    directory: PathBuf,
    options: Options,
    ports: Ports,
    guardian: Guardian,
}

/// A service that a test may kill and start again.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Postgres,
    Redis,
    RabbitMq,
}

/// Where the services listen, also after they were started again.
#[derive(Debug, Clone, Copy)]
struct Ports {
    postgres: u16,
    redis: u16,
    rabbitmq: [u16; 4],
}

impl Stack {
    /// Starts all three in `dir`, re-using the data that is there.
    pub async fn start(dir: &Path, options: Options) -> Result<Self, Error> {
        runtime::install_tls_provider();
        let mut guardian = Guardian::start()?;
        let [postgres, redis, amqp, management, distribution, names] = free_ports()?;
        let ports = Ports {
            postgres,
            redis,
            rabbitmq: [amqp, management, distribution, names],
        };
        // RabbitMQ takes longest: all three start at once.
        let rabbitmq = rabbitmq::spawn(&dir.join("rabbitmq"), ports.rabbitmq, &mut guardian)?;
        let redis = redis::spawn(&dir.join("redis"), ports.redis, &mut guardian)?;
        let postgres = postgres::spawn(&dir.join("postgres"), ports.postgres, options, &mut guardian).await?;
        let (mut rabbitmq, mut redis, mut postgres) = (rabbitmq, redis, postgres);
        let database_url = postgres.ready().await?;
        let redis_url = redis.ready().await?;
        let (amqp_url, rabbitmq_api_url) = rabbitmq.ready().await?;
        Ok(Self {
            postgres: postgres.process,
            redis: redis.process,
            rabbitmq,
            database_url,
            redis_url,
            amqp_url,
            rabbitmq_api_url,
            directory: dir.to_owned(),
            options,
            ports,
            guardian,
        })
    }

    /// Where a stack in `dir` has PostgreSQL's data.
    pub fn postgres_data(dir: &Path) -> PathBuf {
        postgres::data(&dir.join("postgres"))
    }

    /// What PostgreSQL has said since it was started.
    pub fn postgres_log(&self) -> &Path {
        self.postgres.log()
    }

    /// SIGKILL, as a crash of the machine would end it.
    pub async fn kill(&mut self, part: Part) {
        match part {
            Part::Postgres => self.postgres.stop("KILL").await,
            Part::Redis => self.redis.stop("KILL").await,
            Part::RabbitMq => self.rabbitmq.discard().await,
        }
    }

    /// Starts a killed service again, on the same port and with the data that it left.
    pub async fn restart(&mut self, part: Part) -> Result<(), Error> {
        let (directory, guardian) = (&self.directory, &mut self.guardian);
        match part {
            Part::Postgres => {
                let mut starting = postgres::spawn(&directory.join("postgres"), self.ports.postgres, self.options, guardian).await?;
                starting.ready().await?;
                self.postgres = starting.process;
            }
            Part::Redis => {
                let mut starting = redis::spawn(&directory.join("redis"), self.ports.redis, guardian)?;
                starting.ready().await?;
                self.redis = starting.process;
            }
            Part::RabbitMq => {
                self.rabbitmq = rabbitmq::spawn(&directory.join("rabbitmq"), self.ports.rabbitmq, guardian)?;
                self.rabbitmq.ready().await?;
            }
        }
        Ok(())
    }

    /// Puts RabbitMQ's memory alarm in force, which blocks every connection that publishes, or ends it.
    ///
    /// # Errors
    /// When `rabbitmqctl` does not succeed.
    pub async fn set_broker_alarm(&self, on: bool) -> Result<(), Error> {
        rabbitmq::set_memory_watermark(&self.directory.join("rabbitmq"), self.ports.rabbitmq, if on { "0" } else { "0.4" }).await
    }

    /// The addresses as settings of the platform.
    pub fn pairs(&self) -> Vec<(&'static str, String)> {
        vec![
            ("DATABASE_URL", self.database_url.clone()),
            ("REDIS_URL", self.redis_url.clone()),
            ("RABBITMQ_URL", self.amqp_url.clone()),
        ]
    }

    /// Ends the services at once: their data is thrown away.
    pub async fn discard(mut self) {
        tokio::join!(self.postgres.stop("KILL"), self.redis.stop("KILL"), self.rabbitmq.discard());
        self.guardian.dismiss().await;
    }

    /// Ends the services so that their data is complete. Takes up to about ten seconds, RabbitMQ being the slowest.
    pub async fn stop(mut self) {
        tokio::join!(self.postgres.stop("INT"), self.redis.stop("TERM"), self.rabbitmq.stop());
        self.guardian.dismiss().await;
    }
}

pub(crate) fn make_directory(path: &Path) -> Result<(), Error> {
    std::fs::create_dir_all(path).map_err(|source| Error::Directory {
        what: "cannot create the data directory",
        path: path.to_owned(),
        source,
    })
}

pub(crate) fn write_file(path: &Path, text: &str) -> Result<(), Error> {
    std::fs::write(path, text).map_err(|source| Error::Directory {
        what: "cannot write the configuration",
        path: path.to_owned(),
        source,
    })
}
