//! Times at which a run has to be looked at: the end of a backoff, and its deadline.
//!
//! An alarm only says when to look; what is to be done is read from the run. So alarms may be doubled, late or pointless.

use std::time::Duration;

use model::{ExecutionStatus, GraphExecId, PAST_DEADLINE};
use sqlx::{PgConnection, Row};

use crate::{Result, Store, control};

/// Alarms answered in one transaction.
const BATCH: i64 = 500;
/// The executor ends a run at its deadline itself. It is looked at again after this time, should the executor be gone by then.
const LOOK_AGAIN_SECONDS: f64 = 5.0;

/// What came of the alarms that were due.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rung {
    /// Runs that may be claimed now.
    pub woken: u64,
    /// Runs that ended, as their deadline had passed.
    pub ended: u64,
    /// Until the next alarm; none when there is no other. Zero when one is due already.
    pub next: Option<Duration>,
}

/// What is due of a run.
#[derive(Default)]
struct Due {
    expired: Vec<GraphExecId>,
    held: Vec<GraphExecId>,
    claimable: Vec<GraphExecId>,
}

impl Store {
    /// Answers the alarms that are due. Others that do so at the same time get other alarms.
    pub async fn ring_alarms(&self) -> Result<Rung> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let ids: Vec<GraphExecId> = sqlx::query_scalar(
            "DELETE FROM run_alarms WHERE ctid = ANY(ARRAY(
                 SELECT ctid FROM run_alarms WHERE due_at <= clock_timestamp() ORDER BY due_at LIMIT $1 FOR UPDATE SKIP LOCKED))
             RETURNING graph_exec_id",
        )
        .bind(BATCH)
        .fetch_all(&mut *tx)
        .await?;
        let mut rung = Rung::default();
        if !ids.is_empty() {
            let due = due(&mut tx, &ids).await?;
            control::finish(&mut tx, &due.expired, ExecutionStatus::Terminated, Some(PAST_DEADLINE)).await?;
            look_again(&mut tx, &due.held).await?;
            rung.woken = wake(&mut tx, &due.claimable).await?;
            rung.ended = u64::try_from(due.expired.len()).unwrap_or(u64::MAX);
        }
        let next: Option<f64> = sqlx::query_scalar("SELECT extract(epoch FROM min(due_at) - clock_timestamp())::float8 FROM run_alarms")
            .fetch_one(&mut *tx)
            .await?;
        rung.next = next.map(|seconds| Duration::from_secs_f64(seconds.clamp(0.0, 86_400.0)));
        tx.commit().await?;
        Ok(rung)
    }
}

/// Locks the runs and judges each by its row.
async fn due(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<Due> {
    let rows = sqlx::query(
        "SELECT id, lease_owner IS NOT NULL AS held, coalesce(deadline_at <= clock_timestamp(), false) AS expired,
             coalesce(not_before <= clock_timestamp(), false) AS claimable
         FROM graph_executions WHERE id = ANY($1) AND ended_at IS NULL ORDER BY id FOR NO KEY UPDATE",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    let mut due = Due::default();
    for row in &rows {
        let id = row.try_get("id")?;
        let (held, expired, claimable): (bool, bool, bool) = (row.try_get("held")?, row.try_get("expired")?, row.try_get("claimable")?);
        match (expired, held) {
            (true, false) => due.expired.push(id),
            (true, true) => due.held.push(id),
            (false, _) if claimable => due.claimable.push(id),
            (false, _) => {}
        }
    }
    Ok(due)
}

async fn look_again(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<()> {
    sqlx::query(
        "INSERT INTO run_alarms (graph_exec_id, due_at) SELECT id, clock_timestamp() + make_interval(secs => $2) FROM unnest($1::uuid[]) AS u(id)
         ON CONFLICT DO NOTHING",
    )
    .bind(ids)
    .bind(LOOK_AGAIN_SECONDS)
    .execute(connection)
    .await?;
    Ok(())
}

async fn wake(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<u64> {
    let woken = sqlx::query(
        "WITH awake AS (UPDATE graph_executions SET not_before = NULL, updated_at = now() WHERE id = ANY($1) RETURNING id)
         INSERT INTO outbox (graph_exec_id) SELECT id FROM awake",
    )
    .bind(ids)
    .execute(connection)
    .await?;
    Ok(woken.rows_affected())
}
