//! Tells the watchers of runs that ended without an executor: cancelled while they waited, past their deadline, given up.
//!
//! The event is the last one of the run: its `seq` follows the run's journal and its `prev` is where that stops, so that a reader sees
//! whether it has missed anything before (internals §3.1).

use std::sync::Arc;
use std::time::Duration;

use bus::events::EventBus;
use model::ExecutionEvent;
use runtime::Shutdown;
use store::{IoBlocks, Store, UntoldEnd};
use tokio::sync::Notify;

/// Nudges may be lost: one looks by oneself as well.
const LOOK_EVERY: Duration = Duration::from_secs(1);

/// `nudge`: runs may have ended.
pub async fn run(store: Store, events: EventBus, blocks: IoBlocks, nudge: Arc<Notify>, shutdown: Shutdown) {
    while !shutdown.is_cancelled() {
        if let Err(error) = tell_all(&store, &events, &blocks).await {
            // Whether the database is there is logged where it is watched.
            tracing::debug!(%error, "ends of runs are told later");
        }
        tokio::select! {
            () = nudge.notified() => {}
            () = tokio::time::sleep(LOOK_EVERY) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn tell_all(store: &Store, events: &EventBus, blocks: &IoBlocks) -> store::Result<()> {
    while let Some(untold) = store.take_untold_ends(blocks).await? {
        for UntoldEnd { execution, journal_seq } in &untold.ends {
            let event = ExecutionEvent::GraphExecutionUpdate(execution.clone());
            events.publish(&event, Some(journal_seq + 1), Some(*journal_seq));
        }
        events.flush().await;
        untold.told().await?;
    }
    Ok(())
}
