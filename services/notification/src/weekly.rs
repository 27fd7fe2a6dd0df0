//! The summaries of a week: one message for each user who had runs in it.

use std::sync::Arc;
use std::time::Duration;

use bus::amqp::Publisher;
use model::notification::{DueSummary, NotificationEvent, NotificationType};
use model::{Map, Timestamp, UserId};
use prometheus_client::metrics::counter::Counter;
use rpc::RpcError;
use rpc::services::DatabaseManager;
use runtime::{BoxError, Shutdown};

/// Users that are claimed at a time: so many wait until the claim has run out when this process ends meanwhile.
const CLAIMED: i64 = 100;
/// When there is nothing to do.
const BETWEEN_LOOKS: Duration = Duration::from_secs(600);

/// Puts the summaries that are due on their queue, each once, whichever replica does it.
pub struct Weekly {
    pub database: Arc<dyn DatabaseManager>,
    pub publisher: Publisher,
    pub queued: Counter,
    /// Before it is tried again.
    pub pause: Duration,
}

impl Weekly {
    /// Until the shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let look = async {
            loop {
                let pause = match self.queue_due().await {
                    Ok(()) => BETWEEN_LOOKS,
                    Err(error) => {
                        tracing::warn!(%error, "the weekly summaries are not all queued: they are tried again");
                        self.pause
                    }
                };
                tokio::time::sleep(pause).await;
            }
        };
        tokio::select! {
            () = look => {}
            () = shutdown.cancelled() => {}
        }
    }

    async fn queue_due(&self) -> Result<(), BoxError> {
        loop {
            let due = self.database.claim_weekly_summaries(CLAIMED).await?;
            if due.is_empty() {
                return Ok(());
            }
            let mut outcome = Ok(());
            for summary in due {
                // One user's failure does not stop the others.
                if let Err(error) = self.queue(&summary).await {
                    outcome = Err(error);
                }
            }
            outcome?;
        }
    }

    async fn queue(&self, due: &DueSummary) -> Result<(), BoxError> {
        let event = summed_up(self.database.as_ref(), due.user_id, due.start_time, due.end_time).await?;
        self.publisher.notification(&event).await?;
        self.queued.inc();
        Ok(self.database.weekly_summary_queued(due.user_id, due.end_time).await?)
    }
}

/// The message about what a user's runs came to in that time.
pub async fn summed_up(database: &dyn DatabaseManager, user_id: UserId, start: Timestamp, end: Timestamp) -> Result<NotificationEvent, RpcError> {
    let data = database.get_user_execution_summary_data(user_id, start, end).await?;
    let mut data: Map = match serde_json::to_value(data) {
        Ok(serde_json::Value::Object(map)) => map,
        _ => Map::new(),
    };
    data.insert("start_date".to_owned(), start.to_string().into());
    data.insert("end_date".to_owned(), end.to_string().into());
    Ok(NotificationEvent {
        kind: NotificationType::WeeklySummary,
        user_id,
        created_at: Timestamp::now(),
        id: None,
        data,
    })
}
