//! The stream of runs that changed, for a reader with a durable cursor (design §5, Execution).
//!
//! The cursor is the transaction that changed a run, and the run's id. Transactions commit in another order than they take their
//! numbers in, so a page ends before the oldest one that is still under way (`pg_snapshot_xmin`): what commits late is never jumped over.

use indexmap::IndexMap;
use model::progress::{ProgressCursor, ProgressPage, RunProgress};
use model::{ExecutionStats, ExecutionStatus, GraphExecId, StoredStats};
use sqlx::Row;
use uuid::Uuid;

use crate::execution_rows::{json, status, time};
use crate::{IoBlocks, Result, Store};

impl Store {
    /// Runs with an idempotency key whose status changed after the cursor, each with its present state. A cursor of another database (one
    /// that was restored elsewhere) starts from the beginning; so does an unreadable one.
    pub async fn progress_after(&self, cursor: &ProgressCursor, limit: u32, blocks: &IoBlocks) -> Result<ProgressPage> {
        let (xid, id) = parse(cursor);
        let rows = sqlx::query(
            "SELECT progress_xid::text AS xid, id, idempotency_key, graph_id, graph_version, status, started_at, ended_at, stats
             FROM graph_executions
             WHERE idempotency_key IS NOT NULL
               AND (progress_xid, id) > (CASE WHEN $1::text::xid8 < pg_snapshot_xmax(pg_current_snapshot()) THEN $1::text::xid8 ELSE '0'::xid8 END, $2)
               AND progress_xid < pg_snapshot_xmin(pg_current_snapshot())
             ORDER BY progress_xid, id LIMIT $3",
        )
        .bind(xid)
        .bind(id)
        .bind(i64::from(limit))
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let mut page = ProgressPage {
            cursor: cursor.clone(),
            runs: Vec::with_capacity(rows.len()),
        };
        let ids: Vec<GraphExecId> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let mut counts = self.node_counts(&ids).await?;
        for row in &rows {
            let graph_exec_id: GraphExecId = row.try_get("id")?;
            let status = status(row)?;
            page.runs.push(RunProgress {
                graph_exec_id,
                idempotency_key: row.try_get("idempotency_key")?,
                graph_id: row.try_get("graph_id")?,
                graph_version: row.try_get("graph_version")?,
                status,
                started_at: time(row, "started_at")?,
                ended_at: time(row, "ended_at")?,
                stats: json::<StoredStats>(row, "stats")?.map(ExecutionStats::from),
                node_counts: counts.swap_remove(&graph_exec_id).unwrap_or_default(),
                outputs: if status.is_terminal() {
                    Some(self.outputs(graph_exec_id, blocks).await?)
                } else {
                    None
                },
            });
            page.cursor = ProgressCursor(format!("{}/{graph_exec_id}", row.try_get::<&str, _>("xid")?));
        }
        Ok(page)
    }

    /// Node executions by status.
    async fn node_counts(&self, ids: &[GraphExecId]) -> Result<IndexMap<GraphExecId, IndexMap<String, i64>>> {
        let rows = sqlx::query(
            "SELECT graph_exec_id, status, count(*) AS count FROM node_executions WHERE graph_exec_id = ANY($1)
             GROUP BY graph_exec_id, status ORDER BY graph_exec_id, status",
        )
        .bind(ids)
        .fetch_all(&self.pool)
        .await?;
        let mut counts: IndexMap<GraphExecId, IndexMap<String, i64>> = IndexMap::new();
        for row in &rows {
            let of_run = counts.entry(row.try_get("graph_exec_id")?).or_default();
            of_run.insert(row.try_get::<String, _>("status")?, row.try_get("count")?);
        }
        Ok(counts)
    }

    /// The present status of any run, whoever owns it.
    pub async fn get_status(&self, graph_exec_id: GraphExecId) -> Result<Option<ExecutionStatus>> {
        let word: Option<String> = sqlx::query_scalar("SELECT status::text FROM graph_executions WHERE id = $1")
            .bind(graph_exec_id)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(word.map(|word| word.parse()).transpose()?)
    }
}

/// Text form `<xid>/<run id>`.
fn parse(cursor: &ProgressCursor) -> (String, Uuid) {
    let parsed = cursor.0.split_once('/').and_then(|(xid, id)| {
        let xid: u64 = xid.parse().ok()?;
        Some((xid, id.parse().ok()?))
    });
    let (xid, id) = parsed.unwrap_or((0, Uuid::nil()));
    (xid.to_string(), id)
}
