//! The executor: claims runs, runs their nodes, and journals what happens (design §6).
//!
//! ```text
//!  bus ──bell──▶ intake ──claim──▶ floor ──one task a run──▶ task ◀─▶ engine::run::Run
//!                  ▲                                          │  └──▶ node (one task each, panic and time boundary)
//!                lease                                     journal ──▶ database manager ──▶ events, notification
//! ```
//!
//! The database decides who owns a run and what happened to it; this process can vanish at any line.

mod backlog;
mod charge;
mod doorbell;
mod events;
mod floor;
mod inbox;
mod intake;
mod journal;
mod lease;
mod ledger;
mod metrics;
mod node;
mod notice;
mod parking;
mod plans;
mod platform;
mod pulse;
mod retry;
mod shift;
mod size;
mod task;
#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use blocks::{Outside, Registry};
use bus::events::EventBus;
use rpc::services::DatabaseManagerClient;
use runtime::{Health, Metrics, Settings, Shutdown};
use tokio::net::TcpListener;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use uuid::Uuid;

use crate::charge::Cashier;
use crate::events::Tell;
use crate::intake::Intake;
use crate::journal::Journal;
use crate::lease::Terms;
use crate::ledger::{Ledger, Remote};
use crate::metrics::{ExecutorMetrics, WorkMetrics};
use crate::plans::Plans;
use crate::pulse::Pulse;
use crate::shift::Shift;
use crate::task::{Deps, LARGEST_STEP, Limits};

/// Cancels and renewals that may wait for the intake.
const INBOX: usize = 256;
/// Notifications that may wait for RabbitMQ.
const NOTICES: usize = 1024;

#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("the metrics server ended, or a thread could not be started: {0}")]
    Serve(#[from] std::io::Error),
    #[error("no connection can be made to the outside: {0}")]
    Outside(std::io::Error),
}

/// Files of runs that nobody has touched for so long are removed at start: their runs have ended, here or elsewhere.
const FORGOTTEN_AFTER: Duration = Duration::from_secs(7 * 24 * 3600);

/// Works until the shutdown, then hands over what is unfinished. `registry` holds the blocks that it can run.
pub async fn run(settings: Settings, registry: Arc<Registry>, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let outside = Outside::new(&settings).map_err(|error| Error::Outside(std::io::Error::other(error)))?;
    if let Err(error) = outside.files().forget_older(FORGOTTEN_AFTER).await {
        tracing::warn!(%error, "the files of earlier runs cannot be looked through");
    }
    let metrics = Metrics::new();
    let health = Health::new(&shutdown);
    // Metrics, lease and journal are needed while runs are handed over.
    let farewell = Shutdown::new();
    let server = tokio::spawn(runtime::serve::http(listener, metrics::router(&metrics, &health), farewell.clone()));

    let owner = Uuid::now_v7();
    let database = DatabaseManagerClient::new(&settings).without_retries();
    let ledger: Arc<dyn Ledger> = Arc::new(Remote::new(database.clone()));
    let terms = Terms::of(Duration::from_secs(settings.executor.lease_seconds.max(1)));
    let (clock, lease) = lease::lease(terms);
    let (renewals_sender, renewals) = mpsc::channel(INBOX);
    tokio::spawn(lease::keep(
        terms,
        ledger.clone(),
        owner,
        clock.clone(),
        renewals_sender,
        farewell.clone(),
    ));

    let (cancels_sender, cancels) = mpsc::channel(INBOX);
    let (vacancy, vacant) = watch::channel(false);
    let bell = Arc::new(Notify::new());
    let broker = health.check("rabbitmq");
    tokio::spawn(doorbell::listen(database, owner, bell.clone(), vacant.clone(), shutdown.clone()));
    tokio::spawn(inbox::runs(settings.clone(), bell.clone(), vacant, broker, shutdown.clone()));
    tokio::spawn(inbox::cancels(settings.clone(), cancels_sender, farewell.clone()));
    let (notices, notices_queue) = mpsc::channel(NOTICES);
    let outbox = tokio::spawn(notice::publish(settings.clone(), notices_queue, farewell.clone()));

    let bus = EventBus::start(&settings);
    let work_metrics = WorkMetrics::new(&metrics);
    let journal = Journal::start(ledger.clone(), owner, work_metrics.clone(), farewell.clone());
    let shift = Shift {
        deps: Arc::new(deps(
            &settings,
            Tools {
                registry: registry.clone(),
                outside,
            },
            ledger.clone(),
            journal,
            lease,
            &bus,
            work_metrics,
        )),
        plans: Plans::new(ledger.clone(), registry),
        cashier: Cashier::of(&settings, &ledger, &notices),
        notices,
    };
    let _pulse = Pulse::start()?;
    let intake = Intake {
        ledger: ledger.clone(),
        owner,
        owner_name: host_name(),
        slots: settings.executor.num_graph_workers as usize,
        shift: Arc::new(shift),
        clock,
        metrics: ExecutorMetrics::new(&metrics),
        database: health.check("database_manager"),
        bell,
        vacancy,
        cancels,
        renewals,
    };
    intake.run(shutdown).await;
    farewell.trigger();
    // What is left takes bounded time: the last events, the last notifications and the last scrape.
    bus.flush().await;
    let _ = outbox.await;
    server.await.map_err(std::io::Error::other)??;
    Ok(())
}

/// What blocks are run with.
struct Tools {
    registry: Arc<Registry>,
    outside: Outside,
}

fn deps(
    settings: &Settings,
    tools: Tools,
    ledger: Arc<dyn Ledger>,
    journal: Journal,
    lease: lease::Lease,
    bus: &EventBus,
    metrics: WorkMetrics,
) -> Deps {
    let limits = Limits {
        nodes_per_run: settings.executor.max_concurrent_nodes_per_run as usize,
        node_timeout: Duration::from_secs(settings.executor.node_timeout_seconds),
        drain: Duration::from_secs(settings.executor.drain_seconds),
        step: LARGEST_STEP,
    };
    let bus = bus.clone();
    let tell: Tell = Arc::new(move |placed| bus.publish(&placed.event, Some(placed.seq), Some(placed.prev)));
    Deps {
        registry: tools.registry,
        outside: tools.outside,
        ledger,
        journal,
        tell,
        nodes: Arc::new(Semaphore::new(settings.executor.max_concurrent_nodes as usize)),
        lease,
        limits,
        metrics,
    }
}

/// The pod's name in a cluster: what `lease` rows show to people.
fn host_name() -> String {
    std::env::var("HOSTNAME")
        .ok()
        .filter(|name| !name.is_empty())
        .unwrap_or_else(|| format!("executor-{}", std::process::id()))
}
