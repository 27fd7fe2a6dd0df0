//! What became of every slot and of everything that people asked for: the calendar and the diary against the ledger, the objects of the API
//! server and the runs of the database.
//!
//! One decision in the ledger for each, by a policy that the schedule has; one execution and one run for each that was decided to run, and
//! nothing else.

use std::collections::{BTreeMap, HashMap};
use std::time::{Duration, Instant};

use chrono::{DateTime, SecondsFormat, Utc};
use crds::execution::Phase;
use crds::schedule::{Decision, GraphScheduleStatus, OverlapPolicy};
use crds::{GraphExecution, GraphSchedule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::ResourceExt;
use operator::schedule::child;
use sqlx::postgres::PgPool;
use uuid::Uuid;

use super::people::Diary;
use crate::Result;
use crate::load::Accepted;

/// The ledger is written behind the decisions.
const LEDGER_PATIENCE: Duration = Duration::from_secs(60);
const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Why a due time is skipped, in the words of its decision.
const SUSPENDED: &str = "(spec.suspend)";
const PAUSED: &str = "(pauseOnFailure)";
const MADE: &str = "its execution was made already";
/// What runs of a schedule may end as; see [`crate::invariants::Expected`].
const CANCELLED: &[&str] = &["COMPLETED", "TERMINATED"];
const FAILED: &[&str] = &["COMPLETED", "FAILED"];

/// The battery's calendar: a slot in every second that this number divides, by `*/2 * * * * *`.
fn period(schedule: &GraphSchedule) -> i64 {
    let line = schedule.spec.schedules.first();
    let every = line.and_then(|line| line.strip_prefix("*/")?.split(' ').next()?.parse().ok());
    every.unwrap_or(1)
}

/// The run of an execution of which none came.
const NONE: Uuid = Uuid::nil();

/// Whether every slot up to `until` is decided and nothing of before it is under way or waits.
pub fn is_settled(schedule: &GraphSchedule, until: i64) -> bool {
    let Some(status) = &schedule.status else { return false };
    // What comes while a schedule is suspended is decided from time to time.
    let decided = schedule.spec.suspend.is_some() || decided_through(status).is_some_and(|time| time + period(schedule) > until);
    let before = |due: &String| due.parse::<DateTime<Utc>>().is_ok_and(|slot| slot.timestamp() <= until);
    decided && !status.active.iter().chain(&status.buffer).any(before)
}

fn decided_through(status: &GraphScheduleStatus) -> Option<i64> {
    Some(status.decided_through.as_ref()?.0.as_second())
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
    /// Due times of the calendar.
    pub slots: u64,
    /// Those with their run.
    pub ran: u64,
    /// Those that a policy skipped.
    pub skipped: u64,
    /// Runs that were asked for by run-now and by backfills.
    pub asked: u64,
    pub backfilled: u64,
    pub lost: Vec<String>,
    pub doubled: Vec<String>,
    pub wrong: Vec<String>,
    /// The longest time from a slot to the commit of its run.
    pub worst: Duration,
    /// Executions that were made and closed without a run.
    pub superseded: u64,
    /// Executions that a policy cancelled.
    pub cancelled: u64,
    pub runs: Vec<Accepted>,
    /// Graphs whose runs may end otherwise than completed.
    pub exceptions: HashMap<Uuid, &'static [&'static str]>,
}

/// A run with the idempotency key of what it is of.
#[derive(sqlx::FromRow)]
struct Run {
    idempotency_key: Option<String>,
    id: Uuid,
    user_id: Uuid,
    graph_id: Uuid,
    created_at: DateTime<Utc>,
}

/// A decision in the ledger.
#[derive(Debug, Clone, sqlx::FromRow)]
struct Line {
    schedule_uid: Uuid,
    slot: DateTime<Utc>,
    request: String,
    through: Option<DateTime<Utc>>,
    decision: String,
    reason: String,
}

impl Line {
    fn of(uid: &str, decision: &Decision) -> Self {
        let at = |time: &Time| DateTime::from_timestamp(time.0.as_second(), 0).unwrap_or_default();
        Self {
            schedule_uid: uid.parse().unwrap_or_default(),
            slot: at(&decision.slot),
            request: decision.request.clone().unwrap_or_default(),
            through: decision.through.as_ref().map(at),
            decision: format!("{:?}", decision.outcome),
            reason: decision.reason.clone().unwrap_or_default(),
        }
    }

    /// As `status.unrecorded` has it.
    fn key(&self) -> String {
        let slot = instant(self.slot);
        if self.request.is_empty() {
            slot
        } else {
            format!("{slot}/{}", self.request)
        }
    }

    fn says(&self, other: &Self) -> bool {
        self.key() == other.key() && self.decision == other.decision && self.through.unwrap_or(self.slot) == other.through.unwrap_or(other.slot)
    }

    fn is_about(&self, slot: DateTime<Utc>) -> bool {
        self.slot <= slot && slot <= self.through.unwrap_or(self.slot)
    }
}

/// Everything that is there when nothing moves any more.
pub struct Scenery<'a> {
    pub schedules: &'a [GraphSchedule],
    pub children: &'a [GraphExecution],
    pub diary: &'a Diary,
    pub platform: &'a PgPool,
}

/// Draws up the account when nothing moves any more. What is due after `until` may be skipped because everything was suspended then.
pub async fn draw_up(scenery: Scenery<'_>, until: i64) -> Result<Account> {
    let mut account = Account::default();
    let mut runs: BTreeMap<String, Run> = BTreeMap::new();
    let rows: Vec<Run> = sqlx::query_as("SELECT idempotency_key, id, user_id, graph_id, created_at FROM graph_executions")
        .fetch_all(scenery.platform)
        .await?;
    for run in rows {
        match run.idempotency_key.clone() {
            Some(key) => drop(runs.insert(key, run)),
            None => account.doubled.push(format!("run {} is of no slot", run.id)),
        }
    }
    let mut ledger = read_ledger(&scenery, &mut account).await?;
    let mut children: HashMap<String, Vec<&GraphExecution>> = HashMap::new();
    for child in scenery.children {
        for owner in child.metadata.owner_references.iter().flatten() {
            children.entry(owner.uid.clone()).or_default().push(child);
        }
    }
    for schedule in scenery.schedules.iter().chain(&scenery.diary.dead) {
        let uid = schedule.uid().unwrap_or_default();
        let mut lines = ledger.remove(&uid).unwrap_or_default();
        let status = schedule.status.clone().unwrap_or_default();
        // The last words of a schedule that was deleted may not have come to the ledger any more.
        for decision in &status.recent_decisions {
            let line = Line::of(&uid, decision);
            if status.unrecorded.contains(&line.key()) {
                lines.retain(|other| other.key() != line.key());
                lines.push(line);
            }
        }
        let mut of_one = OfOne {
            name: schedule.name_any(),
            dead: scenery.diary.dead.iter().any(|dead| dead.uid() == schedule.uid()),
            children: of_due(&children.remove(&uid).unwrap_or_default()),
            uid,
            status,
            schedule,
            lines,
            diary: scenery.diary,
            until,
            account: &mut account,
            runs: &mut runs,
        };
        of_one.draw_up();
    }
    // Whatever is left is of nothing that was due.
    account
        .doubled
        .extend(runs.iter().map(|(key, run)| format!("run {} of {key}, which was not due", run.id)));
    let left = ledger.values().flatten();
    account.wrong.extend(left.map(|line| {
        format!(
            "a decision about {} of the schedule {}, which nobody knows",
            line.key(),
            line.schedule_uid
        )
    }));
    Ok(account)
}

/// All decisions by the UID of their schedule, once the ledger has what those schedules that are there say that it may not have yet.
async fn read_ledger(scenery: &Scenery<'_>, account: &mut Account) -> Result<HashMap<String, Vec<Line>>> {
    let began = Instant::now();
    loop {
        let all: Vec<Line> = sqlx::query_as("SELECT schedule_uid, slot, request, through, decision, reason FROM schedule_decisions")
            .fetch_all(scenery.platform)
            .await?;
        let mut ledger: HashMap<String, Vec<Line>> = HashMap::new();
        for line in all {
            ledger.entry(line.schedule_uid.to_string()).or_default().push(line);
        }
        let mut missing = Vec::new();
        for schedule in scenery.schedules {
            let (uid, status) = (schedule.uid().unwrap_or_default(), schedule.status.clone().unwrap_or_default());
            let lines = ledger.get(&uid).map(Vec::as_slice).unwrap_or_default();
            let said = status.recent_decisions.iter().map(|decision| Line::of(&uid, decision));
            let awaited = said.filter(|line| status.unrecorded.contains(&line.key()));
            let absent = awaited.filter(|line| !lines.iter().any(|other| other.says(line)));
            missing.extend(absent.map(|line| format!("{}: {} is not in the ledger", schedule.name_any(), line.key())));
        }
        if missing.is_empty() || began.elapsed() > LEDGER_PATIENCE {
            account.lost.extend(missing);
            return Ok(ledger);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

/// What an execution is of: its due time in seconds since 1970, and the request.
type Key = (i64, String);

fn of_due<'a>(children: &[&'a GraphExecution]) -> BTreeMap<Key, Vec<&'a GraphExecution>> {
    let mut of_due: BTreeMap<Key, Vec<&GraphExecution>> = BTreeMap::new();
    for child in children {
        let slot = child.spec.scheduled_for.as_ref().map_or(0, |slot| slot.0.as_second());
        let request = child.spec.request.clone().unwrap_or_default();
        of_due.entry((slot, request)).or_default().push(child);
    }
    of_due
}

fn instant(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

/// The account of one schedule.
struct OfOne<'a> {
    name: String,
    uid: String,
    status: GraphScheduleStatus,
    schedule: &'a GraphSchedule,
    /// It was deleted, and is as it was then.
    dead: bool,
    children: BTreeMap<Key, Vec<&'a GraphExecution>>,
    lines: Vec<Line>,
    diary: &'a Diary,
    until: i64,
    account: &'a mut Account,
    runs: &'a mut BTreeMap<String, Run>,
}

impl OfOne<'_> {
    fn draw_up(&mut self) {
        let (slots, skips) = self.calendar();
        let asked = self.requests();
        let backfilled = self.backfills();
        self.account.slots += slots;
        self.account.skipped += skips;
        self.account.asked += asked;
        self.account.backfilled += backfilled;
        for line in std::mem::take(&mut self.lines) {
            self.wrong(format!("decided about {}, which was not due and not asked for", line.key()));
        }
        for ((slot, request), children) in std::mem::take(&mut self.children) {
            self.wrong(format!("has {} executions of {slot} {request}, which was not due", children.len()));
        }
        // What it counts is what there was.
        let counters = self.status.counters.clone().unwrap_or_default();
        let said = (counters.fired, counters.skipped + counters.missed, self.status.buffer.len());
        let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
        let skips = number(skips);
        let fired = number(slots + asked + backfilled) - skips - i64::try_from(said.2).unwrap_or_default();
        if (said.0, said.1) != (fired, skips) {
            self.wrong(format!(
                "counts {} fired and {} not, with {} waiting; of {slots} slots, {asked} requests and {backfilled} backfilled ones {fired} were and {skips} were not",
                said.0, said.1, said.2
            ));
        }
    }

    /// How many due times there were, and how many of them were skipped.
    fn calendar(&mut self) -> (u64, u64) {
        let (Some(created), Some(through)) = (&self.schedule.metadata.creation_timestamp, decided_through(&self.status)) else {
            // One that is deleted at once may not have been seen.
            if !self.dead {
                self.wrong("has decided nothing".to_owned());
            }
            return (0, 0);
        };
        let spec = &self.schedule.spec;
        let (created, every) = (created.0.as_second(), period(self.schedule));
        let first = created - created.rem_euclid(every) + every;
        let first = spec.start_at.as_ref().map_or(first, |opens| first.max(opens.0.as_second()));
        let last = spec.end_at.as_ref().map_or(i64::MAX, |closes| closes.0.as_second() - 1).min(through);
        let (calendar, others): (Vec<Line>, Vec<Line>) = std::mem::take(&mut self.lines).into_iter().partition(|line| line.request.is_empty());
        self.lines = others;
        let (ranges, single): (Vec<Line>, Vec<Line>) = calendar.into_iter().partition(|line| line.through.is_some());
        let mut single: BTreeMap<i64, Line> = single.into_iter().map(|line| (line.slot.timestamp(), line)).collect();
        let (mut slots, mut skips) = (0, 0);
        for slot in (first..=last).step_by(usize::try_from(every).unwrap_or(1)) {
            slots += 1;
            let at = DateTime::from_timestamp(slot, 0).unwrap_or_default();
            let decided = ranges.iter().filter(|range| range.is_about(at)).cloned().chain(single.remove(&slot));
            let decided: Vec<Line> = decided.collect();
            match &decided[..] {
                [] => self.lost(format!("has no decision about {}", instant(at))),
                [line] => skips += u64::from(!self.slot(at, line)),
                several => self.doubled(format!("has {} decisions about {}", several.len(), instant(at))),
            }
        }
        let due = |slot: i64| (first..=last).contains(&slot) && (slot - first) % every == 0;
        let beside = ranges.into_iter().filter(|range| !due(range.slot.timestamp()));
        self.lines.extend(beside.chain(single.into_values()));
        (slots, skips)
    }

    /// Whether a due time of the calendar was to have a run, or waits for it.
    fn slot(&mut self, slot: DateTime<Utc>, line: &Line) -> bool {
        let what = instant(slot);
        match line.decision.as_str() {
            "Fired" => {
                let second = slot.timestamp();
                let mut absences = self.diary.absences.iter().filter(|absence| absence.uid == self.uid);
                if absences.any(|absence| (absence.asked..=absence.lifted).contains(&second)) && !line.reason.starts_with(MADE) {
                    self.doubled(format!("{what} fired while it was suspended: {}", line.reason));
                }
                let run = self.run_of(slot, "");
                self.account.ran += u64::from(run.is_some());
                let waits = matches!(self.schedule.spec.overlap_policy, OverlapPolicy::BufferAll | OverlapPolicy::CancelOther);
                // With these a slot may wait for its turn.
                if let Some(created) = run.filter(|_| !waits && !self.dead) {
                    self.account.worst = self.account.worst.max((created - slot).to_std().unwrap_or_default());
                }
                true
            }
            "Buffered" if self.status.buffer.contains(&what) => {
                self.no_run(slot);
                true
            }
            "Skipped" => {
                if !self.may_skip(slot.timestamp(), &line.reason) {
                    self.lost(format!("{what} was skipped: {}", line.reason));
                }
                self.no_run(slot);
                false
            }
            other => {
                self.lost(format!("{what} is {other}: {}", line.reason));
                self.no_run(slot);
                other == "Buffered"
            }
        }
    }

    /// Whether the schedule has the policy that this reason names, at that time.
    fn may_skip(&self, slot: i64, reason: &str) -> bool {
        let spec = &self.schedule.spec;
        if reason.contains(PAUSED) {
            return spec.pause_on_failure.is_some();
        }
        if reason.contains(SUSPENDED) {
            let mut absences = self.diary.absences.iter().filter(|absence| absence.uid == self.uid);
            return slot > self.until || absences.any(|absence| absence.decided_before < slot && slot <= absence.decided_after);
        }
        match spec.overlap_policy {
            OverlapPolicy::Skip => reason.contains("(overlapPolicy Skip)"),
            OverlapPolicy::CancelOther => reason.contains("(overlapPolicy CancelOther)"),
            _ => false,
        }
    }

    fn requests(&mut self) -> u64 {
        let diary = self.diary;
        let ours: Vec<_> = diary.requests.iter().filter(|request| request.uid == self.uid).collect();
        for request in &ours {
            let lines: Vec<Line> = self.lines.extract_if(.., |line| line.request == request.request).collect();
            self.decided_to_run(request.slot, &request.request, &lines);
        }
        ours.len() as u64
    }

    fn backfills(&mut self) -> u64 {
        let diary = self.diary;
        let every = period(self.schedule);
        let mut count = 0;
        for range in &diary.backfills {
            if range.uid != self.uid {
                continue;
            }
            let first = range.from + (-range.from).rem_euclid(every);
            for slot in (first..=range.to).step_by(usize::try_from(every).unwrap_or(1)) {
                let is_it = |line: &mut Line| line.request == range.request && line.slot.timestamp() == slot;
                let lines: Vec<Line> = self.lines.extract_if(.., is_it).collect();
                self.decided_to_run(slot, &range.request, &lines);
                count += 1;
            }
        }
        count
    }

    /// What was asked for has one decision, which is to run, and its run.
    fn decided_to_run(&mut self, slot: i64, request: &str, lines: &[Line]) {
        let slot = DateTime::from_timestamp(slot, 0).unwrap_or_default();
        let what = format!("{}/{request}", instant(slot));
        match lines {
            [] => self.lost(format!("has no decision about {what}")),
            [line] if line.slot != slot => self.wrong(format!("decided about {} instead of {what}", line.key())),
            [line] if !matches!(line.decision.as_str(), "Fired" | "Backfilled") => {
                self.lost(format!("{what} is {}: {}", line.decision, line.reason));
            }
            [_] => {}
            several => self.doubled(format!("has {} decisions about {what}", several.len())),
        }
        self.run_of(slot, request);
    }

    /// When the run of something came that was decided to run. It has one, and one execution that says so, unless both were taken away.
    fn run_of(&mut self, slot: DateTime<Utc>, request: &str) -> Option<DateTime<Utc>> {
        let due = if request.is_empty() {
            instant(slot)
        } else {
            format!("{}/{request}", instant(slot))
        };
        let run = self.runs.remove(&format!("{}/{due}", self.uid));
        let children = self.children.remove(&(slot.timestamp(), request.to_owned())).unwrap_or_default();
        if children.len() > 1 {
            self.doubled(format!("{due} has {} executions", children.len()));
        }
        let picked = self.picked(&due);
        match (children.first(), &run) {
            (Some(child), Some(run)) => self.judge(&due, child, run),
            (Some(child), None) => self.without_run(&due, child, true),
            (None, _) if !self.dead && picked.is_none() => self.lost(format!("{due} has no execution")),
            (None, None) if picked.flatten().is_some() => self.lost(format!("the run of {due}, which was there, is not")),
            (None, _) => {}
        }
        let run = run?;
        if let Some(allowed) = self.may_end() {
            self.account.exceptions.insert(run.graph_id, allowed);
        }
        self.account.runs.push(Accepted {
            user: run.user_id,
            graph: run.graph_id,
            run: run.id,
        });
        Some(run.created_at)
    }

    /// Whether the execution of something due was deleted by hand, and what run it had then.
    fn picked(&self, due: &str) -> Option<Option<Uuid>> {
        let due = due.parse().ok()?;
        self.diary.deleted.get(&child::name(&self.name, &self.uid, &due)).copied()
    }

    /// How runs may end, where it is not by completing.
    fn may_end(&self) -> Option<&'static [&'static str]> {
        let spec = &self.schedule.spec;
        let displaces = matches!(spec.overlap_policy, OverlapPolicy::CancelOther | OverlapPolicy::Replace);
        let taken = self.name == super::people::PICKED || self.name == super::people::REBORN;
        match spec.pause_on_failure {
            Some(_) => Some(FAILED),
            None => (displaces || taken).then_some(CANCELLED),
        }
    }

    /// What was not decided to run has no run. Its execution may have been made before it was decided otherwise.
    fn no_run(&mut self, slot: DateTime<Utc>) {
        let due = instant(slot);
        if let Some(run) = self.runs.remove(&format!("{}/{due}", self.uid)) {
            self.doubled(format!("run {} of {due}, which was decided not to run", run.id));
        }
        let children = self.children.remove(&(slot.timestamp(), String::new())).unwrap_or_default();
        if children.len() > 1 {
            self.doubled(format!("{due} has {} executions", children.len()));
        }
        if let Some(child) = children.first() {
            self.without_run(&due, child, false);
        }
    }

    /// An execution whose run there is.
    fn judge(&mut self, what: &str, child: &GraphExecution, run: &Run) {
        let (phase, id) = said(child);
        self.account.cancelled += u64::from(child.spec.cancel);
        if run.id != id {
            self.wrong(format!("{what} says that its run is {id}, the database {}", run.id));
            return;
        }
        let stopped = child.spec.cancel || child.metadata.deletion_timestamp.is_some();
        if phase != Some(Phase::Completed) && !(stopped && phase == Some(Phase::Terminated)) {
            self.wrong(format!("{what} ended {phase:?} although its run {id} is over"));
        }
    }

    /// An execution that has none: it was cancelled before it was submitted, or made before it was decided otherwise.
    fn without_run(&mut self, what: &str, child: &GraphExecution, was_to_run: bool) {
        let (phase, id) = said(child);
        if id != NONE {
            self.lost(format!("{what} says that its run is {id}, which is not there"));
        } else if child.spec.cancel && phase == Some(Phase::Terminated) {
            self.account.cancelled += 1;
        } else if was_to_run {
            self.lost(format!("{what} has no run, and its execution is {phase:?}"));
        } else {
            self.account.superseded += 1;
        }
    }

    fn lost(&mut self, what: String) {
        self.account.lost.push(format!("{}: {what}", self.name));
    }

    fn doubled(&mut self, what: String) {
        self.account.doubled.push(format!("{}: {what}", self.name));
    }

    fn wrong(&mut self, what: String) {
        self.account.wrong.push(format!("{}: {what}", self.name));
    }
}

/// How an execution ended, and the run that it names.
fn said(child: &GraphExecution) -> (Option<Phase>, Uuid) {
    let status = child.status.clone().unwrap_or_default();
    let id = status.execution_id.as_deref().and_then(|id| id.parse().ok());
    (status.phase, id.unwrap_or(NONE))
}
