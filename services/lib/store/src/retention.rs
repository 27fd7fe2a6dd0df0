//! Forgetting: finished runs and ledger rows that are older than what is kept.

use std::time::Duration;

use crate::{Result, Store};

impl Store {
    /// Deletes up to `limit` runs that ended before `keep`, with everything that belongs to them. Call it again while it returns `limit`.
    pub async fn delete_old_runs(&self, keep: Duration, limit: i64) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM graph_executions WHERE id IN (
                 SELECT id FROM graph_executions
                 WHERE created_at < now() - make_interval(secs => $1) AND ended_at < now() - make_interval(secs => $1)
                 ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED)",
        )
        .bind(keep.as_secs_f64())
        .bind(limit)
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(done.rows_affected())
    }

    /// The same for decisions about schedule slots.
    pub async fn delete_old_decisions(&self, keep: Duration, limit: i64) -> Result<u64> {
        let done = sqlx::query(
            "DELETE FROM schedule_decisions WHERE (schedule_uid, slot) IN (
                 SELECT schedule_uid, slot FROM schedule_decisions WHERE decided_at < now() - make_interval(secs => $1) ORDER BY decided_at LIMIT $2)",
        )
        .bind(keep.as_secs_f64())
        .bind(limit)
        .execute(&self.pool)
        .await?;
        Ok(done.rows_affected())
    }
}
