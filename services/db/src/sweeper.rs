//! Takes runs from executors that no longer renew their lease, and reminds of runs that nobody came for.

use std::time::Duration;

use runtime::Shutdown;
use store::{Store, Swept};

use crate::instruments::Instruments;

const BETWEEN_SWEEPS: Duration = Duration::from_secs(3);

/// While this process or the database was away, nobody could renew: after both it waits one full lease before it judges.
pub async fn run(store: Store, lease: Duration, instruments: Instruments, shutdown: Shutdown) {
    let notifier = store.outbox_notifier();
    let mut pause = lease;
    loop {
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
        pause = match store.sweep().await {
            Ok(swept) => {
                report(swept, &instruments);
                if swept.requeued + swept.woken + swept.resumed > 0 {
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

fn report(swept: Swept, instruments: &Instruments) {
    if swept.leases + swept.requeued + swept.cancelled > 0 {
        tracing::warn!(
            leases = swept.leases,
            requeued = swept.requeued,
            cancelled = swept.cancelled,
            "took runs from executors that are gone"
        );
    }
    instruments.leases_expired.inc_by(swept.leases);
    instruments.runs_requeued.inc_by(swept.requeued);
}
