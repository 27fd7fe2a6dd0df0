//! Forgets finished runs and decisions about schedules after the time that they are kept.

use std::time::Duration;

use runtime::Shutdown;
use runtime::settings::SchedulerSettings;
use store::Store;

const EVERY: Duration = Duration::from_secs(3600);
/// A start is busy enough without it.
const FIRST: Duration = Duration::from_secs(60);
/// Between two batches: others want the database as well.
const BREATH: Duration = Duration::from_millis(200);
const DAY: Duration = Duration::from_secs(86_400);

/// Until the shutdown; nothing at all when everything is kept.
pub async fn run(store: Store, settings: SchedulerSettings, shutdown: Shutdown) {
    if settings.retention_days == 0 {
        return;
    }
    let keep = DAY * settings.retention_days;
    let batch = i64::from(settings.retention_batch.max(1));
    let mut wait = FIRST;
    loop {
        tokio::select! {
            () = tokio::time::sleep(wait) => {}
            () = shutdown.cancelled() => return,
        }
        wait = EVERY;
        if let Err(error) = forget(&store, keep, batch, &shutdown).await {
            tracing::warn!(%error, "old runs could not be deleted, the next attempt is in an hour");
        }
    }
}

/// Batch after batch until nothing old is left, or another scheduler is at it.
async fn forget(store: &Store, keep: Duration, batch: i64, shutdown: &Shutdown) -> store::Result<()> {
    let mut total = 0;
    while let Some(deleted) = store.forget(keep, batch).await? {
        total += deleted;
        if i64::try_from(deleted).unwrap_or(i64::MAX) < batch || shutdown.is_cancelled() {
            break;
        }
        tokio::time::sleep(BREATH).await;
    }
    if total > 0 {
        tracing::info!(total, "deleted runs and decisions that are older than what is kept");
    }
    Ok(())
}
