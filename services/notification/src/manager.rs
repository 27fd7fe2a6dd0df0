//! The RPC methods of the notification service (internals §1.7). Each starts its work and answers at once.

use std::sync::Arc;

use chrono::TimeDelta;
use model::notification::{NotificationEvent, NotificationType};
use model::{Map, Timestamp};
use rpc::RpcError;
use rpc::services::NotificationManager;
use tokio::sync::mpsc;

use crate::delivery::Delivery;

pub struct Manager {
    pub delivery: Arc<Delivery>,
    /// Messages for the notification exchange.
    pub outgoing: mpsc::Sender<NotificationEvent>,
}

#[async_trait::async_trait]
impl NotificationManager for Manager {
    async fn queue_weekly_summary(&self) -> Result<(), RpcError> {
        let end = Timestamp::now();
        let start = Timestamp::from(end.into_inner() - TimeDelta::days(7));
        for user in self.delivery.database.get_active_user_ids_in_timerange(start, end).await? {
            let data = self.delivery.database.get_user_execution_summary_data(user, start, end).await?;
            let mut data: Map = match serde_json::to_value(data) {
                Ok(serde_json::Value::Object(map)) => map,
                _ => Map::new(),
            };
            data.insert("start_date".to_owned(), start.to_string().into());
            data.insert("end_date".to_owned(), end.to_string().into());
            let event = NotificationEvent {
                kind: NotificationType::WeeklySummary,
                user_id: user,
                created_at: end,
                id: None,
                data,
            };
            self.outgoing
                .send(event)
                .await
                .map_err(|_| RpcError::runtime("the service is shutting down"))?;
        }
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
