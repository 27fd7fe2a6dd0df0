//! The scheduler service (internals §1.6, §4): schedules of users, submission of runs, and the progress of submitted runs.
//!
//! Postgres is the truth about runs, and about schedules where no Kubernetes is; RabbitMQ and Redis carry hints from here. So Postgres alone
//! decides whether the service is ready.

pub mod cron;
mod decide;
mod error;
mod fire;
mod hints;
mod metrics;
mod progress;
mod reaction;
mod retention;
mod runs;
pub mod schedules;
mod service;

use std::sync::Arc;
use std::time::Duration;

use blocks::{Block, Registry};
use engine::block::{BlockDescriptor, BlockKind};
use model::BlockId;
use rpc::services::scheduler_router;
use runtime::health::Check;
use runtime::retry::retry_forever;
use runtime::settings::ScheduleStoreKind;
use runtime::{Health, Metrics, Settings, Shutdown};
use store::{IoBlocks, Store};
use submit::Submitter;
use tokio::net::TcpListener;
use tokio::sync::Notify;
use vault::Credentials;

pub use error::{Error, ScheduleError};

use crate::fire::Firing;
use crate::hints::CancelHints;
use crate::metrics::SchedulerMetrics;
use crate::progress::Progress;
use crate::runs::Runs;
use crate::schedules::{KubernetesSchedules, PostgresSchedules, ScheduleStore};
use crate::service::SchedulerService;

/// How often readiness looks at the database.
const BETWEEN_LOOKS: Duration = Duration::from_secs(2);
/// How long what is being written may take after the last call was answered.
const LAST_WRITES: Duration = Duration::from_secs(2);
/// How long a database that does not answer any more is waited for at the end.
const LAST_WORDS: Duration = Duration::from_secs(1);

/// Serves until the shutdown; `catalog` holds the blocks that graphs may have. What is absent is waited for; calls that need it fail meanwhile.
pub async fn run(settings: Settings, catalog: Arc<Registry>, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let store = Store::connect(&settings.database.url, settings.database.connection_limit)?;
    let credentials = Credentials::new(store.clone(), settings.auth.encryption_key.expose())?;
    let blocks = io_blocks(&catalog);
    let submitter = Submitter::new(store.clone(), catalog.clone()).with_run_deadline(settings.executor.run_deadline());
    let changed = Arc::new(Notify::new());
    let schedules: Arc<dyn ScheduleStore> = match settings.scheduler.store {
        ScheduleStoreKind::Postgres => Arc::new(PostgresSchedules::new(store.clone(), changed.clone())),
        ScheduleStoreKind::Kubernetes => Arc::new(KubernetesSchedules::connect(store.clone(), &settings.scheduler).await?),
    };
    let registry = Metrics::new();
    let metrics = SchedulerMetrics::new(&registry);
    let service = SchedulerService {
        store: store.clone(),
        submitter: submitter.clone(),
        schedules: schedules.clone(),
        runs: Runs {
            store: store.clone(),
            submitter: submitter.clone(),
            schedules: schedules.clone(),
            hints: CancelHints::start(&settings, &shutdown),
            service_user: settings.platform_service_user_id,
            metrics: metrics.clone(),
        },
        credentials: credentials.clone(),
        progress: Progress::start(store.clone(), catalog, blocks, metrics.clone(), &settings, &shutdown),
    };
    let firing = Firing {
        store: store.clone(),
        submitter,
        schedules,
        changed,
        metrics,
    };
    let health = Health::new(&shutdown);
    let work = tokio::spawn(work(firing, credentials, settings.clone(), health.check("database"), shutdown.clone()));
    let mut router = scheduler_router(Arc::new(service), &settings, &health);
    if settings.enable_metrics {
        router = router.merge(registry.router());
    }
    runtime::serve::http(listener, router, shutdown).await?;
    // Runs that are being started are in the database in a moment; a claim that is left behind runs out by itself.
    let _ = tokio::time::timeout(LAST_WRITES, work).await;
    let _ = tokio::time::timeout(LAST_WORDS, store.close()).await;
    Ok(())
}

/// What goes on besides the calls, once the database has its schema.
async fn work(firing: Firing, credentials: Credentials, settings: Settings, database: Check, shutdown: Shutdown) {
    if look(&firing.store, &database, &shutdown).await.is_none() {
        return;
    }
    match credentials.reseal().await {
        Ok(0) => {}
        Ok(count) => tracing::info!(count, "credentials are sealed with the present key now"),
        Err(error) => tracing::warn!(%error, "credentials of former keys could not be sealed with the present one; the next start tries again"),
    }
    let watching = watch_database(firing.store.clone(), database, shutdown.clone());
    let forgetting = retention::run(firing.store.clone(), settings.scheduler.clone(), shutdown.clone());
    let firing = async {
        // In a cluster the operator fires.
        if settings.scheduler.store == ScheduleStoreKind::Postgres {
            firing.run(shutdown).await;
        }
    };
    tokio::join!(watching, forgetting, firing);
}

/// Keeps readiness up to date, so that asking for it costs nothing and tells the reason at once.
async fn watch_database(store: Store, check: Check, shutdown: Shutdown) {
    while look(&store, &check, &shutdown).await.is_some() {
        tokio::select! {
            () = tokio::time::sleep(BETWEEN_LOOKS) => {}
            () = shutdown.cancelled() => return,
        }
    }
}

/// Returns once the database can be used; None when the shutdown comes first.
async fn look(store: &Store, check: &Check, shutdown: &Shutdown) -> Option<()> {
    let look = || async {
        let outcome = store.check_schema().await;
        match &outcome {
            Ok(()) => check.ok(),
            Err(error) => check.fail(error.to_string()),
        }
        outcome
    };
    retry_forever("PostgreSQL", shutdown, look).await
}

/// The blocks that carry a run's inputs and outputs.
fn io_blocks(registry: &Registry) -> IoBlocks {
    let of = |wanted: fn(BlockKind) -> bool| -> Vec<BlockId> {
        let descriptors = registry.iter().map(Block::descriptor);
        descriptors
            .filter(|block: &&BlockDescriptor| wanted(block.kind))
            .map(|block| block.id)
            .collect()
    };
    IoBlocks {
        input: of(|kind| kind == BlockKind::Input),
        output: of(|kind| kind == BlockKind::Output),
        webhook: of(|kind| matches!(kind, BlockKind::Webhook | BlockKind::WebhookManual)),
    }
}
