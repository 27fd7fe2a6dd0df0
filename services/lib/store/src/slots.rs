//! Slots of the schedules that are rows: decided when they are due, many in one transaction, then submitted one by one.
//!
//! Any number of schedulers may do so at once. A slot is decided once, because its schedule moves on with the decision, and what was decided
//! to run is a row until its run is accepted or refused: a scheduler that dies loses nothing, and the key of the run keeps a slot that is
//! submitted again from running twice.

use std::time::Duration;

use chrono::{DateTime, Utc};
use model::schedule::SlotOutcome;
use model::{GraphExecId, Timestamp};
use sqlx::Row;
use sqlx::postgres::PgRow;
use uuid::Uuid;

use crate::execution_rows::instant;
use crate::schedules::{SCHEDULE, Schedule, read};
use crate::{Result, Store};

/// A slot that has come, with what says when the next one is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DueSlot {
    pub schedule_id: Uuid,
    pub slot: Timestamp,
    pub cron: String,
    pub timezone: String,
}

/// What one transaction has decided.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DecidedSlots {
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
    pub reason: String,
    pub graph_exec_id: Option<GraphExecId>,
}

impl Store {
    /// Decides up to `limit` slots that have come, earliest first: each is to run, its schedule moves on to what `next` says about the slot
    /// and the present, and all of it is durable when this returns. Slots that another scheduler is at are left to it.
    pub async fn decide_due_slots(&self, limit: i64, next: impl Fn(&DueSlot, DateTime<Utc>) -> Option<Timestamp>) -> Result<DecidedSlots> {
        let mut tx = self.pool.begin().await.map_err(|error| self.explain(error))?;
        let rows = sqlx::query(
            "SELECT id, next_run_at, cron, timezone, clock_timestamp() AS present FROM schedules
             WHERE next_run_at <= now() ORDER BY next_run_at, id LIMIT $1 FOR NO KEY UPDATE SKIP LOCKED",
        )
        .bind(limit)
        .fetch_all(&mut *tx)
        .await?;
        if rows.is_empty() {
            return Ok(DecidedSlots::default());
        }
        let (mut ids, mut slots, mut nexts) = (Vec::new(), Vec::new(), Vec::new());
        let mut late = Duration::ZERO;
        for row in &rows {
            let (due, now): (DueSlot, DateTime<Utc>) = (due_slot(row)?, row.try_get("present")?);
            late = late.max((now - due.slot.into_inner()).to_std().unwrap_or_default());
            nexts.push(next(&due, now).map(Timestamp::into_inner));
            ids.push(due.schedule_id);
            slots.push(due.slot.into_inner());
        }
        sqlx::query(
            "WITH due AS (SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::timestamptz[]) AS due(id, slot, next)),
             moved AS (UPDATE schedules SET next_run_at = due.next, updated_at = now() FROM due WHERE schedules.id = due.id),
             decided AS (
                 INSERT INTO schedule_decisions (schedule_uid, slot, decision) SELECT id, slot, 'Fired' FROM due
                 ON CONFLICT DO NOTHING RETURNING schedule_uid, slot)
             INSERT INTO schedule_submissions (schedule_id, slot) SELECT schedule_uid, slot FROM decided ON CONFLICT DO NOTHING",
        )
        .bind(ids)
        .bind(slots)
        .bind(nexts)
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
        let column = |of: fn(&SettledSlot) -> &str| -> Vec<String> { outcomes.iter().map(|outcome| of(outcome).to_owned()).collect() };
        sqlx::query(
            "WITH outcome AS (
                 SELECT * FROM unnest($1::uuid[], $2::timestamptz[], $3::text[], $4::text[], $5::uuid[])
                     AS outcome(schedule_id, slot, decision, reason, graph_exec_id)),
             settled AS (
                 DELETE FROM schedule_submissions pending USING outcome
                 WHERE pending.schedule_id = outcome.schedule_id AND pending.slot = outcome.slot
                 RETURNING outcome.*)
             UPDATE schedule_decisions SET decision = settled.decision, reason = settled.reason, graph_exec_id = settled.graph_exec_id
             FROM settled WHERE schedule_uid = settled.schedule_id AND schedule_decisions.slot = settled.slot AND request = ''",
        )
        .bind(outcomes.iter().map(|outcome| outcome.schedule_id).collect::<Vec<_>>())
        .bind(outcomes.iter().map(|outcome| outcome.slot.into_inner()).collect::<Vec<_>>())
        .bind(column(|outcome| outcome.outcome.as_str()))
        .bind(column(|outcome| &outcome.reason))
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

fn due_slot(row: &PgRow) -> Result<DueSlot> {
    Ok(DueSlot {
        schedule_id: row.try_get("id")?,
        slot: instant(row, "next_run_at")?,
        cron: row.try_get("cron")?,
        timezone: row.try_get("timezone")?,
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
