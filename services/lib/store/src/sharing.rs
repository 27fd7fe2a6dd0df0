//! Runs that their owners show to whoever has the link (rest.md §2.6).

use model::{ExecutionStatus, GraphExecId, Outputs, Timestamp, UserId};
use sqlx::Row;
use uuid::Uuid;

use crate::execution_rows::{instant, status};
use crate::{IoBlocks, Result, Store};

/// What a shared run shows.
#[derive(Debug, Clone, PartialEq)]
pub struct SharedRun {
    pub id: GraphExecId,
    pub graph_name: String,
    pub graph_description: String,
    pub status: ExecutionStatus,
    pub created_at: Timestamp,
    pub outputs: Outputs,
}

impl Store {
    /// Shares a run of the user under a new token, or under none any more. False when he has no such run.
    pub async fn share_execution(&self, user_id: UserId, graph_exec_id: GraphExecId, token: Option<Uuid>) -> Result<bool> {
        let done = sqlx::query(
            "UPDATE graph_executions SET is_shared = $3::uuid IS NOT NULL, share_token = $3, shared_at = CASE WHEN $3 IS NOT NULL THEN now() END
             WHERE id = $1 AND user_id = $2 AND NOT is_deleted",
        )
        .bind(graph_exec_id)
        .bind(user_id)
        .bind(token)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected() > 0)
    }

    pub async fn get_shared_execution(&self, token: Uuid, blocks: &IoBlocks) -> Result<Option<SharedRun>> {
        let row = sqlx::query(
            "SELECT e.id, e.status, e.created_at, g.name, g.description FROM graph_executions e
             JOIN graphs g ON g.id = e.graph_id AND g.version = e.graph_version
             WHERE e.share_token = $1 AND e.is_shared AND NOT e.is_deleted",
        )
        .bind(token)
        .fetch_optional(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let Some(row) = row else { return Ok(None) };
        let id = row.try_get("id")?;
        Ok(Some(SharedRun {
            id,
            graph_name: row.try_get("name")?,
            graph_description: row.try_get("description")?,
            status: status(&row)?,
            created_at: instant(&row, "created_at")?,
            outputs: self.outputs(&[id], blocks).await?.remove(&id).unwrap_or_default(),
        }))
    }
}
