//! What is remembered of a schedule between two looks. Everything here survives a crash, because the caller stores it,
//! conditionally, with every step.

use chrono::{DateTime, Utc};

use super::due::{Due, Origin};

/// So many decisions are remembered.
pub const RECENT: usize = 10;

/// What became of something that was due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// It became a run.
    Fired,
    /// The policies did not want a run.
    Skipped,
    /// It passed while nothing could fire, and was not made up for.
    Missed,
    /// It waits until nothing runs: becomes Fired or Skipped.
    Buffered,
    /// It became a run of a backfill.
    Backfilled,
}

impl Outcome {
    /// Whether it became a run.
    pub fn is_run(self) -> bool {
        matches!(self, Self::Fired | Self::Backfilled)
    }

    /// The word for it, everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "Fired",
            Self::Skipped => "Skipped",
            Self::Missed => "Missed",
            Self::Buffered => "Buffered",
            Self::Backfilled => "Backfilled",
        }
    }
}

/// One decision, about one due time or about all of a range.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Entry {
    /// What was due; the first of a range.
    pub due: Due,
    /// The last due time of a range.
    pub through: Option<DateTime<Utc>>,
    /// How many due times the decision is about; no more than [`super::COUNTED`] of a range are counted.
    pub count: usize,
    pub outcome: Outcome,
    pub reason: String,
    /// When the decision was made.
    pub decided_at: DateTime<Utc>,
}

impl Entry {
    /// The last due time that the decision is about.
    pub fn last(&self) -> DateTime<Utc> {
        self.through.unwrap_or(self.due.slot)
    }

    /// Whether the decision is about this.
    pub fn is_about(&self, due: &Due) -> bool {
        self.due.origin == due.origin && (self.due.slot..=self.last()).contains(&due.slot)
    }
}

/// How a run ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum End {
    Succeeded,
    Failed,
    /// Cancelled, or its object was deleted.
    Neither,
}

/// A request to run now: the newest one seen.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct RunNow {
    pub request: String,
    /// When it was seen, which is its due time.
    pub slot: DateTime<Utc>,
    pub decided: bool,
}

/// How far a backfill is.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Progress {
    pub name: String,
    /// The due times up to this one are backfilled: those that were not in the future when the backfill was first seen.
    pub through: DateTime<Utc>,
    /// Those up to this one have their decision.
    pub decided_through: Option<DateTime<Utc>>,
    pub fired: u64,
    pub skipped: u64,
    pub done: bool,
}

/// How often what happened, since the schedule was made.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Counters {
    /// Runs of the calendar, run now and backfills.
    pub fired: u64,
    pub skipped: u64,
    pub missed: u64,
    pub succeeded: u64,
    pub failed: u64,
}

/// The state of one schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Book {
    /// Every due time of the calendar up to this one has its decision.
    pub decided_through: Option<DateTime<Utc>>,
    /// Runs that are not over, oldest first.
    pub active: Vec<Due>,
    /// What waits until nothing runs, in the order in which it fires.
    pub buffer: Vec<Due>,
    /// The newest decisions, newest first.
    pub recent: Vec<Entry>,
    pub counters: Counters,
    /// Runs of the calendar so far.
    pub runs: u64,
    /// Failed runs of the calendar since the last one that succeeded.
    pub failures: u32,
    pub last_fired: Option<DateTime<Utc>>,
    /// The due time of the newest run that succeeded.
    pub last_success: Option<DateTime<Utc>>,
    pub run_now: Option<RunNow>,
    pub backfills: Vec<Progress>,
    /// Why the schedule was suspended when it was last looked at.
    pub suspended: Option<String>,
}

impl Book {
    /// Takes note that a run is over. False when it was not counted among the active ones: then nothing changes, so that
    /// no run is counted twice.
    pub fn settle(&mut self, due: &Due, end: End) -> bool {
        let before = self.active.len();
        self.active.retain(|active| active != due);
        if self.active.len() == before {
            return false;
        }
        let of_calendar = due.origin == Origin::Calendar;
        match end {
            End::Succeeded => {
                self.counters.succeeded = self.counters.succeeded.saturating_add(1);
                self.last_success = self.last_success.max(Some(due.slot));
                if of_calendar {
                    self.failures = 0;
                }
            }
            End::Failed => {
                self.counters.failed = self.counters.failed.saturating_add(1);
                if of_calendar {
                    self.failures = self.failures.saturating_add(1);
                }
            }
            End::Neither => {}
        }
        true
    }

    /// Takes note of a run that begins.
    pub(super) fn begin(&mut self, due: &Due) {
        if self.active.contains(due) {
            return;
        }
        self.active.push(due.clone());
        self.counters.fired = self.counters.fired.saturating_add(1);
        if due.origin == Origin::Calendar {
            self.runs = self.runs.saturating_add(1);
            self.last_fired = self.last_fired.max(Some(due.slot));
        }
    }

    /// The run that was to begin cannot: something else has its name.
    pub fn refuse(&mut self, due: &Due, reason: String, now: DateTime<Utc>) -> Entry {
        self.active.retain(|active| active != due);
        self.counters.fired = self.counters.fired.saturating_sub(1);
        if due.origin == Origin::Calendar {
            self.runs = self.runs.saturating_sub(1);
        }
        self.record(one(due, Outcome::Missed, reason, now))
    }

    /// Writes a decision down and gives it back as it stands then. A later word about the same replaces the earlier one, and one
    /// that goes on with the newest range extends it.
    pub(super) fn record(&mut self, entry: Entry) -> Entry {
        let count = u64::try_from(entry.count).unwrap_or(u64::MAX);
        match entry.outcome {
            Outcome::Skipped => self.counters.skipped = self.counters.skipped.saturating_add(count),
            Outcome::Missed => self.counters.missed = self.counters.missed.saturating_add(count),
            Outcome::Fired | Outcome::Buffered | Outcome::Backfilled => {}
        }
        self.recent.retain(|other| other.due != entry.due);
        if let Some(newest) = self.recent.first_mut()
            && newest.outcome == entry.outcome
            && !entry.outcome.is_run()
            && newest.due.origin == Origin::Calendar
            && entry.due.origin == Origin::Calendar
            && entry.through.is_some()
            && newest.reason == entry.reason
        {
            newest.through = Some(entry.last());
            newest.count = newest.count.saturating_add(entry.count);
            newest.decided_at = entry.decided_at;
            return newest.clone();
        }
        self.recent.insert(0, entry.clone());
        self.recent.truncate(RECENT);
        entry
    }
}

/// A decision about one thing.
pub(super) fn one(due: &Due, outcome: Outcome, reason: String, now: DateTime<Utc>) -> Entry {
    Entry {
        due: due.clone(),
        through: None,
        count: 1,
        outcome,
        reason,
        decided_at: now,
    }
}
