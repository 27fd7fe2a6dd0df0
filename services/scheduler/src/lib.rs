//! The scheduler service (internals §1.6, §4): schedules of users, submission of runs, and the progress of submitted runs.
//!
//! Postgres is the truth about runs, and about schedules where no Kubernetes is; RabbitMQ and Redis carry hints from here. So Postgres alone
//! decides whether the service is ready.

pub mod cron;
mod error;
mod fire;
mod hints;
mod progress;
mod reaction;
mod retention;
mod runs;
pub mod schedules;
mod service;

use std::sync::Arc;

use blocks::{Block, Registry};
use bus::events::EventBus;
use engine::block::{BlockDescriptor, BlockKind};
use model::BlockId;
use rpc::services::scheduler_router;
use runtime::retry::retry_forever;
use runtime::settings::ScheduleStoreKind;
use runtime::{Health, Metrics, Settings, Shutdown};
use store::{IoBlocks, Store};
use submit::Submitter;
use tokio::net::TcpListener;
use tokio::sync::Notify;

pub use error::{Error, ScheduleError};

use crate::fire::Firing;
use crate::hints::CancelHints;
use crate::progress::Progress;
use crate::runs::Runs;
use crate::schedules::{KubernetesSchedules, PostgresSchedules, ScheduleStore};
use crate::service::SchedulerService;

/// Serves until the shutdown. What is absent is waited for; calls that need it fail meanwhile.
pub async fn run(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let store = Store::connect(&settings.database.url, settings.database.connection_limit)?;
    let registry = Registry::standard();
    let blocks = io_blocks(&registry);
    let submitter = Submitter::new(store.clone(), registry);
    let changed = Arc::new(Notify::new());
    let schedules: Arc<dyn ScheduleStore> = match settings.scheduler.store {
        ScheduleStoreKind::Postgres => Arc::new(PostgresSchedules::new(store.clone(), changed.clone())),
        ScheduleStoreKind::Kubernetes => Arc::new(KubernetesSchedules::connect(store.clone(), &settings.scheduler).await?),
    };
    let service = SchedulerService {
        submitter: submitter.clone(),
        schedules: schedules.clone(),
        runs: Runs {
            store: store.clone(),
            submitter: submitter.clone(),
            schedules: schedules.clone(),
            blocks: blocks.clone(),
            events: EventBus::start(&settings),
            hints: CancelHints::start(&settings, &shutdown),
            service_user: settings.platform_service_user_id,
        },
        progress: Progress::start(store.clone(), blocks, &settings, &shutdown),
    };
    let firing = Firing {
        store: store.clone(),
        submitter,
        schedules,
        changed,
    };
    let health = health(&store, &shutdown);
    let work = tokio::spawn(work(firing, settings.clone(), health.check("schema"), shutdown.clone()));
    let mut router = scheduler_router(Arc::new(service), &settings, &health);
    if settings.enable_metrics {
        router = router.merge(Metrics::new().router());
    }
    runtime::serve::http(listener, router, shutdown).await?;
    // Runs that are being started are in the database in a moment; a claim that is left behind runs out by itself.
    let _ = tokio::time::timeout(std::time::Duration::from_secs(2), work).await;
    store.close().await;
    Ok(())
}

/// What goes on besides the calls, once the database has its schema.
async fn work(firing: Firing, settings: Settings, schema: runtime::health::Check, shutdown: Shutdown) {
    let store = firing.store.clone();
    let ready = retry_forever("PostgreSQL", &shutdown, || async {
        let outcome = store.check_schema().await;
        if let Err(error) = &outcome {
            schema.fail(error.to_string());
        }
        outcome
    });
    if ready.await.is_none() {
        return;
    }
    schema.ok();
    let forgetting = retention::run(store, settings.scheduler.clone(), shutdown.clone());
    let firing = async {
        // In a cluster the operator fires.
        if settings.scheduler.store == ScheduleStoreKind::Postgres {
            firing.run(shutdown).await;
        }
    };
    tokio::join!(forgetting, firing);
}

fn health(store: &Store, shutdown: &Shutdown) -> Health {
    let health = Health::new(shutdown);
    let store = store.clone();
    health.probe("database", move || {
        let store = store.clone();
        async move { store.ping().await.map_err(|error| error.to_string()) }
    });
    health
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
