//! Mails about accounts go through the notification service.

use std::sync::Arc;

use bus::amqp::Publisher;
use bus::amqp::topology::Topology;
use model::notification::{NotificationEvent, NotificationType};
use model::{Map, Timestamp, UserId};
use runtime::Settings;
use serde_json::{Value, json};
use store::Account;

use super::error::AuthError;

#[derive(Clone)]
pub struct Mails(Arc<Publisher>);

impl Mails {
    pub fn start(settings: &Settings) -> Self {
        Self(Arc::new(Publisher::new(settings, "rest", &[Topology::Notifications])))
    }

    /// Queued when this returns; `data` is what the mail's template shows.
    pub async fn send(&self, kind: NotificationType, user_id: UserId, to: &str, data: Value) -> Result<(), AuthError> {
        let mut map = Map::from_iter([("to".to_owned(), Value::from(to))]);
        if let Value::Object(more) = data {
            map.extend(more);
        }
        let event = NotificationEvent {
            kind,
            user_id,
            created_at: Timestamp::now(),
            id: None,
            data: map,
        };
        self.0.notification(&event).await.map_err(AuthError::internal)
    }

    /// Tells the former address of an account that it has another one now. The change stands, whether or not the mail comes; a failure is
    /// logged.
    pub fn address_changed(&self, former: &Account, email: &str) {
        let (mails, user_id, to, data) = (self.clone(), former.user_id, former.email.clone(), json!({ "new_email": email }));
        tokio::spawn(async move { mails.send(NotificationType::EmailChanged, user_id, &to, data).await });
    }
}
