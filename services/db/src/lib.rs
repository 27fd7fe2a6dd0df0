//! The database manager (port 8005): the only way to the database for executor, scheduler and notification (internals §1.5), the relay that
//! brings accepted runs to RabbitMQ, and the sweeper that takes runs from executors that are gone (design §6).

mod agents;
mod dead;
mod doorbell;
mod errors;
mod farewell;
mod instruments;
mod listen;
mod manager;
mod migrate;
mod relay;
mod reviews;
mod schema;
mod sweeper;

use std::sync::Arc;
use std::time::Duration;

use blocks::Registry;
use bus::amqp::Publisher;
use bus::amqp::topology::Topology;
use bus::events::EventBus;
use model::GraphExecId;
use runtime::{Health, Metrics, Settings, Shutdown};
use store::Store;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use vault::Credentials;

use crate::doorbell::Doorbell;
use crate::instruments::Instruments;
use crate::manager::Manager;
use crate::relay::Relay;

pub use crate::dead::{list_dead, redrive, redrive_all};
pub use crate::migrate::migrate;

/// How long the tasks may take to end after the last request.
const FAREWELL: Duration = Duration::from_secs(3);

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    EncryptionKey(#[from] vault::KeyError),
    #[error("the database was not there within {seconds} s: {cause}")]
    NoDatabase { seconds: u64, cause: store::Error },
    #[error("stopped before it was done")]
    Stopped,
    #[error("run {run} could not be driven again: {cause}")]
    Redrive { run: GraphExecId, cause: submit::SubmitError },
    #[error("{failed} of {of} runs could not be driven again; the others were")]
    SomeRedrives { failed: usize, of: usize },
    #[error("the server failed: {0}")]
    Server(#[from] std::io::Error),
}

/// Serves until the shutdown; `registry` holds the blocks that graphs may have. Starts without PostgreSQL and RabbitMQ and waits for them; `/readyz` says for what.
pub async fn run(settings: Settings, registry: Arc<Registry>, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let lease = Duration::from_secs(settings.executor.lease_seconds);
    let store = Store::connect(&settings.database.url, settings.database.connection_limit)?
        .with_lease(lease)
        .with_max_attempts(settings.executor.max_attempts)
        .with_credits(submit::credit_rules(&settings.credits));
    let health = Health::new(&shutdown);
    let metrics = Metrics::new();
    let instruments = Instruments::new(&metrics);
    let doorbell = Doorbell::new(&shutdown);
    let credentials = Credentials::new(store.clone(), settings.auth.encryption_key.expose())?;
    let blocks = manager::io_blocks(&registry);
    let manager = Manager::new(
        settings.clone(),
        store.clone(),
        registry,
        credentials,
        instruments.clone(),
        doorbell.clone(),
    );

    let publisher = Publisher::new(&settings, "database manager", &[Topology::Executions]);
    let nudged = [Arc::new(Notify::new()), Arc::new(Notify::new())];
    let [relay_nudge, farewell_nudge] = nudged.clone();
    let relay = Relay::new(store.clone(), publisher, instruments.clone(), relay_nudge);
    let events = EventBus::start(&settings);
    let tasks = [
        tokio::spawn(schema::watch(settings.clone(), store.clone(), health.check("database"), shutdown.clone())),
        tokio::spawn(listen::run(store.clone(), nudged, doorbell, shutdown.clone())),
        tokio::spawn(relay.run(shutdown.clone())),
        tokio::spawn(farewell::run(store.clone(), events, blocks, farewell_nudge, shutdown.clone())),
        tokio::spawn(sweeper::run(store.clone(), lease, instruments.clone(), shutdown.clone())),
        tokio::spawn(sweeper::alarms(store.clone(), instruments, shutdown.clone())),
    ];

    let mut router = rpc::services::database_manager_router(Arc::new(manager), &settings, &health);
    if settings.enable_metrics {
        router = router.merge(metrics.router());
    }
    let served = runtime::serve::http(listener, router, shutdown.clone()).await;
    shutdown.trigger();
    let ended = async {
        for task in tasks {
            // A panic in a task was logged where it happened.
            let _ = task.await;
        }
        store.close().await;
    };
    if tokio::time::timeout(FAREWELL, ended).await.is_err() {
        tracing::warn!("ending with work in flight: what is not committed is done again");
    }
    Ok(served?)
}
