//! Takes runs from executors that no longer renew their lease, reminds of runs that nobody came for, and decides what no person has decided
//! in time.

use std::time::Duration;

use runtime::Shutdown;
use store::{Decided, Store, Swept};

use crate::instruments::Instruments;

const BETWEEN_SWEEPS: Duration = Duration::from_secs(3);
/// Alarms may be set by other processes at any time; between looks the next known one is waited for.
const LOOK_EVERY: Duration = Duration::from_secs(1);
const SHORTEST_PAUSE: Duration = Duration::from_millis(20);
/// Overdue reviews that are decided in one transaction.
const REVIEWS_AT_ONCE: i64 = 200;

/// While this process or the database was away, nobody could renew: after both it waits one full lease before it judges.
pub async fn run(store: Store, lease: Duration, instruments: Instruments, shutdown: Shutdown) {
    let notifier = store.outbox_notifier();
    let mut pause = lease;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        pause = match sweep(&store).await {
            Ok((swept, decided)) => {
                report(swept, &instruments);
                report_overdue(&decided);
                if swept.requeued + swept.woken + swept.resumed + swept.cancelled + swept.dead > 0 || decided.approved + decided.rejected > 0 {
                    notifier.wake();
                }
                BETWEEN_SWEEPS
            }
            // Whether the database is there is logged where it is watched.
            Err(error) => {
                tracing::debug!(%error, "no sweep");
                if runtime::retry::retry_forever("sweeper", &shutdown, || store.ping()).await.is_none() {
                    return;
                }
                lease
            }
        };
    }
}

/// Answers the alarms of runs in time: backoffs that are over, deadlines that have passed. Unlike a sweep this judges no executor, so it
/// begins at once.
pub async fn alarms(store: Store, instruments: Instruments, shutdown: Shutdown) {
    let notifier = store.outbox_notifier();
    let mut pause = Duration::ZERO;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        pause = match store.ring_alarms().await {
            Ok(rung) => {
                if rung.ended > 0 {
                    tracing::warn!(runs = rung.ended, "ended waiting runs whose deadline had passed");
                }
                instruments.runs_past_deadline.inc_by(rung.ended);
                if rung.woken + rung.ended > 0 {
                    notifier.wake();
                }
                // An alarm that another process holds is due and not ours: no spinning over it.
                rung.next.map_or(LOOK_EVERY, |next| next.clamp(SHORTEST_PAUSE, LOOK_EVERY))
            }
            Err(error) => {
                tracing::debug!(%error, "no alarms");
                if runtime::retry::retry_forever("alarms", &shutdown, || store.ping()).await.is_none() {
                    return;
                }
                LOOK_EVERY
            }
        };
    }
}

async fn sweep(store: &Store) -> store::Result<(Swept, Decided)> {
    let swept = store.sweep().await?;
    // What is left over is decided by the next sweep.
    let decided = store.decide_overdue_reviews(REVIEWS_AT_ONCE).await?;
    Ok((swept, decided))
}

fn report_overdue(decided: &Decided) {
    if decided.approved + decided.rejected > 0 {
        tracing::info!(
            approved = decided.approved,
            rejected = decided.rejected,
            resumed = decided.resumed.len(),
            "reviews were decided by their deadline"
        );
    }
}

fn report(swept: Swept, instruments: &Instruments) {
    if swept.leases + swept.requeued + swept.cancelled + swept.dead > 0 {
        tracing::warn!(
            leases = swept.leases,
            requeued = swept.requeued,
            cancelled = swept.cancelled,
            dead = swept.dead,
            "took runs from executors that are gone"
        );
    }
    instruments.leases_expired.inc_by(swept.leases);
    instruments.runs_requeued.inc_by(swept.requeued);
    instruments.runs_dead.inc_by(swept.dead);
}
