//! Giving runs back: on request of their executor, or because its lease ran out.

use model::{ExecutionStatus, GraphExecId};
use sqlx::PgConnection;
use uuid::Uuid;

use crate::{Result, Store, control};

/// A waiting run whose wake-up may have been lost is announced again after this time.
const WAKE_AGAIN_AFTER_SECONDS: f64 = 20.0;
/// As one wake-up makes an executor take all it can, a few are enough.
const WAKE_AGAIN_AT_MOST: i64 = 16;
/// A run that was claimed and shows no sign of its executor: the answer to the claim was lost on its way.
const CLAIM_LOST_AFTER_SECONDS: f64 = 45.0;

/// What a sweep found.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Swept {
    /// Leases that had run out.
    pub leases: u64,
    /// Runs that wait for another executor now.
    pub requeued: u64,
    /// Runs that ended, as their cancellation had been asked for.
    pub cancelled: u64,
    /// Waiting runs that are announced again.
    pub woken: u64,
    /// Suspended runs whose children are all over, although nobody woke them.
    pub resumed: u64,
}

impl Store {
    /// Runs of `owner` back to QUEUED, for anybody to claim. Ids of other owners' runs are ignored.
    pub async fn release_runs(&self, owner: Uuid, graph_exec_ids: &[GraphExecId]) -> Result<u64> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let mut ids: Vec<GraphExecId> =
            sqlx::query_scalar("SELECT id FROM graph_executions WHERE lease_owner = $1 AND id = ANY($2) ORDER BY id FOR NO KEY UPDATE")
                .bind(owner)
                .bind(graph_exec_ids)
                .fetch_all(&mut *tx)
                .await?;
        let swept = give_back(&mut tx, &mut ids).await?;
        tx.commit().await?;
        Ok(swept.requeued + swept.cancelled)
    }

    /// The executor goes: all its runs are free, and its lease is gone.
    pub async fn release_lease(&self, owner: Uuid) -> Result<Swept> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let gone = sqlx::query("DELETE FROM executor_leases WHERE owner = $1")
            .bind(owner)
            .execute(&mut *tx)
            .await?;
        let mut ids = runs_of(&mut tx, &[owner]).await?;
        let mut swept = give_back(&mut tx, &mut ids).await?;
        swept.leases = gone.rows_affected();
        tx.commit().await?;
        Ok(swept)
    }

    /// Takes runs from executors whose lease has run out, and reminds of runs that nobody came for. Whoever calls this has waited one
    /// full lease since the database was last away, so that living executors could renew theirs.
    pub async fn sweep(&self) -> Result<Swept> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        // A renewal that is under way holds its row: it is skipped here and alive the next time.
        let expired: Vec<Uuid> = sqlx::query_scalar(
            "DELETE FROM executor_leases WHERE owner IN (
                 SELECT owner FROM executor_leases WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED) RETURNING owner",
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut ids = runs_of(&mut tx, &expired).await?;
        ids.extend(orphans(&mut tx).await?);
        let mut swept = give_back(&mut tx, &mut ids).await?;
        swept.leases = u64::try_from(expired.len()).unwrap_or(u64::MAX);
        swept.resumed = resume_forgotten(&mut tx).await?;
        swept.woken = wake_again(&mut tx).await?;
        tx.commit().await?;
        Ok(swept)
    }
}

async fn runs_of(connection: &mut PgConnection, owners: &[Uuid]) -> Result<Vec<GraphExecId>> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    Ok(
        sqlx::query_scalar("SELECT id FROM graph_executions WHERE lease_owner = ANY($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(owners)
            .fetch_all(connection)
            .await?,
    )
}

/// Runs whose owner has no lease row, and runs that were claimed long ago without ever being started.
async fn orphans(connection: &mut PgConnection) -> Result<Vec<GraphExecId>> {
    Ok(sqlx::query_scalar(
        "SELECT id FROM graph_executions g WHERE lease_owner IS NOT NULL AND (
             NOT EXISTS (SELECT FROM executor_leases l WHERE l.owner = g.lease_owner)
             OR (status = 'QUEUED' AND claimed_at < clock_timestamp() - make_interval(secs => $1)))
         ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
    )
    .bind(CLAIM_LOST_AFTER_SECONDS)
    .fetch_all(connection)
    .await?)
}

/// RUNNING → QUEUED is no transition of the contract but a change of hands: the run goes on elsewhere. The rows are locked.
async fn give_back(connection: &mut PgConnection, ids: &mut Vec<GraphExecId>) -> Result<Swept> {
    if ids.is_empty() {
        return Ok(Swept::default());
    }
    let cancelled: Vec<GraphExecId> = sqlx::query_scalar("SELECT id FROM graph_executions WHERE id = ANY($1) AND cancel_requested ORDER BY id")
        .bind(&*ids)
        .fetch_all(&mut *connection)
        .await?;
    control::finish(connection, &cancelled, ExecutionStatus::Terminated, None).await?;
    ids.retain(|id| !cancelled.contains(id));
    let requeued = sqlx::query(
        "WITH back AS (
             UPDATE graph_executions SET status = 'QUEUED', lease_owner = NULL, claimed_at = NULL, updated_at = now(),
                 progress_xid = pg_current_xact_id()
             WHERE id = ANY($1) RETURNING id)
         INSERT INTO outbox (graph_exec_id) SELECT id FROM back",
    )
    .bind(&*ids)
    .execute(connection)
    .await?;
    Ok(Swept {
        requeued: requeued.rows_affected(),
        cancelled: u64::try_from(cancelled.len()).unwrap_or(u64::MAX),
        ..Swept::default()
    })
}

/// The transaction that ends the last child wakes its parent, so this finds nothing unless rows were changed by hand.
async fn resume_forgotten(connection: &mut PgConnection) -> Result<u64> {
    let forgotten: Vec<GraphExecId> = sqlx::query_scalar(
        "SELECT id FROM graph_executions g WHERE suspended_at IS NOT NULL
             AND NOT EXISTS (SELECT FROM graph_executions child WHERE child.parent_graph_exec_id = g.id AND child.ended_at IS NULL)
         ORDER BY id FOR NO KEY UPDATE SKIP LOCKED",
    )
    .fetch_all(&mut *connection)
    .await?;
    control::resume_suspended(connection, &forgotten).await
}

async fn wake_again(connection: &mut PgConnection) -> Result<u64> {
    let woken = sqlx::query(
        "WITH waiting AS (
             SELECT id FROM graph_executions g
             WHERE status = 'QUEUED' AND lease_owner IS NULL AND updated_at < now() - make_interval(secs => $1)
               AND NOT EXISTS (SELECT FROM outbox o WHERE o.graph_exec_id = g.id)
             ORDER BY updated_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
         ), touched AS (
             UPDATE graph_executions g SET updated_at = now() FROM waiting WHERE g.id = waiting.id RETURNING g.id
         )
         INSERT INTO outbox (graph_exec_id) SELECT id FROM touched",
    )
    .bind(WAKE_AGAIN_AFTER_SECONDS)
    .bind(WAKE_AGAIN_AT_MOST)
    .execute(connection)
    .await?;
    Ok(woken.rows_affected())
}
