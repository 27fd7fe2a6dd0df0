//! The contract's writing methods (internals §1.5, 9–14). The executor never uses them; they are for callers of the reference's RPC, and
//! refuse while a run is leased, so that a run has one writer.

use model::{ExecutionStatus, GraphExecId, GraphExecution, Map, NodeExecId, NodeExecutionResult, NodeId, NodeStats, StoredStats};
use serde_json::Value;
use sqlx::types::Json;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::execution_rows::words;
use crate::node_executions::read_inputs;
use crate::{Error, IoBlocks, Result, Store, control, storable};

/// A guarded change of a node execution.
#[derive(Debug, Clone)]
pub struct NodeExecutionUpdate {
    pub status: ExecutionStatus,
    pub execution_data: Option<Map>,
    pub stats: Option<NodeStats>,
}

impl Store {
    /// Number of node executions that changed; those whose status does not allow the new one stay as they are.
    pub async fn update_node_executions(&self, ids: &[NodeExecId], update: NodeExecutionUpdate) -> Result<u64> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let runs: Vec<GraphExecId> = sqlx::query_scalar("SELECT DISTINCT graph_exec_id FROM node_executions WHERE id = ANY($1)")
            .bind(ids)
            .fetch_all(&mut *tx)
            .await?;
        lock_unleased(&mut tx, &runs).await?;
        let data = update.execution_data.map(|mut data| {
            storable::strip_map(&mut data);
            Json(data)
        });
        let done = sqlx::query(
            "UPDATE node_executions SET status = $2, execution_data = coalesce($3, execution_data), stats = coalesce($4, stats),
                 queued_at = CASE WHEN $2 = 'QUEUED' THEN now() ELSE queued_at END,
                 started_at = CASE WHEN $2 = 'RUNNING' THEN now() ELSE started_at END,
                 ended_at = CASE WHEN $2 IN ('COMPLETED', 'FAILED') THEN now() ELSE ended_at END
             WHERE id = ANY($1) AND status = ANY($5)",
        )
        .bind(ids)
        .bind(update.status.as_str())
        .bind(data)
        .bind(update.stats.map(Json))
        .bind(words(update.status.allowed_from()))
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(done.rows_affected())
    }

    /// A status that the stored one does not allow changes nothing, stats included; the run is returned as it then is.
    pub async fn update_execution(
        &self,
        graph_exec_id: GraphExecId,
        to: Option<ExecutionStatus>,
        stats: Option<StoredStats>,
        blocks: &IoBlocks,
    ) -> Result<Option<GraphExecution>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        lock_unleased(&mut tx, &[graph_exec_id]).await?;
        let changed: Vec<GraphExecId> = sqlx::query_scalar(
            "UPDATE graph_executions SET status = coalesce($2, status), stats = coalesce($3, stats), updated_at = now(),
                 suspended_at = CASE WHEN $2::text IS NULL THEN suspended_at END,
                 started_at = CASE WHEN $2 = 'RUNNING' THEN coalesce(started_at, now()) ELSE started_at END,
                 ended_at = CASE WHEN $2 IN ('COMPLETED', 'FAILED', 'TERMINATED') THEN now() ELSE ended_at END,
                 progress_xid = pg_current_xact_id()
             WHERE id = $1 AND ($2::text IS NULL OR status = ANY($4)) AND status NOT IN ('COMPLETED', 'FAILED', 'TERMINATED')
             RETURNING id",
        )
        .bind(graph_exec_id)
        .bind(to.map(ExecutionStatus::as_str))
        .bind(stats.map(Json))
        .bind(words(to.map_or(&[][..], ExecutionStatus::allowed_from)))
        .fetch_all(&mut *tx)
        .await?;
        match to {
            Some(ExecutionStatus::Queued) => control::announce(&mut tx, &changed).await?,
            Some(to) if to.is_terminal() => control::after_end(&mut tx, &changed).await?,
            _ => {}
        }
        tx.commit().await?;
        self.get_execution(None, graph_exec_id, blocks).await
    }

    /// Gives the oldest INCOMPLETE execution of the node that lacks the pin its value, or makes a new execution (internals §2.9 step 3a).
    /// Returns the execution and everything that it has received.
    pub async fn upsert_input(
        &self,
        node_id: NodeId,
        graph_exec_id: GraphExecId,
        name: &str,
        mut value: Value,
        node_exec_id: Option<NodeExecId>,
    ) -> Result<(NodeExecutionResult, Map)> {
        storable::make_storable(&mut value);
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let seq = next_seq(&mut tx, graph_exec_id).await?;
        let open: Option<NodeExecId> = sqlx::query_scalar(
            "SELECT id FROM node_executions ne WHERE graph_exec_id = $1 AND node_id = $2 AND status = 'INCOMPLETE' AND ($4::uuid IS NULL OR id = $4)
               AND NOT EXISTS (SELECT FROM node_inputs i WHERE i.node_exec_id = ne.id AND i.name = $3)
             ORDER BY added_seq LIMIT 1",
        )
        .bind(graph_exec_id)
        .bind(node_id)
        .bind(name)
        .bind(node_exec_id)
        .fetch_optional(&mut *tx)
        .await?;
        let id = match (open, node_exec_id) {
            (Some(id), _) => id,
            (None, Some(id)) => return Err(Error::NotFound(format!("NodeExecution {id} not found or not incomplete"))),
            (None, None) => create_node_execution(&mut tx, graph_exec_id, node_id, seq).await?,
        };
        insert_value(&mut tx, "node_inputs", id, seq, name, &value).await?;
        let received = read_inputs(&mut *tx, &[id]).await?.remove(&id).unwrap_or_default();
        tx.commit().await?;
        let execution = self.get_node_execution(id).await?.ok_or_else(|| Error::no_node_execution(id))?;
        Ok((execution, received))
    }

    pub async fn add_output(&self, node_exec_id: NodeExecId, name: &str, mut value: Value) -> Result<()> {
        storable::make_storable(&mut value);
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let run: Option<GraphExecId> = sqlx::query_scalar("SELECT graph_exec_id FROM node_executions WHERE id = $1")
            .bind(node_exec_id)
            .fetch_optional(&mut *tx)
            .await?;
        let run = run.ok_or_else(|| Error::no_node_execution(node_exec_id))?;
        let seq = next_seq(&mut tx, run).await?;
        insert_value(&mut tx, "node_outputs", node_exec_id, seq, name, &value).await?;
        tx.commit().await?;
        Ok(())
    }
}

impl Error {
    pub(crate) fn no_node_execution(id: NodeExecId) -> Self {
        Self::NotFound(format!("Node execution #{id} not found"))
    }
}

async fn lock_unleased(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<()> {
    let rows = sqlx::query("SELECT id, lease_owner FROM graph_executions WHERE id = ANY($1) ORDER BY id FOR NO KEY UPDATE")
        .bind(ids)
        .fetch_all(connection)
        .await?;
    for row in &rows {
        if row.try_get::<Option<Uuid>, _>("lease_owner")?.is_some() {
            return Err(Error::Leased(row.try_get("id")?));
        }
    }
    Ok(())
}

/// The next position in the journal of a run that nobody leases.
async fn next_seq(connection: &mut PgConnection, graph_exec_id: GraphExecId) -> Result<i64> {
    lock_unleased(connection, &[graph_exec_id]).await?;
    let seq: Option<i64> =
        sqlx::query_scalar("UPDATE graph_executions SET journal_seq = journal_seq + 1, updated_at = now() WHERE id = $1 RETURNING journal_seq")
            .bind(graph_exec_id)
            .fetch_optional(connection)
            .await?;
    seq.ok_or_else(|| Error::no_execution(graph_exec_id))
}

async fn create_node_execution(connection: &mut PgConnection, graph_exec_id: GraphExecId, node_id: NodeId, seq: i64) -> Result<NodeExecId> {
    let id = Uuid::now_v7();
    sqlx::query("INSERT INTO node_executions (id, graph_exec_id, node_id, status, added_seq, added_at) VALUES ($1, $2, $3, 'INCOMPLETE', $4, now())")
        .bind(id)
        .bind(graph_exec_id)
        .bind(node_id)
        .bind(seq)
        .execute(connection)
        .await?;
    Ok(id)
}

async fn insert_value(connection: &mut PgConnection, table: &str, id: NodeExecId, seq: i64, name: &str, value: &Value) -> Result<()> {
    let query = format!("INSERT INTO {table} (node_exec_id, seq, name, value, created_at) VALUES ($1, $2, $3, $4, now())");
    sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(id)
        .bind(seq)
        .bind(name)
        .bind(Json(value))
        .execute(connection)
        .await?;
    Ok(())
}
