//! What becomes of one notification (internals §5.3).

use std::sync::Arc;
use std::time::Duration;

use auth::unsubscribe::Unsubscriber;
use model::UserId;
use model::notification::{NotificationEvent, NotificationType, Strategy, UserNotificationBatch};
use model::{Map, Timestamp};
use rpc::RpcError;
use rpc::services::DatabaseManager;
use runtime::Settings;

use crate::mail::{MailError, Mailer};
use crate::render::Renderer;

/// At most so many events in one mail; the rest follows in the next.
const EVENTS_PER_MAIL: usize = 100;

#[derive(Debug, thiserror::Error)]
pub enum DeliveryError {
    #[error("the database manager failed: {0}")]
    Database(#[from] RpcError),
    #[error(transparent)]
    Mail(#[from] MailError),
    #[error("the mail cannot be rendered: {0}")]
    Render(#[from] minijinja::Error),
    #[error("user {0} has no mail address")]
    NoAddress(UserId),
}

impl DeliveryError {
    /// Whether the same message may be delivered later; otherwise it belongs to the dead letters.
    pub fn is_transient(&self) -> bool {
        match self {
            Self::Database(error) => error.kind.status().is_server_error(),
            Self::Mail(error) => error.is_transient(),
            Self::Render(_) | Self::NoAddress(_) => false,
        }
    }
}

pub struct Delivery {
    pub database: Arc<dyn DatabaseManager>,
    pub renderer: Renderer,
    pub mailer: Mailer,
    pub admin_email: String,
    /// How long the oldest event of a batch may wait.
    pub batch_delay: Duration,
    /// None when mails cannot be switched off by a link.
    pub links: Option<Links>,
}

/// Where a click in a mail program switches mails off.
pub struct Links {
    unsubscriber: Unsubscriber,
    public_url: String,
}

impl Links {
    /// None without an address that is reached from outside, or without a key.
    pub fn from_settings(settings: &Settings) -> Option<Self> {
        let public_url = settings.platform_base_url.trim_end_matches('/').to_owned();
        if public_url.is_empty() {
            return None;
        }
        Some(Self {
            unsubscriber: Unsubscriber::from_settings(settings)?,
            public_url,
        })
    }

    fn of(&self, user: UserId) -> String {
        // The token's alphabet needs no escaping but for the padding.
        let token = self.unsubscriber.token(user).replace('=', "%3D");
        format!("{}/api/email/unsubscribe?token={token}", self.public_url)
    }
}

impl Delivery {
    /// Handles one message from a queue. A batched event is stored and the batch sent when it is due: the message is
    /// done as soon as it is stored, unlike in the reference, which dead-letters it (internals §5.3).
    pub async fn handle(&self, event: NotificationEvent) -> Result<(), DeliveryError> {
        match event.kind.strategy() {
            Strategy::Batch => {
                let (user, kind) = (event.user_id, event.kind);
                let batch = self.database.create_or_add_to_user_notification_batch(user, kind, event).await?;
                // The event is safe now; a mail that fails is tried again by the flusher.
                if let Err(error) = self.send_if_due(batch).await {
                    tracing::warn!(%user, kind = kind.as_str(), %error, "the batch stays and is tried again");
                }
                Ok(())
            }
            Strategy::Immediate | Strategy::Summary => self.send_to_user(event.user_id, event.kind, &[event.data]).await,
            Strategy::Admin => {
                let mail = self.renderer.render(event.kind, &[event.data])?;
                Ok(self.mailer.send(&self.admin_email, mail, None).await?)
            }
            Strategy::Backoff => {
                tracing::info!(kind = event.kind.as_str(), "dropped: the contract has no queue for this type");
                Ok(())
            }
        }
    }

    /// Sends every batch of this type that is due. One user's failure does not stop the others.
    pub async fn flush(&self, kind: NotificationType) -> Result<(), DeliveryError> {
        for batch in self.database.get_all_batches_by_type(kind).await? {
            let user = batch.user_id;
            if let Err(error) = self.send_if_due(batch).await {
                tracing::warn!(%user, kind = kind.as_str(), %error, "the batch stays and is tried again");
            }
        }
        Ok(())
    }

    async fn send_if_due(&self, batch: UserNotificationBatch) -> Result<(), DeliveryError> {
        if !is_due(&batch, Timestamp::now(), self.batch_delay) {
            return Ok(());
        }
        for chunk in batch.notifications.chunks(EVENTS_PER_MAIL) {
            let events: Vec<Map> = chunk.iter().map(|event| event.data.clone()).collect();
            let outcome = self.send_to_user(batch.user_id, batch.kind, &events).await;
            match outcome {
                Err(error) if error.is_transient() => return Err(error),
                Err(error) => tracing::error!(user = %batch.user_id, %error, "events dropped: they can never be delivered"),
                Ok(()) => {}
            }
            let ids = chunk.iter().map(|event| event.id.clone()).collect();
            self.database.remove_notifications_from_batch(batch.user_id, batch.kind, ids).await?;
        }
        Ok(())
    }

    /// Sends only to a verified address whose owner wants this type; otherwise it is done without a mail.
    async fn send_to_user(&self, user: UserId, kind: NotificationType, events: &[Map]) -> Result<(), DeliveryError> {
        if kind.is_account_mail() {
            return self.send_about_account(user, kind, events).await;
        }
        let address = self.database.get_user_email_by_id(user).await?.ok_or(DeliveryError::NoAddress(user))?;
        let verified = self.database.get_user_email_verification(user).await?;
        let preference = self.database.get_user_notification_preference(user).await?;
        let wanted = preference.preferences.get(&kind).copied().unwrap_or(true);
        if !verified || !wanted {
            tracing::debug!(%user, kind = kind.as_str(), verified, wanted, "no mail wanted");
            return Ok(());
        }
        let mail = self.renderer.render(kind, events)?;
        let link = self.links.as_ref().map(|links| links.of(user));
        Ok(self.mailer.send(&address, mail, link.as_deref()).await?)
    }

    /// To the address that the event names: it may be one that the user no longer has.
    async fn send_about_account(&self, user: UserId, kind: NotificationType, events: &[Map]) -> Result<(), DeliveryError> {
        for event in events {
            let address = event
                .get("to")
                .and_then(serde_json::Value::as_str)
                .ok_or(DeliveryError::NoAddress(user))?;
            let mail = self.renderer.render(kind, std::slice::from_ref(event))?;
            self.mailer.send(address, mail, None).await?;
        }
        Ok(())
    }
}

/// A batch is due when its oldest event has waited for `delay`.
fn is_due(batch: &UserNotificationBatch, now: Timestamp, delay: Duration) -> bool {
    batch
        .notifications
        .iter()
        .map(|event| event.created_at)
        .min()
        .is_some_and(|oldest| now.seconds_since(oldest) >= delay.as_secs_f64())
}

#[cfg(test)]
mod tests {
    use super::*;
    use model::notification::UserNotificationEvent;

    fn batch(created: &[&str]) -> UserNotificationBatch {
        let event = |text: &&str| {
            let at = text.parse().unwrap();
            UserNotificationEvent {
                id: String::new(),
                kind: NotificationType::AgentRun,
                data: Map::new(),
                created_at: at,
                updated_at: at,
            }
        };
        let at = "2026-01-01T00:00:00Z".parse().unwrap();
        UserNotificationBatch {
            user_id: uuid::Uuid::nil(),
            kind: NotificationType::AgentRun,
            notifications: created.iter().map(event).collect(),
            created_at: at,
            updated_at: at,
        }
    }

    #[test]
    fn a_batch_is_due_when_its_oldest_event_has_waited_long_enough() {
        let day = Duration::from_secs(86_400);
        let now = "2026-01-02T00:00:00Z".parse().unwrap();
        assert!(is_due(&batch(&["2026-01-01T12:00:00Z", "2026-01-01T00:00:00Z"]), now, day));
        assert!(!is_due(&batch(&["2026-01-01T00:00:01Z"]), now, day));
        assert!(!is_due(&batch(&[]), now, Duration::ZERO));
    }
}
