//! Runs that were given up: the list that people look at, and what driving one again needs.

use indexmap::IndexMap;
use model::{CredentialsMetaInput, DeadRun, ExecutionStatus, GraphExecId, GraphId, Map, NodeInputMasks, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::execution_rows::{instant, json, map};
use crate::{Error, Result, Store, control};

const COLUMNS: &str =
    "d.graph_exec_id, d.user_id, g.graph_id, g.graph_version, d.attempts, d.error, d.executor, d.died_at, d.redrives, d.redriven_as";

/// A dead run with what it was submitted with.
#[derive(Debug, Clone)]
pub struct Grave {
    pub dead: DeadRun,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Map,
    pub credential_inputs: IndexMap<String, CredentialsMetaInput>,
    pub nodes_input_masks: NodeInputMasks,
    pub preset_id: Option<Uuid>,
    /// The status of the run that came of the last redrive.
    pub redriven_status: Option<ExecutionStatus>,
}

impl Store {
    /// Newest first.
    pub async fn list_dead_runs(&self, user_id: Option<UserId>, only_undriven: bool, limit: i64) -> Result<Vec<DeadRun>> {
        let query = format!(
            "SELECT {COLUMNS} FROM dead_runs d JOIN graph_executions g ON g.id = d.graph_exec_id
             WHERE ($1::uuid IS NULL OR d.user_id = $1) AND (NOT $2 OR d.redrives = 0) ORDER BY d.died_at DESC, d.graph_exec_id LIMIT $3"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(user_id)
            .bind(only_undriven)
            .bind(limit)
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(dead_run).collect()
    }

    /// NotFound when the run is not on the list.
    pub async fn grave(&self, graph_exec_id: GraphExecId) -> Result<Grave> {
        let query = format!(
            "SELECT {COLUMNS}, g.inputs, g.credential_inputs, g.nodes_input_masks, g.preset_id,
                 (SELECT r.status::text FROM graph_executions r WHERE r.id = d.redriven_as) AS redriven_status
             FROM dead_runs d JOIN graph_executions g ON g.id = d.graph_exec_id WHERE d.graph_exec_id = $1"
        );
        let row = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(graph_exec_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        let row = row.ok_or_else(|| Error::NotFound(format!("Graph execution #{graph_exec_id} is not on the dead list")))?;
        Ok(Grave {
            dead: dead_run(&row)?,
            user_id: row.try_get("user_id")?,
            graph_id: row.try_get("graph_id")?,
            graph_version: row.try_get("graph_version")?,
            inputs: map(&row, "inputs")?,
            credential_inputs: json(&row, "credential_inputs")?.unwrap_or_default(),
            nodes_input_masks: json(&row, "nodes_input_masks")?.unwrap_or_default(),
            preset_id: row.try_get("preset_id")?,
            redriven_status: row
                .try_get::<Option<String>, _>("redriven_status")?
                .map(|word| word.parse())
                .transpose()?,
        })
    }

    /// Notes that `new_run` came of redrive number `number`. Repeating it changes nothing.
    pub async fn mark_redriven(&self, graph_exec_id: GraphExecId, number: i32, new_run: GraphExecId) -> Result<()> {
        sqlx::query("UPDATE dead_runs SET redrives = $2, redriven_as = $3 WHERE graph_exec_id = $1 AND redrives < $2")
            .bind(graph_exec_id)
            .bind(number)
            .bind(new_run)
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(())
    }
}

/// Ends a run whose row the caller has locked as FAILED and puts it on the list.
pub(crate) async fn bury(
    connection: &mut PgConnection,
    graph_exec_id: GraphExecId,
    attempts: u32,
    executor: Option<&str>,
    reason: &str,
) -> Result<()> {
    let error = format!("Given up after {attempts} attempts in a row in which no node ended. The last one: {reason}.");
    control::finish(connection, &[graph_exec_id], ExecutionStatus::Failed, Some(&error)).await?;
    sqlx::query(
        "INSERT INTO dead_runs (graph_exec_id, user_id, attempts, error, executor)
         SELECT id, user_id, $2, $3, $4 FROM graph_executions WHERE id = $1 ON CONFLICT DO NOTHING",
    )
    .bind(graph_exec_id)
    .bind(i32::try_from(attempts).unwrap_or(i32::MAX))
    .bind(reason)
    .bind(executor)
    .execute(connection)
    .await?;
    Ok(())
}

fn dead_run(row: &PgRow) -> Result<DeadRun> {
    Ok(DeadRun {
        graph_exec_id: row.try_get("graph_exec_id")?,
        user_id: row.try_get("user_id")?,
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        attempts: row.try_get("attempts")?,
        error: row.try_get("error")?,
        executor: row.try_get("executor")?,
        died_at: instant(row, "died_at")?,
        redrives: row.try_get("redrives")?,
        redriven_as: row.try_get("redriven_as")?,
    })
}
