//! Hears from PostgreSQL that runs were accepted, freed or ended, and passes it on to who has something to do about it.

use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use store::Store;
use tokio::sync::Notify;

use crate::doorbell::Doorbell;

const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Nudges after each notification, reconnecting until the shutdown.
pub async fn run(store: Store, nudged: [Arc<Notify>; 2], doorbell: Doorbell, shutdown: Shutdown) {
    let nudge = || nudged.iter().for_each(|nudge| nudge.notify_one());
    let listening = async {
        loop {
            if let Ok(mut listener) = store.listen_outbox().await {
                // What came before the listening began was not heard.
                nudge();
                while listener.heard().await.is_ok() {
                    doorbell.ring();
                    nudge();
                }
            }
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    };
    tokio::select! {
        () = listening => {}
        () = shutdown.cancelled() => {}
    }
}
