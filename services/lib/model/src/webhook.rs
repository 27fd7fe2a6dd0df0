//! Addresses at which services outside start runs (rest.md §2.2).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Map, UserId};

/// The contract's webhook without its `url`, which only the REST service knows.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Webhook {
    pub id: Uuid,
    pub user_id: UserId,
    pub provider: String,
    /// Empty: the provider asks for none.
    pub credentials_id: String,
    pub webhook_type: String,
    pub resource: String,
    /// Empty: all.
    pub events: Vec<String>,
    pub config: Map,
    pub secret: String,
    pub provider_webhook_id: String,
}

impl Webhook {
    /// The path at which deliveries arrive.
    pub fn path(&self) -> String {
        format!("/api/integrations/{}/webhooks/{}/ingress", self.provider, self.id)
    }
}
