//! Claiming runs: fair over users, limited per user and graph, fenced by an epoch (design §6.2–6.3).
//!
//! Lock order: lease row, admission rows in key order, then run rows with SKIP LOCKED. Nothing that holds a run row waits for one of
//! the former, so no cycle can close.

use std::time::{Duration, Instant};

use model::claim::{ClaimedRun, RenewOutcome};
use model::{ExecutionContext, Given, GraphExecId, GraphId, HeldRun, UserId};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, PgExecutor, Row};
use uuid::Uuid;

use crate::execution_rows::{instant, json, map, status, time};
use crate::node_executions::read_records;
use crate::turns::{Candidate, Turn};
use crate::{Result, Store};

/// Bounds of one claim.
#[derive(Debug, Clone, Copy)]
pub struct ClaimLimits {
    /// Runs that the executor can take now.
    pub free_slots: u32,
    /// Leased runs of one user's graph, over all executors.
    pub per_user_and_graph: u32,
}

impl Store {
    /// Takes up to `free_slots` waiting runs for `owner` and returns them with their whole state. Renews the owner's lease.
    ///
    /// Whose turn it is was mostly read for an earlier claim ([`crate::turns`]), so that a claim costs what it takes and not what waits. When
    /// that gives too little, it is read again: a run that may be claimed is never overlooked.
    pub async fn claim(&self, owner: Uuid, owner_name: &str, limits: ClaimLimits) -> Result<Vec<ClaimedRun>> {
        let (order, read_now) = self.turns(limits, false).await?;
        let mut runs = self.claim_from(owner, owner_name, &order, limits).await?;
        let taken = u32::try_from(runs.len()).unwrap_or(u32::MAX);
        if taken < limits.free_slots && !read_now {
            let rest = ClaimLimits {
                free_slots: limits.free_slots - taken,
                ..limits
            };
            match self.claim_rest(owner, owner_name, rest).await {
                Ok(more) => runs.extend(more),
                // What is taken is taken: its executor has to hear of it.
                Err(error) if taken > 0 => tracing::debug!(%error, "a claim took less than there may be"),
                Err(error) => return Err(error),
            }
        }
        runs.sort_by_key(|run| (run.created_at, run.graph_exec_id));
        Ok(runs)
    }

    async fn claim_rest(&self, owner: Uuid, owner_name: &str, limits: ClaimLimits) -> Result<Vec<ClaimedRun>> {
        let (order, _) = self.turns(limits, true).await?;
        if order.is_empty() {
            return Ok(Vec::new());
        }
        self.claim_from(owner, owner_name, &order, limits).await
    }

    /// Whose turn it is, one pair a slot, and whether that was read now. One claim reads, the others wait for it.
    async fn turns(&self, limits: ClaimLimits, read: bool) -> Result<(Vec<Turn>, bool)> {
        if limits.free_slots == 0 {
            return Ok((Vec::new(), true));
        }
        let slots = usize::try_from(limits.free_slots).unwrap_or(usize::MAX);
        let mut turns = self.turns.lock().await;
        if !read && let Some(order) = turns.take(slots, Instant::now()) {
            return Ok((order, false));
        }
        let asked = Instant::now();
        let candidates = self.candidates(limits.per_user_and_graph).await?;
        Ok((turns.learn(candidates, slots, asked, Instant::now()), true))
    }

    /// One transaction. Two of them must not lock admission rows one after the other in one transaction: their order would close cycles.
    async fn claim_from(&self, owner: Uuid, owner_name: &str, order: &[Turn], limits: ClaimLimits) -> Result<Vec<ClaimedRun>> {
        if order.is_empty() {
            hold_lease(&self.pool, owner, owner_name, self.lease, &Pairs::of(&[]))
                .await
                .map_err(|error| self.explain(error))?;
            return Ok(Vec::new());
        }
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let pairs = Pairs::of(order);
        hold_lease(&mut *tx, owner, owner_name, self.lease, &pairs).await?;
        lock_admission(&mut tx, &pairs).await?;
        let runs = take(&mut tx, owner, order, limits).await?;
        tx.commit().await?;
        Ok(runs)
    }

    /// The users' graphs that have a run waiting and room for it. Hops from pair to pair through the index: a user's backlog of any
    /// length costs one step. The room is looked at without a lock here and decided under it in [`take`].
    async fn candidates(&self, limit: u32) -> Result<Vec<Candidate>> {
        let query = format!(
            "WITH RECURSIVE pair AS (
                 (SELECT user_id, graph_id FROM graph_executions WHERE status = 'QUEUED' AND lease_owner IS NULL AND not_before IS NULL
                  ORDER BY user_id, graph_id LIMIT 1)
                 UNION ALL
                 SELECT next.user_id, next.graph_id FROM pair CROSS JOIN LATERAL (
                     SELECT g.user_id, g.graph_id FROM graph_executions g
                     WHERE g.status = 'QUEUED' AND g.lease_owner IS NULL AND g.not_before IS NULL AND (g.user_id, g.graph_id) > (pair.user_id, pair.graph_id)
                     ORDER BY g.user_id, g.graph_id LIMIT 1) next
             )
             SELECT pair.user_id, pair.graph_id, a.last_claimed_at FROM pair LEFT JOIN run_admission a USING (user_id, graph_id)
             WHERE {held} < $1",
            held = held_of("pair", "$1")
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(i64::from(limit))
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter()
            .map(|row| {
                Ok(Candidate {
                    user_id: row.try_get("user_id")?,
                    graph_id: row.try_get("graph_id")?,
                    last_claimed_at: row.try_get("last_claimed_at")?,
                })
            })
            .collect()
    }

    /// Prolongs the owner's lease, also one that has run out but was not yet taken away.
    pub async fn renew_lease(&self, owner: Uuid) -> Result<RenewOutcome> {
        let done = sqlx::query("UPDATE executor_leases SET expires_at = clock_timestamp() + make_interval(secs => $2) WHERE owner = $1")
            .bind(owner)
            .bind(self.lease.as_secs_f64())
            .execute(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        let held = sqlx::query("SELECT id, lease_epoch, cancel_requested, news FROM graph_executions WHERE lease_owner = $1 ORDER BY id")
            .bind(owner)
            .fetch_all(&self.pool)
            .await?;
        let mut outcome = RenewOutcome {
            alive: done.rows_affected() == 1,
            cancelled: Vec::new(),
            news: Vec::new(),
            owned: Vec::with_capacity(held.len()),
        };
        for row in &held {
            let id: GraphExecId = row.try_get("id")?;
            outcome.owned.push(HeldRun {
                graph_exec_id: id,
                epoch: row.try_get("lease_epoch")?,
            });
            if row.try_get("cancel_requested")? {
                outcome.cancelled.push(id);
            }
            let news: i64 = row.try_get("news")?;
            if news > 0 {
                outcome.news.push((id, news));
            }
        }
        Ok(outcome)
    }
}

/// SQL for how many runs of a user's graph executors hold, at most `limit`; `pair` is a row with `user_id` and `graph_id`. The order in
/// which they are counted leaves one index to count them by: to the planner it would be as good to read all that are held.
pub(crate) fn held_of(pair: &str, limit: &str) -> String {
    format!(
        "(SELECT count(*) FROM (SELECT FROM graph_executions l
              WHERE l.user_id = {pair}.user_id AND l.graph_id >= {pair}.graph_id AND l.graph_id <= {pair}.graph_id AND l.lease_owner IS NOT NULL
              ORDER BY l.graph_id LIMIT {limit}) l)"
    )
}

/// The pairs of an order as columns.
struct Pairs {
    users: Vec<UserId>,
    graphs: Vec<GraphId>,
}

impl Pairs {
    fn of(order: &[Turn]) -> Self {
        Self {
            users: order.iter().map(|turn| turn.pair.user_id).collect(),
            graphs: order.iter().map(|turn| turn.pair.graph_id).collect(),
        }
    }
}

/// Renews or opens the lease, and then sees to it that each pair has its admission row. Without pairs there is nothing to claim, and the
/// commit does not wait for the disk: after a crash of the database a whole lease passes before anybody looks at leases.
async fn hold_lease(executor: impl PgExecutor<'_>, owner: Uuid, name: &str, lease: Duration, pairs: &Pairs) -> sqlx::Result<()> {
    sqlx::query(
        "WITH lease AS MATERIALIZED (
             INSERT INTO executor_leases (owner, name, expires_at) SELECT $1, $2, clock_timestamp() + make_interval(secs => $3)
             WHERE CASE WHEN cardinality($4::uuid[]) > 0 THEN true ELSE set_config('synchronous_commit', 'off', true) = 'off' END
             ON CONFLICT (owner) DO UPDATE SET name = excluded.name, expires_at = excluded.expires_at RETURNING owner)
         INSERT INTO run_admission (user_id, graph_id)
         SELECT p.user_id, p.graph_id FROM lease CROSS JOIN unnest($4::uuid[], $5::uuid[]) AS p(user_id, graph_id) ORDER BY 1, 2
         ON CONFLICT DO NOTHING",
    )
    .bind(owner)
    .bind(name)
    .bind(lease.as_secs_f64())
    .bind(&pairs.users)
    .bind(&pairs.graphs)
    .execute(executor)
    .await?;
    Ok(())
}

/// From here to the commit nobody else claims runs of these pairs.
async fn lock_admission(connection: &mut PgConnection, pairs: &Pairs) -> Result<()> {
    sqlx::query(
        "SELECT FROM run_admission WHERE (user_id, graph_id) IN (SELECT * FROM unnest($1::uuid[], $2::uuid[])) ORDER BY user_id, graph_id FOR UPDATE",
    )
    .bind(&pairs.users)
    .bind(&pairs.graphs)
    .execute(connection)
    .await?;
    Ok(())
}

/// Counts and takes under the locks of [`lock_admission`], in a statement of its own so that it sees what their former holders did.
async fn take(connection: &mut PgConnection, owner: Uuid, order: &[Turn], limits: ClaimLimits) -> Result<Vec<ClaimedRun>> {
    let query = format!(
        "WITH room AS (
             SELECT p.user_id, p.graph_id, p.turn, $5 - {held} AS free
             FROM unnest($2::uuid[], $3::uuid[], $4::int[]) AS p(user_id, graph_id, turn)
         ), oldest AS (
             SELECT w.id, w.created_at, room.user_id, room.turn FROM room CROSS JOIN LATERAL (
                 SELECT g.id, g.created_at FROM graph_executions g
                 WHERE g.user_id = room.user_id AND g.graph_id = room.graph_id AND g.status = 'QUEUED' AND g.lease_owner IS NULL
                   AND g.not_before IS NULL
                 ORDER BY g.created_at, g.id LIMIT least(greatest(room.free, 0), $6)) w
         ), rounds AS (
             SELECT id, created_at, turn, row_number() OVER (PARTITION BY user_id ORDER BY created_at, id) AS round FROM oldest
         ), chosen AS (
             SELECT id FROM rounds ORDER BY round, turn LIMIT $6
         ), free AS (
             SELECT g.id FROM graph_executions g WHERE g.id = ANY(ARRAY(SELECT id FROM chosen))
               AND CASE WHEN g.status = 'QUEUED' AND g.lease_owner IS NULL AND g.not_before IS NULL THEN true ELSE false END
             FOR NO KEY UPDATE SKIP LOCKED
         ), served AS (
             UPDATE run_admission a SET last_claimed_at = clock_timestamp()
             FROM (SELECT DISTINCT g.user_id, g.graph_id FROM graph_executions g WHERE g.id = ANY(ARRAY(SELECT id FROM free))) f
             WHERE a.user_id = ANY($2) AND a.user_id = f.user_id AND a.graph_id = f.graph_id
         )
         UPDATE graph_executions g SET lease_owner = $1, lease_epoch = g.lease_epoch + 1, claimed_at = clock_timestamp()
         WHERE g.id = ANY(ARRAY(SELECT id FROM free))
         RETURNING g.id, g.user_id, g.graph_id, g.graph_version, g.lease_epoch, g.journal_seq, g.status, g.created_at, g.started_at, g.inputs,
             g.compiled_masks, g.preset_id, g.credential_inputs, g.nodes_input_masks, g.context, g.stats, g.cancel_requested, g.news, g.traceparent,
             extract(epoch FROM g.deadline_at - clock_timestamp())::float8 AS seconds_left",
        held = held_of("p", "$5")
    );
    let rows = sqlx::query(sqlx::AssertSqlSafe(query))
        .bind(owner)
        .bind(order.iter().map(|turn| turn.pair.user_id).collect::<Vec<_>>())
        .bind(order.iter().map(|turn| turn.pair.graph_id).collect::<Vec<_>>())
        .bind(order.iter().map(|turn| turn.user).collect::<Vec<_>>())
        .bind(i64::from(limits.per_user_and_graph))
        .bind(i64::from(limits.free_slots))
        .fetch_all(&mut *connection)
        .await?;
    let mut runs = rows.iter().map(claimed).collect::<Result<Vec<_>>>()?;
    let ids: Vec<GraphExecId> = runs.iter().map(|run| run.graph_exec_id).collect();
    let mut records = read_records(connection, &ids).await?;
    for run in &mut runs {
        run.node_executions = records.remove(&run.graph_exec_id).unwrap_or_default();
    }
    Ok(runs)
}

fn claimed(row: &PgRow) -> Result<ClaimedRun> {
    Ok(ClaimedRun {
        graph_exec_id: row.try_get("id")?,
        user_id: row.try_get("user_id")?,
        graph_id: row.try_get("graph_id")?,
        graph_version: row.try_get("graph_version")?,
        epoch: row.try_get("lease_epoch")?,
        next_seq: row.try_get::<i64, _>("journal_seq")? + 1,
        status: status(row)?,
        created_at: instant(row, "created_at")?,
        started_at: time(row, "started_at")?,
        inputs: map(row, "inputs")?,
        nodes_input_masks: json(row, "compiled_masks")?.unwrap_or_default(),
        given: Given {
            preset_id: row.try_get("preset_id")?,
            credential_inputs: json(row, "credential_inputs")?.unwrap_or_default(),
            nodes_input_masks: json(row, "nodes_input_masks")?.unwrap_or_default(),
        },
        context: json::<ExecutionContext>(row, "context")?.unwrap_or_default(),
        stats: json(row, "stats")?.unwrap_or_default(),
        cancel_requested: row.try_get("cancel_requested")?,
        news: row.try_get("news")?,
        traceparent: row.try_get("traceparent")?,
        seconds_left: row.try_get("seconds_left")?,
        node_executions: Vec::new(),
    })
}
