//! The RPC methods of the notification service (internals §1.7). Each starts its work and answers at once.

use std::sync::Arc;

use chrono::TimeDelta;
use model::Timestamp;
use model::notification::{NotificationEvent, NotificationType};
use rpc::RpcError;
use rpc::services::{DatabaseManager, NotificationManager};
use tokio::sync::mpsc;

use crate::delivery::Delivery;
use crate::weekly::summed_up;

pub struct Manager {
    pub delivery: Arc<Delivery>,
    /// Messages for the notification exchange.
    pub outgoing: mpsc::Sender<NotificationEvent>,
}

#[async_trait::async_trait]
impl NotificationManager for Manager {
    async fn queue_weekly_summary(&self) -> Result<(), RpcError> {
        let (database, outgoing) = (self.delivery.database.clone(), self.outgoing.clone());
        tokio::spawn(async move {
            if let Err(error) = queue_summaries(database.as_ref(), &outgoing).await {
                tracing::warn!(%error, "the weekly summaries that were asked for are not all queued");
            }
        });
        Ok(())
    }

    async fn process_existing_batches(&self, notification_types: Vec<NotificationType>) -> Result<(), RpcError> {
        let delivery = self.delivery.clone();
        tokio::spawn(async move {
            for kind in notification_types {
                if let Err(error) = delivery.flush(kind).await {
                    tracing::warn!(kind = kind.as_str(), %error, "batches were not looked at");
                }
            }
        });
        Ok(())
    }

    async fn discord_system_alert(&self, content: String, channel: String) -> Result<(), RpcError> {
        // No Discord bot is configured in this version: the alert is where operators look anyway.
        tracing::error!(channel, content, "system alert");
        Ok(())
    }
}

/// For everybody who had runs in the last seven days.
async fn queue_summaries(database: &dyn DatabaseManager, outgoing: &mpsc::Sender<NotificationEvent>) -> Result<(), RpcError> {
    let end = Timestamp::now();
    let start = Timestamp::from(end.into_inner() - TimeDelta::days(7));
    for user in database.get_active_user_ids_in_timerange(start, end).await? {
        let event = summed_up(database, user, start, end).await?;
        if outgoing.send(event).await.is_err() {
            return Err(RpcError::runtime("the service is shutting down"));
        }
    }
    Ok(())
}
