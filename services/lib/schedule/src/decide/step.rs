//! One step of a schedule: what has come since the last one gets its decisions. Pure.
//!
//! A step makes few decisions, so that the caller stores them before it goes on: a crash costs one step, which the next one repeats.
//! However long nothing was looked at, a step costs what it decides, never what has passed: a whole range that has the
//! same decision is one [`Entry`].

use std::collections::BTreeSet;

use chrono::{DateTime, SubsecRound, TimeDelta, Utc};

use super::book::{Book, Entry, Outcome, Progress, RunNow, one};
use super::due::{Due, Origin};
use super::policy::{ON_TIME, Overlap, Policy};
use super::slots::{Slots, count, first_of_newest, last_before};
use super::verdict::{Decision, State, Verdict, decide};

/// Decisions of one step.
pub const BATCH: usize = 10;
/// Due times of a range are counted up to this number.
pub const COUNTED: usize = 1000;
/// While a schedule is held, the range of skipped times is brought up to date no more often and no less often than this.
const SHORTEST_HOLD: TimeDelta = TimeDelta::seconds(60);
const LONGEST_HOLD: TimeDelta = TimeDelta::hours(1);

/// A backfill that is asked for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Backfill {
    pub name: String,
    /// The first instant whose due times are meant.
    pub from: DateTime<Utc>,
    /// The last one.
    pub to: DateTime<Utc>,
    pub overlap: Overlap,
}

/// What is asked of the schedule at this moment, and what is there.
#[derive(Debug, Clone)]
pub struct Wishes {
    pub policy: Policy,
    /// Nothing up to this instant is due: when the schedule was made, or its calendar edited.
    pub floor: DateTime<Utc>,
    /// So long after each due time its run starts (jitter). The due times themselves are not moved.
    pub delay: TimeDelta,
    /// Present while suspended: a sentence.
    pub suspended: Option<String>,
    /// When the suspension ended at the latest, for a schedule that was suspended when last looked at.
    pub resumed: DateTime<Utc>,
    /// Why no run can be started, if so: a sentence.
    pub trouble: Option<String>,
    /// The request to run now that the schedule carries.
    pub run_now: Option<String>,
    pub backfills: Vec<Backfill>,
    /// Runs that exist although no decision about them is known: the step that made them was cut short. They are decided as
    /// fired.
    pub made: BTreeSet<Due>,
    /// Decisions of the step, [`BATCH`] at most. None takes note of what has ended, and starts nothing.
    pub most: usize,
}

/// Something to do before the book is stored. Doing it twice must be as good as once.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Effect {
    /// Stop a run.
    Cancel(Due),
    /// Start a run.
    Create(Due),
}

/// What a step decided.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Step {
    /// In this order.
    pub effects: Vec<Effect>,
    /// The decisions, oldest first.
    pub entries: Vec<Entry>,
    /// The schedule is to be suspended, with this note.
    pub pause: Option<String>,
    /// Store the book and step again.
    pub again: bool,
    /// When there is something to decide again.
    pub wake: Option<DateTime<Utc>>,
}

/// Decides about what has come, and updates the book. The caller carries out the effects, then stores the book on the condition
/// that nobody else has, and forgets all of it when that fails.
pub fn step(book: &mut Book, wishes: &Wishes, slots: &impl Slots, now: DateTime<Utc>) -> Step {
    let mut stepper = Stepper {
        book,
        wishes,
        slots,
        now,
        come: now - wishes.delay,
        step: Step::default(),
    };
    stepper.pause();
    stepper.hold();
    let new = (stepper.accept_request(), stepper.accept_backfills());
    if new.0 || new.1 {
        stepper.step.again = true;
        return stepper.step;
    }
    stepper.run_now();
    stepper.drain();
    stepper.calendar();
    stepper.backfills();
    stepper.cancel_for_waiting();
    stepper.step.wake = stepper.wake();
    stepper.step
}

struct Stepper<'a, S> {
    book: &'a mut Book,
    wishes: &'a Wishes,
    slots: &'a S,
    now: DateTime<Utc>,
    /// The due times of the calendar that have come are those up to this instant: the present moment without jitter.
    come: DateTime<Utc>,
    step: Step,
}

impl<S: Slots> Stepper<'_, S> {
    /// Up to here nothing is due any more.
    fn floor(&self) -> DateTime<Utc> {
        self.book
            .decided_through
            .map_or(self.wishes.floor, |through| through.max(self.wishes.floor))
    }

    fn held(&self) -> Option<&String> {
        self.wishes
            .suspended
            .as_ref()
            .or(self.step.pause.as_ref())
            .or(self.wishes.trouble.as_ref())
    }

    fn is_full(&mut self) -> bool {
        if self.step.entries.len() >= self.wishes.most.min(BATCH) {
            self.step.again = true;
        }
        self.step.again
    }

    fn state(&self, overlap: Overlap, later: usize) -> State {
        let waiting = self.book.buffer.iter().filter(|due| due.origin == Origin::Calendar).count();
        State {
            policy: Policy {
                overlap,
                ..self.wishes.policy.clone()
            },
            held: self.held().cloned(),
            runs: self.book.runs.saturating_add(u64::try_from(waiting).unwrap_or(u64::MAX)),
            active: self.book.active.len(),
            running: self.book.active.last().cloned(),
            waiting: self.book.buffer.len(),
            later,
        }
    }

    /// Too many failures in a row.
    fn pause(&mut self) {
        if self.wishes.suspended.is_some() || self.book.suspended.is_some() {
            return;
        }
        if let Some(most) = self.wishes.policy.pause_on_failure
            && self.book.failures >= most
        {
            self.step.pause = Some(format!(
                "paused after {} failed runs in a row (pauseOnFailure); remove spec.suspend to resume",
                self.book.failures
            ));
        }
    }

    /// Notes a suspension, or its end: what was due meanwhile is skipped.
    fn hold(&mut self) {
        if let Some(why) = &self.wishes.suspended {
            self.book.suspended = Some(why.clone());
            return;
        }
        let Some(why) = self.book.suspended.take() else { return };
        self.book.failures = 0;
        self.skip_through((self.wishes.resumed - self.wishes.delay).min(self.come), &why);
    }

    /// Skips everything that has come until then, as one decision.
    fn skip_through(&mut self, until: DateTime<Utc>, why: &str) {
        let first = self.slots.next_after(self.floor()).filter(|first| *first <= until);
        if let Some(first) = first {
            let last = self.slots.last_at_or_before(until).unwrap_or(first);
            self.range(first, last, Outcome::Skipped, why);
        }
    }

    fn range(&mut self, first: DateTime<Utc>, last: DateTime<Utc>, outcome: Outcome, reason: &str) {
        let count = count(self.slots, first, last, COUNTED);
        let entry = Entry {
            due: Due::at(first),
            through: Some(last),
            count,
            outcome,
            reason: reason.to_owned(),
            decided_at: self.now,
        };
        let entry = self.book.record(entry);
        self.step.entries.push(entry);
        self.book.decided_through = Some(last);
    }

    /// A new request gets its due time, which must be stored before anything is done about it: the name of the run contains it. One that was
    /// accepted before has its decision first.
    fn accept_request(&mut self) -> bool {
        let Some(request) = &self.wishes.run_now else { return false };
        if self
            .book
            .run_now
            .as_ref()
            .is_some_and(|known| known.request == *request || !known.decided)
        {
            return false;
        }
        self.book.run_now = Some(RunNow {
            request: request.clone(),
            slot: self.now.trunc_subsecs(0),
            decided: false,
        });
        true
    }

    /// A new backfill must be stored before anything is done about it: a run of one that nobody knows is taken for one that is over.
    fn accept_backfills(&mut self) -> bool {
        let wishes = &self.wishes.backfills;
        let known = &mut self.book.backfills;
        known.retain(|known| wishes.iter().any(|wish| wish.name == known.name));
        let before = known.len();
        for wish in wishes {
            if !known.iter().any(|known| known.name == wish.name) {
                known.push(Progress {
                    name: wish.name.clone(),
                    through: wish.to.min(self.now.trunc_subsecs(0)),
                    decided_through: None,
                    fired: 0,
                    skipped: 0,
                    done: false,
                });
            }
        }
        known.len() > before
    }

    fn run_now(&mut self) {
        if self.is_full() {
            return;
        }
        let Some(known) = self.book.run_now.as_mut().filter(|known| !known.decided) else {
            return;
        };
        known.decided = true;
        let due = Due {
            slot: known.slot,
            origin: Origin::RunNow(known.request.clone()),
        };
        let is_older = self.wishes.run_now.as_ref().is_some_and(|request| *request != known.request);
        let decision = decide(&self.state(self.wishes.policy.overlap, 0), &due, self.now);
        self.carry_out(&due, decision);
        self.step.again |= is_older;
    }

    /// What waits fires when nothing runs.
    fn drain(&mut self) {
        while !self.is_full() {
            let may_overlap = self.wishes.policy.overlap == Overlap::Allow;
            let held = self.held().is_some();
            let next = self.book.buffer.iter().position(|due| !held || matches!(due.origin, Origin::RunNow(_)));
            let Some(next) = next.filter(|_| may_overlap || self.book.active.is_empty()) else {
                return;
            };
            let due = self.book.buffer.remove(next);
            let finished = self
                .wishes
                .policy
                .max_runs
                .filter(|most| due.origin == Origin::Calendar && self.book.runs >= *most);
            match finished {
                None => self.fire(&due, "waited until nothing of this schedule was running".to_owned()),
                Some(most) => self.note(&due, Outcome::Skipped, format!("the schedule has had its {most} runs (maxRuns)")),
            }
        }
    }

    /// What has come of the calendar.
    fn calendar(&mut self) {
        while !self.is_full() {
            let floor = self.floor();
            let Some(slot) = self.slots.next_after(floor).filter(|slot| *slot <= self.come) else {
                return;
            };
            let due = Due::at(slot);
            let made = self.wishes.made.contains(&due);
            let state = self.state(self.wishes.policy.overlap, 0);
            let finished = state.policy.max_runs.is_some_and(|most| state.runs >= most);
            if !made && (state.held.is_some() || finished) {
                // The same for all that has come, but for what was made before.
                let decision = decide(&state, &due, self.come);
                let until = self.next_made(slot).map_or(self.come, |made| made - TimeDelta::seconds(1));
                let last = self.slots.last_at_or_before(until).unwrap_or(slot);
                self.range(slot, last, Outcome::Skipped, &decision.reason);
                continue;
            }
            let fires_from = self.fires_from(floor);
            if !made && fires_from.is_none_or(|from| slot < from) {
                self.miss(slot, fires_from);
                continue;
            }
            let later = count_after(self.slots, slot, self.come, self.wishes.policy.catch_up.kept());
            let mut decision = decide(&State { later, ..state }, &due, self.come);
            if made && !matches!(decision.verdict, Verdict::Fire | Verdict::FireCancelling) {
                decision = Decision {
                    verdict: Verdict::Fire,
                    reason: "its execution was made already, by a look that was cut short".to_owned(),
                };
            }
            self.book.decided_through = Some(slot);
            self.carry_out(&due, decision);
        }
    }

    /// The first due time after `floor` that catch-up, or being on time, lets fire.
    fn fires_from(&self, floor: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let just_before = |instant: DateTime<Utc>| instant - TimeDelta::nanoseconds(1);
        let policy = &self.wishes.policy;
        let come = |due: &DateTime<Utc>| *due > floor && *due <= self.come;
        let on_time = self.slots.next_after(just_before(self.come - ON_TIME).max(floor)).filter(come);
        let opens = policy.window.map_or(floor, |window| just_before(self.come - window).max(floor));
        let made_up = first_of_newest(self.slots, opens, self.come, policy.catch_up.kept()).filter(come);
        [on_time, made_up, self.next_made(floor)].into_iter().flatten().min()
    }

    /// The first run after an instant that exists without a decision.
    fn next_made(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let made = self.wishes.made.iter().filter(|due| due.origin == Origin::Calendar && due.slot > after);
        made.map(|due| due.slot).filter(|slot| *slot <= self.come).min()
    }

    /// A range from `first` on is not made up for: up to where something fires, or up to where the reason changes.
    fn miss(&mut self, first: DateTime<Utc>, fires_from: Option<DateTime<Utc>>) {
        let kept = self.wishes.policy.catch_up.kept();
        let state = self.state(self.wishes.policy.overlap, kept);
        let decision = decide(&state, &Due::at(first), self.come);
        let end = match fires_from {
            Some(from) => last_before(self.slots, from),
            None => self.slots.last_at_or_before(self.come),
        };
        let window = self.wishes.policy.window.map(|window| self.come - window).filter(|opens| first < *opens);
        let turns = window.and_then(|opens| self.slots.last_at_or_before(opens - TimeDelta::nanoseconds(1)));
        let last = end.into_iter().chain(turns).min().unwrap_or(first).max(first);
        self.range(first, last, Outcome::Missed, &decision.reason);
    }

    fn backfills(&mut self) {
        for wish in &self.wishes.backfills {
            self.backfill(wish);
        }
    }

    fn backfill(&mut self, wish: &Backfill) {
        while !self.is_full() {
            let Some(progress) = self.book.backfills.iter().find(|known| known.name == wish.name && !known.done) else {
                return;
            };
            let after = progress.decided_through.unwrap_or(wish.from - TimeDelta::seconds(1));
            let through = progress.through;
            let Some(slot) = self.slots.next_after(after).filter(|slot| *slot <= through) else {
                self.progress(&wish.name, |progress| progress.done = true);
                return;
            };
            let due = Due {
                slot,
                origin: Origin::Backfill(wish.name.clone()),
            };
            let mut decision = decide(&self.state(wish.overlap, 0), &due, self.now);
            if self.wishes.made.contains(&due) {
                decision.verdict = Verdict::Fire;
            }
            let fires = decision.verdict == Verdict::Fire;
            if !fires && decision.verdict != Verdict::Skip {
                return;
            }
            self.carry_out(&due, decision);
            self.progress(&wish.name, |progress| {
                progress.decided_through = Some(slot);
                let counter = if fires { &mut progress.fired } else { &mut progress.skipped };
                *counter = counter.saturating_add(1);
            });
        }
    }

    fn progress(&mut self, name: &str, change: impl FnOnce(&mut Progress)) {
        if let Some(progress) = self.book.backfills.iter_mut().find(|known| known.name == name) {
            change(progress);
        }
    }

    fn carry_out(&mut self, due: &Due, decision: Decision) {
        match decision.verdict {
            Verdict::Fire => self.fire(due, decision.reason),
            Verdict::FireCancelling => {
                self.cancel_active();
                self.fire(due, decision.reason);
            }
            Verdict::Buffer => self.buffer(due, decision.reason),
            Verdict::BufferCancelling => {
                for displaced in std::mem::take(&mut self.book.buffer) {
                    self.note(&displaced, Outcome::Skipped, format!("{due} took its place (overlapPolicy CancelOther)"));
                }
                self.buffer(due, decision.reason);
            }
            Verdict::Skip => self.note(due, Outcome::Skipped, decision.reason),
            Verdict::Miss => self.note(due, Outcome::Missed, decision.reason),
            Verdict::Wait => {}
        }
    }

    fn fire(&mut self, due: &Due, reason: String) {
        self.book.begin(due);
        self.step.effects.push(Effect::Create(due.clone()));
        let outcome = match due.origin {
            Origin::Backfill(_) => Outcome::Backfilled,
            Origin::Calendar | Origin::RunNow(_) => Outcome::Fired,
        };
        self.note(due, outcome, reason);
    }

    fn buffer(&mut self, due: &Due, reason: String) {
        self.book.buffer.push(due.clone());
        self.note(due, Outcome::Buffered, reason);
    }

    fn note(&mut self, due: &Due, outcome: Outcome, reason: String) {
        let entry = self.book.record(one(due, outcome, reason, self.now));
        self.step.entries.push(entry);
    }

    /// As long as something waits under CancelOther, what runs is asked to stop: the request may have been lost.
    fn cancel_for_waiting(&mut self) {
        if self.wishes.policy.overlap == Overlap::CancelOther && !self.book.buffer.is_empty() {
            self.cancel_active();
        }
    }

    fn cancel_active(&mut self) {
        self.step.effects.extend(self.book.active.iter().cloned().map(Effect::Cancel));
    }

    fn wake(&self) -> Option<DateTime<Utc>> {
        let from = self.floor().max(self.come);
        let starts = |slot: DateTime<Utc>| slot + self.wishes.delay;
        if self.held().is_some() {
            let newest = self.book.recent.first().filter(|entry| entry.outcome == Outcome::Skipped);
            let span = newest.and_then(|entry| Some(entry.through? - entry.due.slot));
            return match span {
                // The first one is decided when it comes, the next ones in ever larger ranges.
                None => self.slots.next_after(from).map(starts),
                Some(span) => self.slots.next_after(from + span.clamp(SHORTEST_HOLD, LONGEST_HOLD)).map(starts),
            };
        }
        let finished = self.wishes.policy.max_runs.is_some_and(|most| self.book.runs >= most);
        if finished { None } else { self.slots.next_after(from).map(starts) }
    }
}

fn count_after(slots: &impl Slots, slot: DateTime<Utc>, now: DateTime<Utc>, most: usize) -> usize {
    slots.next_after(slot).map_or(0, |next| count(slots, next, now, most))
}
