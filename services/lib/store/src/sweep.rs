//! Giving runs back: on request of their executor, because it gave them up, or because its lease ran out.
//!
//! What was handed over is simply free again. What came back in any other way counts as an attempt ([`crate::attempts`]).

use std::collections::HashMap;
use std::time::Duration;

use model::{ExecutionStatus, GivenUpRun, GraphExecId, HeldRun};
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::attempts::{History, Verdict, judge};
use crate::{Result, Store, control, dead_runs};

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
    /// Runs that wait for another executor now, or later.
    pub requeued: u64,
    /// Runs that ended, as their cancellation had been asked for.
    pub cancelled: u64,
    /// Runs that are FAILED, as no executor got on with them.
    pub dead: u64,
    /// Waiting runs that are announced again.
    pub woken: u64,
    /// Suspended runs whose children are all over, although nobody woke them.
    pub resumed: u64,
}

/// A run that came back without having been handed over. Its row is locked.
struct Returned {
    id: GraphExecId,
    /// Its executor by the name of the lease, where that is known.
    executor: Option<String>,
    /// What happened, in a few words.
    reason: String,
}

impl Store {
    /// Runs of `owner` back to QUEUED, for anybody to claim. What it does not hold, or holds under another claim, is left alone.
    pub async fn release_runs(&self, owner: Uuid, runs: &[HeldRun]) -> Result<Swept> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let mut ids = lock_held(&mut tx, owner, runs).await?;
        let swept = hand_over(&mut tx, &mut ids).await?;
        tx.commit().await?;
        Ok(swept)
    }

    /// Runs that `owner` could not get on with: each counts as an attempt. What it does not hold, or holds under another claim, is left alone.
    pub async fn give_up_runs(&self, owner: Uuid, runs: &[GivenUpRun]) -> Result<Swept> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let executor: Option<String> = sqlx::query_scalar("SELECT name FROM executor_leases WHERE owner = $1")
            .bind(owner)
            .fetch_optional(&mut *tx)
            .await?;
        let reasons: HashMap<GraphExecId, &str> = runs.iter().map(|run| (run.held.graph_exec_id, run.reason.as_str())).collect();
        let held: Vec<HeldRun> = runs.iter().map(|run| run.held).collect();
        let ids = lock_held(&mut tx, owner, &held).await?;
        let returned = ids.into_iter().map(|id| Returned {
            id,
            executor: executor.clone(),
            reason: reasons.get(&id).copied().unwrap_or_default().to_owned(),
        });
        let swept = take_back(&mut tx, returned.collect(), self.max_attempts).await?;
        tx.commit().await?;
        Ok(swept)
    }

    /// The executor goes: all its runs are free, and its lease is gone.
    pub async fn release_lease(&self, owner: Uuid) -> Result<Swept> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let gone = sqlx::query("DELETE FROM executor_leases WHERE owner = $1")
            .bind(owner)
            .execute(&mut *tx)
            .await?;
        let mut ids: Vec<GraphExecId> = sqlx::query_scalar("SELECT id FROM graph_executions WHERE lease_owner = $1 ORDER BY id FOR NO KEY UPDATE")
            .bind(owner)
            .fetch_all(&mut *tx)
            .await?;
        let mut swept = hand_over(&mut tx, &mut ids).await?;
        swept.leases = gone.rows_affected();
        tx.commit().await?;
        Ok(swept)
    }

    /// Takes runs from executors whose lease has run out, and reminds of runs that nobody came for. Whoever calls this has waited one
    /// full lease since the database was last away, so that living executors could renew theirs.
    pub async fn sweep(&self) -> Result<Swept> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        // A renewal that is under way holds its row: it is skipped here and alive the next time.
        let expired: Vec<(Uuid, String)> = sqlx::query_as(
            "DELETE FROM executor_leases WHERE owner IN (
                 SELECT owner FROM executor_leases WHERE expires_at < clock_timestamp() FOR UPDATE SKIP LOCKED) RETURNING owner, name",
        )
        .fetch_all(&mut *tx)
        .await?;
        let mut returned = runs_of(&mut tx, &expired).await?;
        returned.extend(orphans(&mut tx).await?);
        let mut swept = take_back(&mut tx, returned, self.max_attempts).await?;
        swept.leases = u64::try_from(expired.len()).unwrap_or(u64::MAX);
        swept.resumed = resume_forgotten(&mut tx).await?;
        swept.woken = wake_again(&mut tx).await?;
        tx.commit().await?;
        Ok(swept)
    }
}

/// Locks those of `runs` that are still `owner`'s under the same claim.
async fn lock_held(connection: &mut PgConnection, owner: Uuid, runs: &[HeldRun]) -> Result<Vec<GraphExecId>> {
    let ids = sqlx::query_scalar(
        "SELECT g.id FROM unnest($2::uuid[], $3::bigint[]) AS h(id, epoch) JOIN graph_executions g ON g.id = h.id
         WHERE g.lease_owner = $1 AND g.lease_epoch = h.epoch ORDER BY g.id FOR NO KEY UPDATE OF g",
    )
    .bind(owner)
    .bind(runs.iter().map(|run| run.graph_exec_id).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.epoch).collect::<Vec<_>>())
    .fetch_all(connection)
    .await?;
    Ok(ids)
}

async fn runs_of(connection: &mut PgConnection, owners: &[(Uuid, String)]) -> Result<Vec<Returned>> {
    if owners.is_empty() {
        return Ok(Vec::new());
    }
    let rows: Vec<(GraphExecId, Uuid)> =
        sqlx::query_as("SELECT id, lease_owner FROM graph_executions WHERE lease_owner = ANY($1) ORDER BY id FOR NO KEY UPDATE")
            .bind(owners.iter().map(|(owner, _)| *owner).collect::<Vec<_>>())
            .fetch_all(connection)
            .await?;
    let returned = rows.into_iter().map(|(id, owner)| Returned {
        id,
        executor: owners.iter().find(|(expired, _)| *expired == owner).map(|(_, name)| name.clone()),
        reason: "its executor stopped renewing its lease".to_owned(),
    });
    Ok(returned.collect())
}

/// Runs whose owner has no lease row, and runs that were claimed long ago without ever being started.
async fn orphans(connection: &mut PgConnection) -> Result<Vec<Returned>> {
    let rows: Vec<(GraphExecId, Option<String>)> = sqlx::query_as(
        "SELECT g.id, (SELECT l.name FROM executor_leases l WHERE l.owner = g.lease_owner) FROM graph_executions g WHERE lease_owner IS NOT NULL AND (
             NOT EXISTS (SELECT FROM executor_leases l WHERE l.owner = g.lease_owner)
             OR (status = 'QUEUED' AND claimed_at < clock_timestamp() - make_interval(secs => $1)))
         ORDER BY id FOR NO KEY UPDATE OF g SKIP LOCKED",
    )
    .bind(CLAIM_LOST_AFTER_SECONDS)
    .fetch_all(connection)
    .await?;
    let returned = rows.into_iter().map(|(id, executor)| Returned {
        id,
        reason: match executor {
            Some(_) => "its executor claimed it and did not begin".to_owned(),
            None => "its executor was gone".to_owned(),
        },
        executor,
    });
    Ok(returned.collect())
}

/// Runs that were handed over are free at once. The rows are locked.
async fn hand_over(connection: &mut PgConnection, ids: &mut Vec<GraphExecId>) -> Result<Swept> {
    let cancelled = end_cancelled(connection, ids).await?;
    ids.retain(|id| !cancelled.contains(id));
    let free: Vec<Again> = ids.iter().map(|id| Again { id: *id, counted: None }).collect();
    requeue(connection, &free).await?;
    Ok(Swept {
        requeued: count(&free),
        cancelled: count(&cancelled),
        ..Swept::default()
    })
}

/// Runs that came back in another way: each is judged. The rows are locked.
async fn take_back(connection: &mut PgConnection, mut returned: Vec<Returned>, max_attempts: u32) -> Result<Swept> {
    if returned.is_empty() {
        return Ok(Swept::default());
    }
    let ids: Vec<GraphExecId> = returned.iter().map(|run| run.id).collect();
    let cancelled = end_cancelled(connection, &ids).await?;
    returned.retain(|run| !cancelled.contains(&run.id));
    let mut swept = Swept {
        cancelled: count(&cancelled),
        ..Swept::default()
    };
    let mut histories = histories(connection, &ids).await?;
    let mut again = Vec::with_capacity(returned.len());
    for run in returned {
        let Some((history, jitter)) = histories.remove(&run.id) else { continue };
        match judge(history, max_attempts, jitter) {
            Verdict::Again { attempts, wait } => again.push(Again {
                id: run.id,
                counted: Some((attempts, history.finished_now, wait)),
            }),
            Verdict::Dead { attempts } => {
                dead_runs::bury(connection, run.id, attempts, run.executor.as_deref(), &run.reason).await?;
                swept.dead += 1;
            }
        }
    }
    requeue(connection, &again).await?;
    swept.requeued = count(&again);
    Ok(swept)
}

async fn end_cancelled(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<Vec<GraphExecId>> {
    if ids.is_empty() {
        return Ok(Vec::new());
    }
    let cancelled: Vec<GraphExecId> = sqlx::query_scalar("SELECT id FROM graph_executions WHERE id = ANY($1) AND cancel_requested ORDER BY id")
        .bind(ids)
        .fetch_all(&mut *connection)
        .await?;
    control::finish(connection, &cancelled, ExecutionStatus::Terminated, None).await?;
    Ok(cancelled)
}

/// What is known of each run, and a number from 0 to 1 by chance.
async fn histories(connection: &mut PgConnection, ids: &[GraphExecId]) -> Result<HashMap<GraphExecId, (History, f64)>> {
    let rows = sqlx::query(
        "SELECT g.id, g.attempts, g.attempts_finished, random() AS jitter,
             (SELECT count(*) FROM node_executions n WHERE n.graph_exec_id = g.id AND n.status IN ('COMPLETED', 'FAILED', 'TERMINATED')) AS finished
         FROM graph_executions g WHERE g.id = ANY($1)",
    )
    .bind(ids)
    .fetch_all(connection)
    .await?;
    rows.iter()
        .map(|row| {
            let history = History {
                attempts: u32::try_from(row.try_get::<i32, _>("attempts")?).unwrap_or_default(),
                finished_then: row.try_get("attempts_finished")?,
                finished_now: row.try_get("finished")?,
            };
            Ok((row.try_get("id")?, (history, row.try_get("jitter")?)))
        })
        .collect()
}

/// A run that goes on. What it is counted as: attempts, ended node executions, and how long it waits; none when it was handed over.
struct Again {
    id: GraphExecId,
    counted: Option<(u32, i64, Duration)>,
}

/// RUNNING → QUEUED is no transition of the contract but a change of hands: the run goes on elsewhere. The rows are locked.
async fn requeue(connection: &mut PgConnection, runs: &[Again]) -> Result<()> {
    if runs.is_empty() {
        return Ok(());
    }
    let counted = |run: &Again| run.counted.map(|(attempts, ..)| i32::try_from(attempts).unwrap_or(i32::MAX));
    sqlx::query(
        "WITH back AS (
             UPDATE graph_executions g SET status = 'QUEUED', lease_owner = NULL, claimed_at = NULL, updated_at = now(),
                 progress_xid = pg_current_xact_id(),
                 attempts = coalesce(u.attempts, g.attempts), attempts_finished = coalesce(u.finished, g.attempts_finished),
                 not_before = CASE WHEN u.wait > 0 THEN clock_timestamp() + make_interval(secs => u.wait) END
             FROM unnest($1::uuid[], $2::int[], $3::bigint[], $4::float8[]) AS u(id, attempts, finished, wait)
             WHERE g.id = u.id RETURNING g.id, g.not_before
         ), alarm AS (
             INSERT INTO run_alarms (graph_exec_id, due_at) SELECT id, not_before FROM back WHERE not_before IS NOT NULL ON CONFLICT DO NOTHING
         )
         INSERT INTO outbox (graph_exec_id) SELECT id FROM back WHERE not_before IS NULL",
    )
    .bind(runs.iter().map(|run| run.id).collect::<Vec<_>>())
    .bind(runs.iter().map(counted).collect::<Vec<_>>())
    .bind(runs.iter().map(|run| run.counted.map(|(_, finished, _)| finished)).collect::<Vec<_>>())
    .bind(
        runs.iter()
            .map(|run| run.counted.map(|(.., wait)| wait.as_secs_f64()))
            .collect::<Vec<_>>(),
    )
    .execute(connection)
    .await?;
    Ok(())
}

fn count<T>(runs: &[T]) -> u64 {
    u64::try_from(runs.len()).unwrap_or(u64::MAX)
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
             WHERE status = 'QUEUED' AND lease_owner IS NULL AND not_before IS NULL AND updated_at < now() - make_interval(secs => $1)
               AND NOT EXISTS (SELECT FROM outbox o WHERE o.graph_exec_id = g.id)
             ORDER BY updated_at LIMIT $2 FOR NO KEY UPDATE SKIP LOCKED
         ), touched AS (
             UPDATE graph_executions g SET updated_at = now() WHERE g.id = ANY(ARRAY(SELECT id FROM waiting)) RETURNING g.id
         )
         INSERT INTO outbox (graph_exec_id) SELECT id FROM touched",
    )
    .bind(WAKE_AGAIN_AFTER_SECONDS)
    .bind(WAKE_AGAIN_AT_MOST)
    .execute(connection)
    .await?;
    Ok(woken.rows_affected())
}
