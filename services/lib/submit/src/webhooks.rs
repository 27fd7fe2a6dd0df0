//! Webhooks of graphs: made when a graph with a trigger is saved, and what a delivery starts.

use engine::webhook::{PAYLOAD, provider};
use model::webhook::Webhook;
use model::{GraphExecutionMeta, GraphModel, Map};
use serde_json::Value;
use store::Listener;
use uuid::Uuid;

use crate::{SubmitCommand, SubmitError, Submitter};

/// What arrived at a webhook.
#[derive(Debug, Clone)]
pub struct Delivery {
    pub payload: Map,
    /// The sender's own name for the delivery: the same one starts nothing twice.
    pub id: Option<String>,
}

impl Submitter {
    /// Gives each trigger of the graph its webhook. A graph keeps its webhooks, and so their addresses, through all its versions; triggers of
    /// one provider share one.
    pub(crate) async fn give_webhooks(&self, graph: &mut GraphModel) -> Result<(), SubmitError> {
        if !graph.nodes.iter().any(|node| provider(node.block_id).is_some()) {
            return Ok(());
        }
        let mut webhooks = self.store.webhooks_of_graph(graph.user_id, graph.id).await?;
        for node in &mut graph.nodes {
            let Some(provider) = provider(node.block_id) else { continue };
            let known = webhooks.iter().find(|webhook| webhook.provider == provider).cloned();
            let webhook = known.unwrap_or_else(|| {
                let made = new_webhook(graph.user_id, provider);
                webhooks.push(made.clone());
                made
            });
            node.webhook_id = Some(webhook.id.to_string());
            node.webhook = serde_json::to_value(webhook).ok();
        }
        self.show_addresses(graph);
        Ok(())
    }

    /// Puts the addresses of webhooks in, as the contract shows them.
    pub(crate) fn show_addresses(&self, graph: &mut GraphModel) {
        for shown in graph.nodes.iter_mut().filter_map(|node| node.webhook.as_mut()) {
            self.show_address(shown);
        }
    }

    pub(crate) fn show_address(&self, shown: &mut Value) {
        let webhook = serde_json::from_value::<Webhook>(shown.clone());
        if let (Ok(webhook), Value::Object(fields)) = (webhook, shown) {
            fields.insert("url".to_owned(), Value::from(format!("{}{}", self.public_url, webhook.path())));
        }
    }

    /// Starts every graph and every preset that listens to the webhook, each once for a delivery that has a name. One that cannot run as it
    /// is keeps the others from nothing; that the platform cannot accept a run now is an error, so that the sender comes again.
    pub async fn deliver(&self, webhook: &Webhook, delivery: &Delivery) -> Result<Vec<GraphExecutionMeta>, SubmitError> {
        let mut commands = Vec::new();
        for listener in self.store.listeners(webhook.id).await? {
            commands.push(Ok(command(webhook, listener, delivery)));
        }
        for preset in self.store.presets_of_webhook(webhook.id).await? {
            commands.push(self.delivered_to(&preset, webhook, delivery).await);
        }
        let mut started = Vec::new();
        for command in commands {
            let accepted = match command {
                Ok(command) => self.submit(command).await,
                Err(error) => Err(error),
            };
            match accepted {
                Ok(mut execution) => {
                    let payload = Value::Object(delivery.payload.clone());
                    execution.inputs.get_or_insert_default().insert(PAYLOAD.to_owned(), payload);
                    started.push(execution);
                }
                Err(SubmitError::Store(error)) => return Err(error.into()),
                Err(error) => tracing::warn!(webhook = %webhook.id, %error, "a delivery could not start what listens to it"),
            }
        }
        Ok(started)
    }
}

pub(crate) fn new_webhook(user_id: model::UserId, provider: &str) -> Webhook {
    Webhook {
        id: Uuid::new_v4(),
        user_id,
        provider: provider.to_owned(),
        credentials_id: String::new(),
        webhook_type: "plain".to_owned(),
        resource: String::new(),
        events: Vec::new(),
        config: Map::new(),
        secret: Uuid::new_v4().simple().to_string(),
        provider_webhook_id: String::new(),
    }
}

fn command(webhook: &Webhook, listener: Listener, delivery: &Delivery) -> SubmitCommand {
    let payload: Map = [(PAYLOAD.to_owned(), Value::Object(delivery.payload.clone()))].into_iter().collect();
    // By graph and not by node: a new version of the graph has new nodes.
    let key = |id: &String| format!("webhook:{}:{}:{id}", webhook.id, listener.graph_id);
    SubmitCommand {
        user_id: webhook.user_id,
        graph_id: listener.graph_id,
        graph_version: Some(listener.graph_version),
        masks: listener.node_ids.iter().map(|node| (*node, payload.clone())).collect(),
        idempotency_key: delivery.id.as_ref().map(key),
        ..SubmitCommand::default()
    }
}
