//! Schedules over years: the product's own calendar and decisions, looked at now and then, with absences and crashes, against a ledger that
//! is kept apart. Every due time must end as exactly one decision, every run must be of one that was decided so.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use chrono::{DateTime, TimeDelta, Utc};
use schedule::decide::{BATCH, Backfill, Book, CatchUp, Due, Effect, End, Entry, Origin, Outcome, Overlap, Policy, Step, Wishes, step};
use schedule::{Calendar, CalendarSpec};

use crate::chance::Chance;

/// Years of one schedule.
const YEARS: i64 = 10;
const YEAR: i64 = 366 * 86_400;
/// 2020-01-01.
const BEGIN: i64 = 1_577_836_800;

const LINES: [&str; 8] = [
    "0 9 * * mon-fri",
    "30 2 * * *",
    "0 0 1 * *",
    "15 */12 * * *",
    "0 12 * * 7",
    "0 0 L * *",
    "0 1 * * *",
    "45 23 31 12 *",
];
const ZONES: [&str; 5] = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kolkata"];

/// What a search found.
#[derive(Debug, Clone, Default)]
pub struct Report {
    pub schedules: u64,
    pub years: u64,
    pub looks: u64,
    pub crashes: u64,
    pub decisions: u64,
    pub runs: u64,
    /// The first schedule that failed, told: the search ends there.
    pub failure: Option<String>,
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            schedules,
            years,
            looks,
            crashes,
            decisions,
            runs,
            failure,
        } = self;
        write!(
            f,
            "{years} schedule-years of {schedules} schedules: {looks} looks, {crashes} crashes, {decisions} decisions, {runs} runs"
        )?;
        match failure {
            Some(failure) => write!(f, "\nFAILED {failure}"),
            None => write!(f, ": every due time has one decision, every run its own"),
        }
    }
}

/// Lives through so many schedule-years that follow from `seed`, or as many as pass.
pub fn run(years: u64, seed: u64) -> Report {
    let mut report = Report::default();
    while report.years < years {
        let number = seed.wrapping_add(report.schedules);
        let mut life = Life::new(number);
        let outcome = life.live(&mut report);
        report.schedules += 1;
        report.years += YEARS as u64;
        if let Err(why) = outcome {
            report.failure = Some(format!("seed {number}, {:?} of {:?}: {why}", life.wishes.policy, life.lines));
            break;
        }
    }
    report
}

/// One schedule, the store, and what is known apart from both.
struct Life {
    chance: Chance,
    lines: (&'static str, &'static str),
    calendar: Calendar,
    wishes: Wishes,
    /// As it is stored.
    book: Book,
    /// Executions that exist, with whether they are over.
    executions: BTreeMap<Due, bool>,
    /// Every due time of the calendar up to here has been accounted for.
    covered: DateTime<Utc>,
    /// Due times whose decision is that they wait.
    waiting: BTreeSet<Due>,
    /// What has been decided to run.
    fired: BTreeSet<Due>,
    ran: BTreeSet<Due>,
    backfills: u64,
}

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

impl Life {
    fn new(seed: u64) -> Self {
        let mut chance = Chance::new(seed);
        let lines = (*chance.pick(&LINES), *chance.pick(&ZONES));
        let calendar = Calendar::parse(&CalendarSpec {
            lines: vec![lines.0.to_owned()],
            time_zone: lines.1.to_owned(),
            ..CalendarSpec::default()
        });
        let overlaps = [
            Overlap::Allow,
            Overlap::Skip,
            Overlap::BufferOne,
            Overlap::BufferAll(3),
            Overlap::CancelOther,
            Overlap::Replace,
        ];
        let policy = Policy {
            overlap: *chance.pick(&overlaps),
            catch_up: *chance.pick(&[CatchUp::Latest, CatchUp::None, CatchUp::All(4), CatchUp::All(40)]),
            window: *chance.pick(&[None, Some(TimeDelta::hours(1)), Some(TimeDelta::days(5))]),
            max_runs: *chance.pick(&[None, None, Some(50)]),
            pause_on_failure: None,
        };
        Self {
            lines,
            calendar: calendar.unwrap(),
            wishes: Wishes {
                policy,
                floor: at(BEGIN),
                delay: *chance.pick(&[TimeDelta::zero(), TimeDelta::seconds(90)]),
                suspended: None,
                resumed: at(BEGIN),
                trouble: None,
                run_now: None,
                backfills: Vec::new(),
                made: BTreeSet::new(),
                most: BATCH,
            },
            book: Book::default(),
            executions: BTreeMap::new(),
            covered: at(BEGIN),
            waiting: BTreeSet::new(),
            fired: BTreeSet::new(),
            ran: BTreeSet::new(),
            backfills: 0,
            chance,
        }
    }

    fn live(&mut self, report: &mut Report) -> Result<(), String> {
        let end = at(BEGIN + YEARS * YEAR);
        let mut now = at(BEGIN);
        while now < end {
            self.disturb(now);
            let wake = self.look(now, report)?;
            self.finish_some();
            let due = wake.filter(|wake| *wake > now).unwrap_or(end);
            now = match self.chance.below(100) {
                // Away for up to 400 days.
                0 => due.max(now + TimeDelta::days(self.chance.below(400) as i64)),
                1..=4 => due + TimeDelta::seconds(self.chance.below(100_000) as i64),
                5..=14 => now + TimeDelta::seconds(1 + self.chance.below(7200) as i64),
                _ => due + TimeDelta::milliseconds(self.chance.below(20_000) as i64),
            };
        }
        report.runs += self.ran.len() as u64;
        Ok(())
    }

    /// What people do.
    fn disturb(&mut self, now: DateTime<Utc>) {
        match self.chance.below(60) {
            0 => self.wishes.suspended = Some("on holiday".to_owned()),
            1..=4 if self.wishes.suspended.is_some() => {
                self.wishes.suspended = None;
                self.wishes.resumed = now;
            }
            5 => self.wishes.run_now = Some(format!("r{}", self.chance.below(1000))),
            6 if self.wishes.backfills.len() < 2 => {
                self.backfills += 1;
                let from = now - TimeDelta::days(self.chance.below(20) as i64);
                self.wishes.backfills.push(Backfill {
                    name: format!("b{}", self.backfills),
                    from,
                    to: from + TimeDelta::days(5),
                    overlap: *self.chance.pick(&[Overlap::Allow, Overlap::Skip, Overlap::BufferAll(1)]),
                });
            }
            7 => drop(self.wishes.backfills.pop()),
            _ => {}
        }
    }

    /// A look as the operator does it: settle, step, effects, store; a crash may come after any of them.
    fn look(&mut self, now: DateTime<Utc>, report: &mut Report) -> Result<Option<DateTime<Utc>>, String> {
        for _ in 0..10_000 {
            report.looks += 1;
            let mut book = self.book.clone();
            for due in book.active.clone() {
                match self.executions.get(&due) {
                    None => drop(book.settle(&due, End::Neither)),
                    Some(true) => drop(book.settle(&due, End::Succeeded)),
                    Some(false) => {}
                }
            }
            self.wishes.made = self.made(&book);
            let step = step(&mut book, &self.wishes, &self.calendar, now);
            let crash = self.chance.percent(2).then(|| self.chance.below(step.effects.len() + 1));
            for effect in step.effects.iter().take(crash.unwrap_or(usize::MAX)) {
                self.carry_out(effect);
            }
            if crash.is_some() {
                report.crashes += 1;
                continue;
            }
            self.book = book;
            report.decisions += step.entries.len() as u64;
            self.account(&step)?;
            self.run_what_is_decided();
            if !step.again {
                return Ok(step.wake);
            }
        }
        Err(format!("there is always something to do at {now}"))
    }

    /// Executions without a decision.
    fn made(&self, book: &Book) -> BTreeSet<Due> {
        let decided = |due: &Due| match &due.origin {
            Origin::Calendar => book.decided_through.is_some_and(|through| due.slot <= through),
            Origin::RunNow(_) | Origin::Backfill(_) => self.fired.contains(due),
        };
        self.executions.keys().filter(|due| !decided(due)).cloned().collect()
    }

    fn carry_out(&mut self, effect: &Effect) {
        match effect {
            Effect::Create(due) => drop(self.executions.entry(due.clone()).or_insert(false)),
            Effect::Cancel(due) => {
                if let Some(over) = self.executions.get_mut(due) {
                    *over = true;
                }
            }
        }
    }

    /// Keeps the account: each due time once, in order, and nothing else.
    fn account(&mut self, step: &Step) -> Result<(), String> {
        for entry in &step.entries {
            if entry.outcome.is_run() && !self.fired.insert(entry.due.clone()) {
                return Err(format!("{} fired twice", entry.due));
            }
            let was_waiting = self.waiting.remove(&entry.due);
            if entry.outcome == Outcome::Buffered {
                self.waiting.insert(entry.due.clone());
            }
            if entry.due.origin == Origin::Calendar && !was_waiting {
                self.cover(entry)?;
            }
        }
        let stored: BTreeSet<_> = self.book.buffer.iter().cloned().collect();
        if stored != self.waiting {
            return Err(format!("{stored:?} wait, and {:?} should", self.waiting));
        }
        Ok(())
    }

    fn cover(&mut self, entry: &Entry) -> Result<(), String> {
        let next = self.calendar.next_after(self.covered);
        // One that goes on with an earlier range begins with that.
        let first = if entry.through.is_some() && entry.due.slot <= self.covered {
            next
        } else {
            Some(entry.due.slot)
        };
        if next != first || next.is_none_or(|next| next > entry.last()) {
            return Err(format!("{entry:?} comes when {next:?} is the next due time without a decision"));
        }
        self.covered = entry.last();
        Ok(())
    }

    /// The gate: what is active in the stored book may run, once.
    fn run_what_is_decided(&mut self) {
        for due in &self.book.active {
            if self.executions.get(due) == Some(&false) {
                assert!(self.fired.contains(due), "{due} runs undecided");
                self.ran.insert(due.clone());
            }
        }
    }

    /// Runs end, executions are deleted by hand, and history limits clean up what is decided.
    fn finish_some(&mut self) {
        for due in self.book.active.clone() {
            if self.chance.percent(70) {
                self.executions.insert(due, true);
            } else if self.chance.percent(3) {
                self.executions.remove(&due);
            }
        }
        let (active, buffer) = (&self.book.active, &self.book.buffer);
        let decided = self.book.decided_through;
        self.executions
            .retain(|due, _| active.contains(due) || buffer.contains(due) || decided.is_none_or(|through| due.slot > through));
    }
}

#[cfg(test)]
mod tests {
    #[test]
    fn schedules_live_for_years() {
        let report = super::run(2_000, 1);
        assert!(report.failure.is_none() && report.crashes > 1000 && report.runs > 10_000, "{report}");
    }
}
