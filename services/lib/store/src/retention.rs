//! Forgetting: finished runs and ledger rows that are older than what is kept.

use std::time::Duration;

use sqlx::PgConnection;

use crate::{Result, Store};

/// Held by whoever forgets; the number has no meaning.
const FORGETTING: i64 = 0x6175_746f_6770_7401;

impl Store {
    /// Deletes up to `limit` runs that ended before `keep`, with everything that belongs to them, and up to `limit` decisions about schedule
    /// slots of that age, in one transaction. Returns the larger number: call it again while it returns `limit`. None when another process
    /// is at it.
    pub async fn forget(&self, keep: Duration, limit: i64) -> Result<Option<u64>> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let alone: bool = sqlx::query_scalar("SELECT pg_try_advisory_xact_lock($1)")
            .bind(FORGETTING)
            .fetch_one(&mut *tx)
            .await?;
        if !alone {
            return Ok(None);
        }
        let runs = delete_old_runs(&mut tx, keep, limit).await?;
        let decisions = delete_old_decisions(&mut tx, keep, limit).await?;
        tx.commit().await?;
        Ok(Some(runs.max(decisions)))
    }
}

async fn delete_old_runs(connection: &mut PgConnection, keep: Duration, limit: i64) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM graph_executions WHERE id = ANY(ARRAY(
             SELECT id FROM graph_executions
             WHERE created_at < now() - make_interval(secs => $1) AND ended_at < now() - make_interval(secs => $1)
             ORDER BY created_at LIMIT $2 FOR UPDATE SKIP LOCKED))",
    )
    .bind(keep.as_secs_f64())
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}

async fn delete_old_decisions(connection: &mut PgConnection, keep: Duration, limit: i64) -> Result<u64> {
    let done = sqlx::query(
        "DELETE FROM schedule_decisions WHERE (schedule_uid, slot, request) IN (
             SELECT schedule_uid, slot, request FROM schedule_decisions WHERE decided_at < now() - make_interval(secs => $1) ORDER BY decided_at LIMIT $2)",
    )
    .bind(keep.as_secs_f64())
    .bind(limit)
    .execute(connection)
    .await?;
    Ok(done.rows_affected())
}
