//! Libraries: who may run a graph (internals §2.2 step 2), and with which settings.

use model::{GraphId, GraphModel, UserId};
use serde_json::json;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::{Result, Store};

/// What a user may do with one version of a graph, and the settings that a run of it starts with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Access {
    /// The version exists, whoever owns it.
    pub exists: bool,
    /// The user owns it. An approved store listing will count here too.
    pub readable: bool,
    /// Some version is in the user's library, neither deleted nor archived.
    pub in_library: bool,
    /// `human_in_the_loop_safe_mode` of the library entry; none when it is not set or there is no entry.
    pub safe_mode: Option<bool>,
    /// The user's zone, or `not-set`; none for an unknown user.
    pub timezone: Option<String>,
}

impl Store {
    pub async fn graph_access(&self, user_id: UserId, graph_id: GraphId, graph_version: i32) -> Result<Access> {
        let row = sqlx::query(
            "SELECT EXISTS (SELECT FROM graphs WHERE id = $2 AND version = $3) AS exists,
                    EXISTS (SELECT FROM graphs WHERE id = $2 AND version = $3 AND user_id = $1) AS readable,
                    EXISTS (SELECT FROM library_agents WHERE user_id = $1 AND graph_id = $2 AND NOT is_deleted AND NOT is_archived) AS in_library,
                    (SELECT (settings ->> 'human_in_the_loop_safe_mode')::bool FROM library_agents
                     WHERE user_id = $1 AND graph_id = $2 AND NOT is_deleted ORDER BY graph_version DESC LIMIT 1) AS safe_mode,
                    (SELECT timezone FROM users WHERE id = $1) AS timezone",
        )
        .bind(user_id)
        .bind(graph_id)
        .bind(graph_version)
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(Access {
            exists: row.try_get("exists")?,
            readable: row.try_get("readable")?,
            in_library: row.try_get("in_library")?,
            safe_mode: row.try_get("safe_mode")?,
            timezone: row.try_get("timezone")?,
        })
    }
}

/// The graph's entry in its owner's library. One entry follows the active version.
pub(crate) async fn upsert_entry(connection: &mut PgConnection, graph: &GraphModel) -> Result<()> {
    let moved = sqlx::query(
        "UPDATE library_agents SET graph_version = $3, is_deleted = false, updated_at = now()
         WHERE user_id = $1 AND graph_id = $2 AND use_graph_is_active_version",
    )
    .bind(graph.user_id)
    .bind(graph.id)
    .bind(graph.version)
    .execute(&mut *connection)
    .await?;
    if moved.rows_affected() > 0 {
        return Ok(());
    }
    // Runs of a graph that asks people start in safe mode (rest.md §2.3).
    let settings = if graph.has_human_in_the_loop {
        json!({ "human_in_the_loop_safe_mode": true })
    } else {
        json!({})
    };
    sqlx::query("INSERT INTO library_agents (id, user_id, graph_id, graph_version, settings) VALUES ($1, $2, $3, $4, $5) ON CONFLICT DO NOTHING")
        .bind(Uuid::now_v7())
        .bind(graph.user_id)
        .bind(graph.id)
        .bind(graph.version)
        .bind(Json(settings))
        .execute(connection)
        .await?;
    Ok(())
}
