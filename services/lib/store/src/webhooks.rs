//! Webhooks, and the graphs that listen to them.

use model::webhook::Webhook;
use model::{GraphId, GraphModel, NodeId, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{Result, Store};

const COLUMNS: &str = "id, user_id, provider, credentials_id, webhook_type, resource, events, config, secret, provider_webhook_id";

/// A graph whose nodes listen to a webhook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listener {
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub node_ids: Vec<NodeId>,
}

impl Store {
    /// None while nothing could be started: the preset that it belongs to is switched off, or the graph is not in the owner's library any
    /// more, or archived there. The address rests, and is the same when that changes.
    pub async fn webhook(&self, id: Uuid) -> Result<Option<Webhook>> {
        let query = format!(
            "SELECT {COLUMNS} FROM webhooks w WHERE id = $1
             AND NOT EXISTS (SELECT FROM presets p WHERE p.webhook_id = w.id AND NOT p.is_deleted AND NOT p.is_active)
             AND EXISTS (SELECT FROM library_agents a WHERE a.user_id = w.user_id AND NOT a.is_deleted AND NOT a.is_archived AND (a.graph_id = w.graph_id
                 OR a.graph_id IN (SELECT p.graph_id FROM presets p WHERE p.webhook_id = w.id AND NOT p.is_deleted)))"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query)).bind(id).fetch_optional(&self.pool).await;
        row.map_err(|error| self.explain(error))?.as_ref().map(webhook).transpose()
    }

    /// Those that a graph of the user has already, the oldest first.
    pub async fn webhooks_of_graph(&self, user_id: UserId, graph_id: GraphId) -> Result<Vec<Webhook>> {
        let query = format!("SELECT {COLUMNS} FROM webhooks WHERE user_id = $1 AND graph_id = $2 ORDER BY created_at, id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(graph_id)
            .fetch_all(&self.pool)
            .await;
        rows.map_err(|error| self.explain(error))?.iter().map(webhook).collect()
    }

    /// The active versions that listen to a webhook, each with its nodes.
    pub async fn listeners(&self, webhook_id: Uuid) -> Result<Vec<Listener>> {
        let rows = sqlx::query(
            "SELECT n.graph_id, n.graph_version, array_agg(n.id ORDER BY n.position) AS node_ids
             FROM nodes n JOIN graphs g ON g.id = n.graph_id AND g.version = n.graph_version AND g.is_active
             WHERE n.webhook_id = $1 GROUP BY n.graph_id, n.graph_version",
        );
        let rows = rows.bind(webhook_id).fetch_all(&self.pool).await.map_err(|error| self.explain(error))?;
        rows.iter()
            .map(|row| {
                Ok(Listener {
                    graph_id: row.try_get("graph_id")?,
                    graph_version: row.try_get("graph_version")?,
                    node_ids: row.try_get("node_ids")?,
                })
            })
            .collect()
    }

    /// Fills in the webhooks of a graph's nodes.
    pub(crate) async fn show_webhooks(&self, graph: &mut GraphModel) -> Result<()> {
        let ids: Vec<Uuid> = graph.nodes.iter().filter_map(webhook_id).collect();
        if ids.is_empty() {
            return Ok(());
        }
        let query = format!("SELECT {COLUMNS} FROM webhooks WHERE id = ANY($1)");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(ids).fetch_all(&self.pool).await?;
        let webhooks: Vec<Webhook> = rows.iter().map(webhook).collect::<Result<_>>()?;
        for node in &mut graph.nodes {
            let id = webhook_id(node);
            let found = webhooks.iter().find(|webhook| Some(webhook.id) == id);
            node.webhook = found.and_then(|webhook| serde_json::to_value(webhook).ok());
        }
        Ok(())
    }
}

pub(crate) fn webhook_id(node: &model::NodeModel) -> Option<Uuid> {
    node.webhook_id.as_deref().and_then(|id| id.parse().ok())
}

/// Keeps the webhooks that the nodes of a new version bring.
pub(crate) async fn insert(connection: &mut PgConnection, graph: &GraphModel) -> Result<()> {
    let brought = graph.nodes.iter().filter_map(|node| node.webhook.clone());
    for webhook in brought.filter_map(|value| serde_json::from_value::<Webhook>(value).ok()) {
        insert_one(connection, &webhook, Some(graph.id)).await?;
    }
    Ok(())
}

/// `graph_id` is that of the graph whose nodes listen.
pub(crate) async fn insert_one(connection: &mut PgConnection, webhook: &Webhook, graph_id: Option<GraphId>) -> Result<()> {
    sqlx::query(
        "INSERT INTO webhooks (id, user_id, graph_id, provider, credentials_id, webhook_type, resource, events, config, secret, provider_webhook_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) ON CONFLICT (id) DO NOTHING",
    )
    .bind(webhook.id)
    .bind(webhook.user_id)
    .bind(graph_id)
    .bind(&webhook.provider)
    .bind(&webhook.credentials_id)
    .bind(&webhook.webhook_type)
    .bind(&webhook.resource)
    .bind(&webhook.events)
    .bind(Json(&webhook.config))
    .bind(&webhook.secret)
    .bind(&webhook.provider_webhook_id)
    .execute(connection)
    .await?;
    Ok(())
}

fn webhook(row: &PgRow) -> Result<Webhook> {
    Ok(Webhook {
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        provider: row.try_get("provider")?,
        credentials_id: row.try_get("credentials_id")?,
        webhook_type: row.try_get("webhook_type")?,
        resource: row.try_get("resource")?,
        events: row.try_get("events")?,
        config: row.try_get::<Json<model::Map>, _>("config")?.0,
        secret: row.try_get("secret")?,
        provider_webhook_id: row.try_get("provider_webhook_id")?,
    })
}
