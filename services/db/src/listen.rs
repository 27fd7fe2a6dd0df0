//! Hears from PostgreSQL that runs were accepted, freed or ended, and passes it on to who has something to do about it.

use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use store::Store;
use tokio::sync::Notify;

use crate::doorbell::Doorbell;

const RECONNECT_AFTER: Duration = Duration::from_secs(1);
/// So long an accepted run is left to the executor that the doorbell wakes: a run that is claimed needs no message, and what has come
/// meanwhile is looked at together.
const HEAD_START: Duration = Duration::from_millis(5);

/// Rings at each notification and nudges the others after it, reconnecting until the shutdown.
pub async fn run(store: Store, nudged: [Arc<Notify>; 2], doorbell: Doorbell, shutdown: Shutdown) {
    let heard = Notify::new();
    let nudging = async {
        loop {
            heard.notified().await;
            tokio::time::sleep(HEAD_START).await;
            nudged.iter().for_each(|nudge| nudge.notify_one());
        }
    };
    let listening = async {
        loop {
            if let Ok(mut listener) = store.listen_outbox().await {
                // What came before the listening began was not heard.
                heard.notify_one();
                while listener.heard().await.is_ok() {
                    doorbell.ring();
                    heard.notify_one();
                }
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = nudging => {}
        () = shutdown.cancelled() => {}
    }
}
