//! The stream of runs that changed, for a reader with a durable cursor (design §5, Execution).
//!
//! The cursor is the transaction that changed a run, and the run's id. Transactions commit in another order than they take their
//! numbers in, so a page ends before the oldest one that is still under way: what commits late is never jumped over.

use indexmap::IndexMap;
use model::progress::{ProgressCursor, ProgressPage, RunProgress};
use model::{ExecutionStats, ExecutionStatus, GraphExecId, StoredStats};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::execution_rows::{json, status, time};
use crate::{IoBlocks, Result, Store};

impl Store {
    /// Runs with an idempotency key whose status changed after the cursor, each with its present state. A cursor of another database (one
    /// that was restored elsewhere) starts from the beginning; so does an unreadable one.
    pub async fn progress_after(&self, cursor: &ProgressCursor, limit: u32, blocks: &IoBlocks) -> Result<ProgressPage> {
        let (xid, id) = parse(cursor);
        let horizon = self.commit_horizon().await?;
        let rows = sqlx::query(
            "SELECT progress_xid::text AS xid, id, idempotency_key, graph_id, graph_version, status, started_at, ended_at, stats
             FROM graph_executions
             WHERE idempotency_key IS NOT NULL
               AND (progress_xid, id) > ($1::text::xid8, $2) AND progress_xid < $4::text::xid8
             ORDER BY progress_xid, id LIMIT $3",
        )
        // A cursor beyond every transaction is one of another database.
        .bind(if xid < horizon.next { xid } else { 0 }.to_string())
        .bind(id)
        .bind(i64::from(limit))
        .bind(horizon.closed_below.to_string())
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let mut cursor = cursor.clone();
        if let Some(last) = rows.last() {
            cursor = ProgressCursor(format!("{}/{}", last.try_get::<&str, _>("xid")?, last.try_get::<GraphExecId, _>("id")?));
        }
        Ok(ProgressPage {
            cursor,
            runs: self.progress(&rows, blocks).await?,
        })
    }

    /// Where [`progress_after`](Self::progress_after) is now. What changed a run before is visible to whoever reads after this call; what
    /// changes one later, or commits later, comes behind the cursor.
    pub async fn progress_cursor(&self) -> Result<ProgressCursor> {
        let before = self.commit_horizon().await?.closed_below.saturating_sub(1);
        Ok(ProgressCursor(format!("{before}/{}", Uuid::max())))
    }

    /// The present state of the runs with these idempotency keys, in no order.
    pub async fn progress_by_keys(&self, keys: &[String], blocks: &IoBlocks) -> Result<Vec<RunProgress>> {
        let rows = sqlx::query(
            "SELECT id, idempotency_key, graph_id, graph_version, status, started_at, ended_at, stats
             FROM graph_executions WHERE idempotency_key = ANY($1)",
        )
        .bind(keys)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        self.progress(&rows, blocks).await
    }

    /// The present state of these runs, of those that have an idempotency key, and what those that are not terminal have to show.
    pub async fn progress_of(&self, graph_exec_ids: &[GraphExecId], blocks: &IoBlocks) -> Result<Vec<RunProgress>> {
        let rows = sqlx::query(
            "SELECT id, idempotency_key, graph_id, graph_version, status, started_at, ended_at, stats
             FROM graph_executions WHERE id = ANY($1) AND idempotency_key IS NOT NULL",
        )
        .bind(graph_exec_ids)
        .fetch_all(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let mut runs = self.progress(&rows, blocks).await?;
        let under_way = runs.iter().filter(|run| !run.status.is_terminal()).map(|run| run.graph_exec_id);
        let mut looks = self.looks(&under_way.collect::<Vec<_>>(), blocks).await?;
        for run in &mut runs {
            run.look = looks.remove(&run.graph_exec_id);
        }
        Ok(runs)
    }

    async fn progress(&self, rows: &[PgRow], blocks: &IoBlocks) -> Result<Vec<RunProgress>> {
        let ids: Vec<GraphExecId> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let mut runs = Vec::with_capacity(rows.len());
        let mut counts = self.node_counts(&ids).await?;
        let mut over = Vec::new();
        for row in rows {
            if status(row)?.is_terminal() {
                over.push(row.try_get("id")?);
            }
        }
        let mut outputs = self.outputs(&over, blocks).await?;
        for row in rows {
            let graph_exec_id: GraphExecId = row.try_get("id")?;
            let status = status(row)?;
            runs.push(RunProgress {
                graph_exec_id,
                idempotency_key: row.try_get("idempotency_key")?,
                graph_id: row.try_get("graph_id")?,
                graph_version: row.try_get("graph_version")?,
                status,
                started_at: time(row, "started_at")?,
                ended_at: time(row, "ended_at")?,
                stats: json::<StoredStats>(row, "stats")?.map(ExecutionStats::from),
                node_counts: counts.swap_remove(&graph_exec_id).unwrap_or_default(),
                outputs: status.is_terminal().then(|| outputs.remove(&graph_exec_id).unwrap_or_default()),
                look: None,
            });
        }
        Ok(runs)
    }

    /// Only transactions of this database count: `pg_snapshot_xmin` alone would also wait for those of other databases of the same server,
    /// however long they take. Where sessions of other roles hide theirs, it is what remains.
    ///
    /// The numbers are read before the caller's query takes its snapshot: what is neither open now nor numbered later is visible to it.
    async fn commit_horizon(&self) -> Result<Horizon> {
        let row = sqlx::query(
            "SELECT pg_snapshot_xmin(pg_current_snapshot())::text AS oldest, pg_snapshot_xmax(pg_current_snapshot())::text AS next,
                    coalesce(bool_or(state IS NULL), false) AS hidden,
                    coalesce(array_agg(backend_xid::text) FILTER (WHERE backend_xid IS NOT NULL), '{}') AS open
             FROM pg_stat_activity WHERE datname = current_database() AND backend_type = 'client backend' AND pid <> pg_backend_pid()",
        )
        .fetch_one(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        let number = |column: &str| -> Result<u64> {
            row.try_get::<&str, _>(column)?
                .parse()
                .map_err(|_| crate::Error::Decode(column.to_owned()))
        };
        let next = number("next")?;
        if row.try_get("hidden")? {
            return Ok(Horizon {
                next,
                closed_below: number("oldest")?,
            });
        }
        let open: Vec<String> = row.try_get("open")?;
        let open = open.iter().filter_map(|xid| xid.parse().ok()).map(|xid| widen(xid, next));
        Ok(Horizon {
            next,
            closed_below: open.fold(next, u64::min),
        })
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

/// Transactions below `closed_below` are over; none has `next` or a higher number yet.
struct Horizon {
    next: u64,
    closed_below: u64,
}

/// The full number of a transaction that the server shows in 32 bits, near `next`.
fn widen(xid: u32, next: u64) -> u64 {
    let low = u32::try_from(next & u64::from(u32::MAX)).unwrap_or(u32::MAX);
    let behind = low.wrapping_sub(xid);
    // More than half the circle behind means ahead.
    if behind > u32::MAX / 2 { next } else { next - u64::from(behind) }
}

/// Text form `<xid>/<run id>`.
fn parse(cursor: &ProgressCursor) -> (u64, Uuid) {
    let parsed = cursor.0.split_once('/').and_then(|(xid, id)| Some((xid.parse().ok()?, id.parse().ok()?)));
    parsed.unwrap_or((0, Uuid::nil()))
}

#[cfg(test)]
mod tests {
    use super::widen;

    #[test]
    fn numbers_are_widened_across_the_wrap() {
        let wrap = 1_u64 << 32;
        assert_eq!(widen(90, 100), 90);
        assert_eq!(widen(100, 100), 100);
        assert_eq!(widen(120, 100), 100);
        assert_eq!(widen(5, wrap + 10), wrap + 5);
        assert_eq!(widen(u32::MAX, wrap + 10), wrap - 1);
        assert_eq!(widen(3, 7 * wrap - 2), 7 * wrap - 2);
    }
}
