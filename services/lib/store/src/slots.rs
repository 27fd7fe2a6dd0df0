//! Slots of the schedules that are rows: decided when they are due, many in one transaction, then submitted one by one.
//!
//! Any number of schedulers may do so at once. A slot is decided once, because its schedule moves on with the decision, and what was decided
//! to run is a row until its run is accepted or refused: a scheduler that dies loses nothing, and the key of the run keeps a slot that is
//! submitted again from running twice.

use std::collections::HashMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use model::schedule::SlotOutcome;
use model::{GraphExecId, Timestamp};
use sqlx::postgres::PgRow;
use sqlx::{PgConnection, Row};
use uuid::Uuid;

use crate::execution_rows::instant;
use crate::schedules::{SCHEDULE, Schedule, read};
use crate::{Result, Store, storable};

/// A schedule one of whose slots has come: what its decision depends on.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSlot {
    pub schedule_id: Uuid,
    /// The first slot without a decision.
    pub slot: Timestamp,
    pub cron: String,
    pub timezone: String,
    /// Slots whose runs are not over, ascending.
    pub active: Vec<Timestamp>,
}

/// What was decided about a slot, or about all of a range of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SlotDecision {
    pub slot: Timestamp,
    /// The last slot of a range.
    pub through: Option<Timestamp>,
    /// How many slots a range has, as far as they were counted; at least 1.
    pub count: i64,
    /// What is Fired is to run.
    pub outcome: SlotOutcome,
    pub reason: String,
}

/// All that is decided about a schedule one of whose slots has come.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SlotDecisions {
    pub decisions: Vec<SlotDecision>,
    /// The first slot after them. None when there is none, ever.
    pub next: Option<Timestamp>,
}

/// What one transaction has decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecidedSlots {
    /// Schedules one of whose slots had come.
    pub slots: usize,
    /// How late the earliest of them was.
    pub late: Duration,
}

/// A slot that was decided to run and does not run yet.
#[derive(Debug, Clone, PartialEq)]
pub struct DueRun {
    pub schedule_id: Uuid,
    pub slot: Timestamp,
    /// None when it was deleted since.
    pub schedule: Option<Schedule>,
}

/// What has become of a slot that was to run: a run, or why there is none.
#[derive(Debug, Clone)]
pub struct SettledSlot {
    pub schedule_id: Uuid,
    pub slot: Timestamp,
    pub outcome: SlotOutcome,
    /// None leaves the reason with which it was decided.
    pub reason: Option<String>,
    pub graph_exec_id: Option<GraphExecId>,
}

impl Store {
    /// Decides about up to `limit` schedules whose slot has come, earliest first, as `decide` says of each and the present. What it says is
    /// to run becomes a submission, its schedule moves on, and all of it is durable when this returns. Schedules that another scheduler is
    /// at are left to it.
    pub async fn decide_due_slots(&self, limit: i64, mut decide: impl FnMut(&DueSlot, DateTime<Utc>) -> SlotDecisions) -> Result<DecidedSlots> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let rows = sqlx::query(
            "SELECT id, next_run_at, cron, timezone, now() AS decided_at, clock_timestamp() AS present FROM schedules
             WHERE next_run_at <= now() ORDER BY next_run_at, id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED",
        )
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(DecidedSlots::default());
        }
        let ids: Vec<Uuid> = rows.iter().map(|row| row.try_get("id")).collect::<Result<_, _>>()?;
        let Unfinished { mut active, over } = unfinished(&mut tx, &ids).await?;
        let mut lines = Lines::default();
        let mut nexts = Vec::new();
        let mut late = Duration::ZERO;
        for row in &rows {
            let (now, present): (DateTime<Utc>, DateTime<Utc>) = (row.try_get("decided_at")?, row.try_get("present")?);
            let due = due_slot(row, &mut active)?;
            late = late.max((present - due.slot.into_inner()).to_std().unwrap_or_default());
            let SlotDecisions { decisions, next } = decide(&due, now);
            lines.extend(due.schedule_id, decisions);
            nexts.push(next.map(Timestamp::into_inner));
        }
        sqlx::query(
            "WITH moved AS (
                 UPDATE schedules SET next_run_at = due.next, updated_at = now()
                 FROM unnest($1::uuid[], $2::timestamptz[]) AS due(id, next) WHERE schedules.id = due.id),
             over AS (
                 UPDATE schedule_decisions SET unfinished = false FROM unnest($3::uuid[], $4::timestamptz[]) AS over(id, slot)
                 WHERE schedule_uid = over.id AND schedule_decisions.slot = over.slot AND unfinished),
             decided AS (
                 INSERT INTO schedule_decisions (schedule_uid, slot, through, due_times, decision, reason, unfinished)
                 SELECT *, decision = 'Fired' FROM unnest($5::uuid[], $6::timestamptz[], $7::timestamptz[], $8::bigint[], $9::text[], $10::text[])
                     AS line(id, slot, through, due_times, decision, reason)
                 ON CONFLICT DO NOTHING RETURNING schedule_uid, slot, unfinished)
             INSERT INTO schedule_submissions (schedule_id, slot) SELECT schedule_uid, slot FROM decided WHERE unfinished ON CONFLICT DO NOTHING",
        )
        .bind(ids)
        .bind(nexts)
        .bind(over.ids)
        .bind(over.slots)
        .bind(lines.ids)
        .bind(lines.slots)
        .bind(lines.throughs)
        .bind(lines.counts)
        .bind(lines.outcomes)
        .bind(lines.reasons)
        .execute(&mut *tx)
        .await?;
        tx.commit().await?;
        Ok(DecidedSlots { slots: rows.len(), late })
    }

    /// How long until the next slot, by the database's clock; zero when one is due. None when nothing will ever be.
    pub async fn next_slot_due_in(&self) -> Result<Option<Duration>> {
        self.seconds_until(
            "SELECT extract(epoch FROM next_run_at - clock_timestamp())::float8 FROM schedules
             WHERE next_run_at IS NOT NULL ORDER BY next_run_at LIMIT 1",
        )
        .await
    }

    /// Takes up to `limit` slots that are to run: nobody else gets them for `first_hold`, twice as long with every further attempt, at most
    /// `longest_hold`. So what could not be submitted is tried again by itself; what has come to an end is to be settled.
    pub async fn claim_due_runs(&self, limit: i64, first_hold: Duration, longest_hold: Duration) -> Result<Vec<DueRun>> {
        let query = format!(
            "WITH due AS MATERIALIZED (
                 SELECT schedule_id, slot FROM schedule_submissions WHERE retry_at <= now() ORDER BY retry_at LIMIT $1 FOR UPDATE SKIP LOCKED),
             claimed AS (
                 UPDATE schedule_submissions claimed SET attempts = attempts + 1,
                     retry_at = now() + make_interval(secs => least($2 * power(2, least(attempts, 30)), $3))
                 FROM due WHERE claimed.schedule_id = due.schedule_id AND claimed.slot = due.slot
                 RETURNING claimed.schedule_id, claimed.slot)
             SELECT schedule_id, slot, {SCHEDULE} FROM claimed LEFT JOIN schedules ON id = schedule_id ORDER BY slot, schedule_id"
        );
        let rows = sqlx::query(sqlx::AssertSqlSafe(query))
            .bind(limit)
            .bind(first_hold.as_secs_f64())
            .bind(longest_hold.as_secs_f64())
            .fetch_all(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        rows.iter().map(due_run).collect()
    }

    /// How long until [`Store::claim_due_runs`] gives something, as with [`Store::next_slot_due_in`].
    pub async fn next_run_due_in(&self) -> Result<Option<Duration>> {
        self.seconds_until("SELECT extract(epoch FROM retry_at - clock_timestamp())::float8 FROM schedule_submissions ORDER BY retry_at LIMIT 1")
            .await
    }

    /// Writes what has become of slots that were to run. What somebody else has settled stays as it is.
    pub async fn settle_due_runs(&self, outcomes: &[SettledSlot]) -> Result<()> {
        let text = |outcome: &SettledSlot| outcome.reason.as_deref().map(storable::text);
        sqlx::query(
            "WITH outcome AS (
                 SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[])
                     AS outcome(schedule_id, slot, decision, reason, graph_exec_id)),
             settled AS (
                 DELETE FROM schedule_submissions pending USING outcome
                 WHERE pending.schedule_id = outcome.schedule_id AND pending.slot = outcome.slot
                 RETURNING outcome.*)
             UPDATE schedule_decisions SET decision = settled.decision, reason = coalesce(settled.reason, schedule_decisions.reason),
                 graph_exec_id = settled.graph_exec_id, unfinished = settled.graph_exec_id IS NOT NULL
             FROM settled WHERE schedule_uid = settled.schedule_id AND schedule_decisions.slot = settled.slot AND request = ''",
        )
        .bind(outcomes.iter().map(|outcome| outcome.schedule_id).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|outcome| outcome.slot.into_inner()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|outcome| outcome.outcome.as_str()).collect::<Vec<_>>())
        .bind(outcomes.iter().map(text).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|outcome| outcome.graph_exec_id).collect::<Vec<_>>())
        .execute(&self.pool)
        .await
        .map_err(|error| self.explain(error))?;
        Ok(())
    }

    async fn seconds_until(&self, query: &'static str) -> Result<Option<Duration>> {
        let seconds: Option<f64> = sqlx::query_scalar(query)
            .fetch_optional(&self.pool)
            .await
            .map_err(|error| self.explain(error))?;
        Ok(seconds.map(|seconds| Duration::try_from_secs_f64(seconds.max(0.0)).unwrap_or(Duration::MAX)))
    }
}

/// Slots of some schedules that are marked as not over.
#[derive(Default)]
struct Unfinished {
    /// Those that are not, by schedule and ascending.
    active: HashMap<Uuid, Vec<Timestamp>>,
    /// Those that are.
    over: Over,
}

#[derive(Default)]
struct Over {
    ids: Vec<Uuid>,
    slots: Vec<DateTime<Utc>>,
}

/// Under the locks of the schedules. A run that was deleted is over; what has no run yet is not.
async fn unfinished(tx: &mut PgConnection, ids: &[Uuid]) -> Result<Unfinished> {
    let rows = sqlx::query(
        "SELECT schedule_uid, slot, graph_exec_id IS NULL OR EXISTS (
                 SELECT FROM graph_executions WHERE id = graph_exec_id AND status NOT IN ('COMPLETED', 'TERMINATED', 'FAILED')) AS is_active
         FROM schedule_decisions WHERE unfinished AND schedule_uid = ANY($1) ORDER BY schedule_uid, slot",
    )
    .bind(ids)
    .fetch_all(tx)
    .await?;
    let mut found = Unfinished::default();
    for row in &rows {
        let (id, slot): (Uuid, DateTime<Utc>) = (row.try_get("schedule_uid")?, row.try_get("slot")?);
        if row.try_get("is_active")? {
            found.active.entry(id).or_default().push(slot.into());
        } else {
            found.over.ids.push(id);
            found.over.slots.push(slot);
        }
    }
    Ok(found)
}

/// Decisions as columns.
#[derive(Default)]
struct Lines {
    ids: Vec<Uuid>,
    slots: Vec<DateTime<Utc>>,
    throughs: Vec<Option<DateTime<Utc>>>,
    counts: Vec<i64>,
    outcomes: Vec<&'static str>,
    reasons: Vec<String>,
}

impl Lines {
    fn extend(&mut self, schedule_id: Uuid, decisions: Vec<SlotDecision>) {
        for decision in decisions {
            self.ids.push(schedule_id);
            self.slots.push(decision.slot.into_inner());
            self.throughs.push(decision.through.map(Timestamp::into_inner));
            self.counts.push(decision.count.max(1));
            self.outcomes.push(decision.outcome.as_str());
            self.reasons.push(decision.reason);
        }
    }
}

fn due_slot(row: &PgRow, active: &mut HashMap<Uuid, Vec<Timestamp>>) -> Result<DueSlot> {
    let schedule_id = row.try_get("id")?;
    Ok(DueSlot {
        schedule_id,
        slot: instant(row, "next_run_at")?,
        cron: row.try_get("cron")?,
        timezone: row.try_get("timezone")?,
        active: active.remove(&schedule_id).unwrap_or_default(),
    })
}

fn due_run(row: &PgRow) -> Result<DueRun> {
    let known: Option<Uuid> = row.try_get("id")?;
    Ok(DueRun {
        schedule_id: row.try_get("schedule_id")?,
        slot: instant(row, "slot")?,
        schedule: known.map(|_| read(row)).transpose()?,
    })
}
