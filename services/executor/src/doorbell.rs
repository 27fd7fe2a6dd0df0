//! Hears of work at the database manager, which is quicker than RabbitMQ. Only a hint: when nobody answers, the messages do.

use std::sync::Arc;
use std::time::Duration;

use rpc::services::{DatabaseManager, DatabaseManagerClient};
use runtime::Shutdown;
use runtime::retry::Backoff;
use tokio::sync::{Notify, watch};
use uuid::Uuid;

/// A ring is followed by a claim that takes all it can; what comes right after it is heard together.
const PAUSE: Duration = Duration::from_millis(2);
/// An older database manager has no bell: it need not be asked often.
const RARELY: Duration = Duration::from_secs(30);

/// Rings `bell` for work, while there is a slot for it: whoever has none must not take the hint from the others.
pub async fn listen(database: DatabaseManagerClient, owner: Uuid, bell: Arc<Notify>, mut vacant: watch::Receiver<bool>, shutdown: Shutdown) {
    let mut backoff = Backoff::new(Duration::from_millis(100), RARELY);
    while !shutdown.is_cancelled() {
        let heard = async {
            let _ = vacant.wait_for(|vacant| *vacant).await;
            database.await_work(owner).await
        };
        let heard = tokio::select! {
            heard = heard => heard,
            () = shutdown.cancelled() => return,
        };
        let pause = match heard {
            Ok(rung) => {
                backoff.reset();
                if rung {
                    bell.notify_one();
                }
                PAUSE
            }
            Err(_) => backoff.next_delay(),
        };
        tokio::select! {
            () = tokio::time::sleep(pause) => {}
            () = shutdown.cancelled() => return,
        }
    }
}
