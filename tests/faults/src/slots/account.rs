//! What became of every slot: the calendar against the objects of the API server and the rows of the database.

use std::collections::BTreeMap;
use std::time::Duration;

use chrono::{DateTime, Utc};
use crds::execution::Phase;
use crds::schedule::OverlapPolicy;
use crds::{GraphExecution, GraphSchedule};
use sqlx::postgres::PgPool;
use uuid::Uuid;

use crate::Result;
use crate::load::Accepted;

/// The battery's calendar: a slot in every second that this number divides, by `*/2 * * * * *`.
fn period(schedule: &GraphSchedule) -> i64 {
    let line = schedule.spec.schedules.first();
    let every = line.and_then(|line| line.strip_prefix("*/")?.split(' ').next()?.parse().ok());
    every.unwrap_or(1)
}

/// Graph of an execution of which no run came.
const NONE: Uuid = Uuid::nil();

/// Whether every slot up to `until` is decided and nothing of before it is under way or waits.
pub fn is_settled(schedule: &GraphSchedule, until: i64) -> bool {
    let Some(status) = &schedule.status else { return false };
    let decided = status
        .decided_through
        .as_ref()
        .is_some_and(|time| time.0.as_second() + period(schedule) > until);
    let before = |due: &String| due.parse::<DateTime<Utc>>().is_ok_and(|slot| slot.timestamp() <= until);
    decided && !status.active.iter().chain(&status.buffer).any(before)
}

/// How far a schedule is: what it has decided, and what has ended.
pub fn position(schedule: &GraphSchedule) -> (Option<i64>, i64) {
    let status = schedule.status.clone().unwrap_or_default();
    let ended = status.counters.map_or(0, |counters| counters.succeeded + counters.failed);
    (status.decided_through.map(|through| through.0.as_second()), ended)
}

/// The account of all schedules.
#[derive(Debug, Default)]
pub struct Account {
    pub slots: u64,
    /// Slots with their run.
    pub ran: u64,
    /// Slots that a policy skipped, by the schedule's own count.
    pub skipped: u64,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub wrong: Vec<String>,
    /// The longest time from a slot to the commit of its run.
    pub worst: Duration,
    /// Executions that were made and closed without a run.
    pub superseded: u64,
    pub runs: Vec<Accepted>,
}

/// A run with the idempotency key of its slot.
#[derive(sqlx::FromRow)]
struct Run {
    idempotency_key: Option<String>,
    id: Uuid,
    user_id: Uuid,
    graph_id: Uuid,
    created_at: DateTime<Utc>,
}

/// Draws up the account when nothing moves any more. Up to `until` every slot must have its run, except under overlapPolicy Skip.
pub async fn draw_up(schedules: &[GraphSchedule], children: &[GraphExecution], platform: &PgPool, until: i64) -> Result<Account> {
    let mut account = Account::default();
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let rows: Vec<Run> = sqlx::query_as("SELECT idempotency_key, id, user_id, graph_id, created_at FROM graph_executions")
        .fetch_all(platform)
        .await?;
    for run in rows {
        match run.idempotency_key.clone() {
            Some(key) => drop(runs.insert(key, run)),
            None => account.doubled.push(format!("run {} is of no slot", run.id)),
        }
    }
    for schedule in schedules {
        account.add(schedule, children, &mut runs, until);
    }
    // Whatever is left is a run of nothing that was due.
    account
        .doubled
        .extend(runs.iter().map(|(key, run)| format!("run {} of {key}, which was not due", run.id)));
    Ok(account)
}

impl Account {
    fn add(&mut self, schedule: &GraphSchedule, children: &[GraphExecution], runs: &mut BTreeMap<String, Run>, until: i64) {
        let (name, uid) = (
            schedule.metadata.name.clone().unwrap_or_default(),
            schedule.metadata.uid.clone().unwrap_or_default(),
        );
        let status = schedule.status.clone().unwrap_or_default();
        let (Some(created), Some(through)) = (&schedule.metadata.creation_timestamp, &status.decided_through) else {
            self.wrong.push(format!("{name} has decided nothing"));
            return;
        };
        let mut of_slot: BTreeMap<i64, Vec<&GraphExecution>> = BTreeMap::new();
        let ours = children
            .iter()
            .filter(|child| child.metadata.owner_references.iter().flatten().any(|owner| owner.uid == uid));
        for child in ours {
            let slot = child.spec.scheduled_for.as_ref().map_or(0, |slot| slot.0.as_second());
            of_slot.entry(slot).or_default().push(child);
        }
        let counters = status.counters.clone().unwrap_or_default();
        let skips = counters.skipped + counters.missed;
        let mut without = 0_u64;
        let mut slots = 0;
        let (created, every) = (created.0.as_second(), period(schedule));
        let first = created - created.rem_euclid(every) + every;
        let (opens, closes) = (&schedule.spec.start_at, &schedule.spec.end_at);
        let first = opens.as_ref().map_or(first, |opens| first.max(opens.0.as_second()));
        let last = closes
            .as_ref()
            .map_or(i64::MAX, |closes| closes.0.as_second() - 1)
            .min(through.0.as_second());
        for slot in (first..=last).step_by(usize::try_from(every).unwrap_or(1)) {
            slots += 1;
            let at = DateTime::from_timestamp(slot, 0).unwrap_or_default();
            let key = format!("{uid}/{}", at.format("%Y-%m-%dT%H:%M:%SZ"));
            let run = runs.remove(&key);
            let children = of_slot.remove(&slot).unwrap_or_default();
            self.judge(&format!("{name} {}", at.format("%H:%M:%S")), &children, run.as_ref());
            let Some(run) = run else {
                if slot <= until && schedule.spec.overlap_policy != OverlapPolicy::Skip {
                    self.lost.push(format!("{name}: no run of {}", at.format("%H:%M:%S")));
                }
                without += 1;
                continue;
            };
            self.ran += 1;
            // Under BufferAll a slot may wait for its turn.
            if schedule.spec.overlap_policy != OverlapPolicy::BufferAll {
                self.worst = self.worst.max((run.created_at - at).to_std().unwrap_or_default());
            }
            self.runs.push(Accepted {
                user: run.user_id,
                graph: run.graph_id,
                run: run.id,
            });
        }
        for (slot, children) in of_slot {
            self.wrong
                .push(format!("{name} has {} executions of {slot}, which was not due", children.len()));
        }
        self.slots += slots;
        // A slot without a run must be one that the schedule says it skipped, and no other.
        let count = i64::try_from(without).unwrap_or(i64::MAX);
        let waiting = i64::try_from(status.buffer.len()).unwrap_or(i64::MAX);
        if count != skips + waiting {
            self.wrong.push(format!(
                "{name} says that it skipped {skips} slots and {waiting} wait, {count} have no run"
            ));
        }
        self.skipped += skips.unsigned_abs();
        let all = i64::try_from(slots).unwrap_or_default();
        if counters.fired + skips + waiting != all {
            self.wrong.push(format!(
                "{name}: {all} slots were due, the schedule counts {} fired, {skips} not, {waiting} waiting",
                counters.fired
            ));
        }
    }

    fn judge(&mut self, what: &str, children: &[&GraphExecution], run: Option<&Run>) {
        if children.len() > 1 {
            self.doubled.push(format!("{what} has {} executions", children.len()));
        }
        let Some(child) = children.first() else {
            if run.is_some() {
                self.wrong.push(format!("{what} has a run and no execution"));
            }
            return;
        };
        let status = child.status.clone().unwrap_or_default();
        let id = status.execution_id.as_deref().and_then(|id| id.parse().ok()).unwrap_or(NONE);
        match run {
            Some(run) if run.id == id => {
                if status.phase != Some(Phase::Completed) {
                    self.wrong.push(format!("{what} ended {:?} although its run {id} is over", status.phase));
                }
            }
            Some(run) => self.wrong.push(format!("{what} says that its run is {id}, the database {}", run.id)),
            None if id == NONE => self.superseded += 1,
            None => self.lost.push(format!("{what} says that its run is {id}, which is not there")),
        }
    }
}
