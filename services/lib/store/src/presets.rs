//! Presets: saved ways to run an agent (rest.md §2.8).

use model::library::{LibraryAgentPreset, NewPreset, PresetUpdate};
use model::webhook::Webhook;
use model::{GraphId, UserId};
use sqlx::postgres::PgRow;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::execution_rows::{instant, map};
use crate::{Result, Store, webhooks};

const COLUMNS: &str = "id, user_id, graph_id, graph_version, name, description, inputs, credentials, is_active, webhook_id, created_at, updated_at, \
    (SELECT to_jsonb(w) - 'graph_id' - 'created_at' FROM webhooks w WHERE w.id = presets.webhook_id) AS webhook";

impl Store {
    /// The user's presets, of one graph or of all, the last changed first, and how many there are.
    pub async fn list_presets(&self, user_id: UserId, graph_id: Option<GraphId>, limit: i64, offset: i64) -> Result<(Vec<LibraryAgentPreset>, i64)> {
        const WHERE: &str = "FROM presets WHERE user_id = $1 AND NOT is_deleted AND ($2::uuid IS NULL OR graph_id = $2)";
        let total: i64 = sqlx::query_scalar(sqlx::AssertSqlSafe(format!("SELECT count(*) {WHERE}")))
            .bind(user_id)
            .bind(graph_id)
            .fetch_one(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        let query = format!("SELECT {COLUMNS} {WHERE} ORDER BY updated_at DESC, id LIMIT $3 OFFSET $4");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(graph_id)
            .bind(limit)
            .bind(offset)
            .fetch_all(&self.pool)
            .await?;
        Ok((rows.iter().map(preset).collect::<Result<_>>()?, total))
    }

    pub async fn get_preset(&self, user_id: UserId, id: Uuid) -> Result<Option<LibraryAgentPreset>> {
        let query = format!("SELECT {COLUMNS} FROM presets WHERE user_id = $1 AND id = $2 AND NOT is_deleted");
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(preset).transpose()
    }

    /// The active presets that deliveries at a webhook start.
    pub async fn presets_of_webhook(&self, webhook_id: Uuid) -> Result<Vec<LibraryAgentPreset>> {
        let query = format!("SELECT {COLUMNS} FROM presets WHERE webhook_id = $1 AND is_active AND NOT is_deleted ORDER BY id");
        let rows = sqlx::query(sqlx::AssertSqlSafe(query)).bind(webhook_id).fetch_all(&self.pool).await;
        rows.map_err(|error| self.explain(error))?.iter().map(preset).collect()
    }

    pub async fn create_preset(&self, user_id: UserId, new: &NewPreset) -> Result<LibraryAgentPreset> {
        let mut connection = self.pool.acquire().await.map_err(|error| self.explain(error))?;
        let row = insert(&mut connection, user_id, new, None).await;
        preset(&row.map_err(|error| self.explain(error))?)
    }

    /// With the webhook whose deliveries start it, and that nothing else has.
    pub async fn create_triggered_preset(&self, user_id: UserId, new: &NewPreset, webhook: &Webhook) -> Result<LibraryAgentPreset> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        webhooks::insert_one(&mut tx, webhook, None).await?;
        let row = insert(&mut tx, user_id, new, Some(webhook.id)).await;
        let row = row.map_err(|error| self.explain(error))?;
        tx.commit().await.map_err(|error| self.explain(error))?;
        preset(&row)
    }

    /// None when the user has no such preset.
    pub async fn update_preset(&self, user_id: UserId, id: Uuid, update: &PresetUpdate) -> Result<Option<LibraryAgentPreset>> {
        let query = format!(
            "UPDATE presets SET inputs = coalesce($3, inputs), credentials = coalesce($4, credentials), name = coalesce($5, name),
                 description = coalesce($6, description), is_active = coalesce($7, is_active), updated_at = now()
             WHERE user_id = $1 AND id = $2 AND NOT is_deleted RETURNING {COLUMNS}"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(id)
            .bind(update.inputs.as_ref().map(Json))
            .bind(update.credentials.as_ref().map(Json))
            .bind(&update.name)
            .bind(&update.description)
            .bind(update.is_active)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        row.as_ref().map(preset).transpose()
    }

    /// False when the user has no such preset. Its webhook goes with it.
    pub async fn delete_preset(&self, user_id: UserId, id: Uuid) -> Result<bool> {
        let deleted: i64 = sqlx::query_scalar(
            "WITH gone AS (
                 UPDATE presets SET is_deleted = true, updated_at = now() WHERE user_id = $1 AND id = $2 AND NOT is_deleted RETURNING webhook_id
             ), unhooked AS (
                 DELETE FROM webhooks w USING gone WHERE w.id = gone.webhook_id AND w.user_id = $1 AND w.graph_id IS NULL
             )
             SELECT count(*) FROM gone",
        )
        .bind(user_id)
        .bind(id)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(deleted > 0)
    }
}

async fn insert(
    connection: &mut PgConnection,
    user_id: UserId,
    new: &NewPreset,
    webhook_id: Option<Uuid>,
) -> std::result::Result<PgRow, sqlx::Error> {
    let query = format!(
        "INSERT INTO presets (id, user_id, graph_id, graph_version, name, description, inputs, credentials, is_active, webhook_id)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) RETURNING {COLUMNS}"
    );
    sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(Uuid::now_v7())
        .bind(user_id)
        .bind(new.graph_id)
        .bind(new.graph_version)
        .bind(&new.name)
        .bind(&new.description)
        .bind(Json(&new.inputs))
        .bind(Json(&new.credentials))
        .bind(new.is_active)
        .bind(webhook_id)
        .fetch_one(connection)
        .await
}

fn preset(row: &PgRow) -> Result<LibraryAgentPreset> {
    Ok(LibraryAgentPreset {
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        inputs: map(row, "inputs")?,
        credentials: row.try_get::<Json<_>, _>("credentials")?.0,
        name: row.try_get("name")?,
        description: row.try_get("description")?,
        is_active: row.try_get("is_active")?,
        webhook_id: row.try_get("webhook_id")?,
        id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        created_at: instant(row, "created_at")?,
        updated_at: instant(row, "updated_at")?,
        webhook: row.try_get::<Option<Json<_>>, _>("webhook")?.map(|webhook| webhook.0),
    })
}
