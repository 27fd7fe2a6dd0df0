//! What becomes of the due slots of a schedule that is a row: what the operator would say of the same schedule made through REST in a cluster,
//! as the same code says it (design §5, Schedule). Pure.

use std::collections::{BTreeSet, HashMap};

use chrono::{DateTime, TimeDelta, Utc};
use model::Timestamp;
use model::schedule::SlotOutcome;
use schedule::decide::{BATCH, Book, Due, Entry, Outcome, Policy, Slots, Wishes, step};
use store::{DueSlot, SlotDecision, SlotDecisions};

use crate::cron::{self, ContractCron};
use crate::schedules::parse_zone;

/// Decides about many schedules, of which many have the same line.
#[derive(Default)]
pub struct Decider {
    /// By line and zone.
    lines: HashMap<(String, String), Option<cron::Firing>>,
}

impl Decider {
    /// What becomes of everything of a schedule that has come by `now`. However long nobody looked, this takes a few steps.
    pub fn decide(&mut self, due: &DueSlot, now: DateTime<Utc>) -> SlotDecisions {
        let line = (due.cron.clone(), due.timezone.clone());
        let firing = self.lines.entry(line).or_insert_with(|| firing(due));
        let armed = due.slot.into_inner();
        let slots = Armed {
            first: armed,
            later: firing.as_ref(),
        };
        let just_before = armed - TimeDelta::nanoseconds(1);
        let mut book = Book {
            decided_through: Some(just_before),
            active: due.active.iter().map(|slot| Due::at(slot.into_inner())).collect(),
            ..Book::default()
        };
        let step = step(&mut book, &wishes(just_before, now), &slots, now);
        SlotDecisions {
            decisions: step.entries.iter().map(decision).collect(),
            next: slots.next_after(book.decided_through.unwrap_or(now)).map(Timestamp::from),
        }
    }
}

/// None for what nobody can have stored, which does not come again.
fn firing(due: &DueSlot) -> Option<cron::Firing> {
    let cron: ContractCron = due.cron.parse().ok()?;
    cron::Firing::new(&cron, parse_zone(&due.timezone)?).ok()
}

/// Those of a schedule made through REST: all policies are the default, and what fires is Allow and Latest.
fn wishes(floor: DateTime<Utc>, now: DateTime<Utc>) -> Wishes {
    Wishes {
        policy: Policy::default(),
        floor,
        delay: TimeDelta::zero(),
        suspended: None,
        resumed: now,
        trouble: None,
        run_now: None,
        backfills: Vec::new(),
        made: BTreeSet::new(),
        most: BATCH,
    }
}

fn decision(entry: &Entry) -> SlotDecision {
    let range = entry.through.filter(|through| *through != entry.due.slot);
    SlotDecision {
        slot: entry.due.slot.into(),
        through: range.map(Timestamp::from),
        count: i64::try_from(entry.count).unwrap_or(i64::MAX),
        outcome: match entry.outcome {
            Outcome::Fired => SlotOutcome::Fired,
            Outcome::Skipped => SlotOutcome::Skipped,
            Outcome::Missed => SlotOutcome::Missed,
            Outcome::Buffered => SlotOutcome::Buffered,
            Outcome::Backfilled => SlotOutcome::Backfilled,
        },
        reason: entry.reason.clone(),
    }
}

/// The slots of a row: the one that it is armed for, which is due whatever its line says today, and those of its line after that.
struct Armed<'a> {
    first: DateTime<Utc>,
    later: Option<&'a cron::Firing>,
}

impl Slots for Armed<'_> {
    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if instant < self.first {
            return Some(self.first);
        }
        self.later?.next_after(instant)
    }

    fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        if instant < self.first {
            return None;
        }
        let later = self.later.and_then(|firing| firing.last_at_or_before(instant));
        Some(later.map_or(self.first, |later| later.max(self.first)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn due(cron: &str, slot: &str) -> DueSlot {
        DueSlot {
            schedule_id: uuid::Uuid::nil(),
            slot: at(slot).into(),
            cron: cron.to_owned(),
            timezone: "UTC".to_owned(),
            active: Vec::new(),
        }
    }

    /// Outcome, slot, last slot of a range, how many.
    fn lines(decided: &SlotDecisions) -> Vec<(SlotOutcome, String, Option<String>, i64)> {
        let line = |line: &SlotDecision| {
            (
                line.outcome,
                line.slot.to_string(),
                line.through.map(|through| through.to_string()),
                line.count,
            )
        };
        decided.decisions.iter().map(line).collect()
    }

    #[test]
    fn of_what_passed_the_newest_fires_and_the_others_are_one_line() {
        let decided = Decider::default().decide(&due("0 * * * *", "2026-01-02T03:00:00Z"), at("2026-01-02T07:12:00Z"));
        assert_eq!(
            lines(&decided),
            [
                (
                    SlotOutcome::Missed,
                    "2026-01-02T03:00:00Z".to_owned(),
                    Some("2026-01-02T06:00:00Z".to_owned()),
                    4
                ),
                (SlotOutcome::Fired, "2026-01-02T07:00:00Z".to_owned(), None, 1),
            ]
        );
        assert_eq!(decided.next, Some(at("2026-01-02T08:00:00Z").into()));
        assert_eq!(
            decided.decisions[1].reason,
            "due at 2026-01-02T07:00:00Z, 12 min ago, and made up for; nothing of this schedule was running"
        );
    }

    #[test]
    fn what_runs_does_not_stand_in_the_way_but_is_told() {
        let running = DueSlot {
            active: vec![at("2026-01-02T01:00:00Z").into(), at("2026-01-02T02:00:00Z").into()],
            ..due("0 * * * *", "2026-01-02T03:00:00Z")
        };
        let decided = Decider::default().decide(&running, at("2026-01-02T03:00:01Z"));
        assert_eq!(lines(&decided), [(SlotOutcome::Fired, "2026-01-02T03:00:00Z".to_owned(), None, 1)]);
        assert_eq!(
            decided.decisions[0].reason,
            "due; the run of 2026-01-02T02:00:00Z is not over, and runs may overlap (overlapPolicy Allow)"
        );
    }

    #[test]
    fn a_slot_that_the_line_does_not_have_any_more_is_due_all_the_same() {
        for (cron, next) in [("0 9 * * *", Some("2026-01-02T09:00:00Z")), ("0 0 31 2 *", None), ("nonsense", None)] {
            let decided = Decider::default().decide(&due(cron, "2026-01-02T03:04:05.5Z"), at("2026-01-02T03:04:06Z"));
            assert_eq!(lines(&decided).len(), 1, "{cron}");
            assert_eq!(decided.decisions[0].slot, at("2026-01-02T03:04:05.5Z").into());
            assert_eq!(decided.next, next.map(|next| at(next).into()), "{cron}");
        }
    }

    /// 576 001 slots, of which so many are looked at as are counted.
    #[test]
    fn four_hundred_days_of_sleep_are_two_lines() {
        let mut decider = Decider::default();
        let decided = decider.decide(&due("* * * * *", "2026-01-01T00:00:00Z"), at("2027-02-05T00:00:00Z"));
        assert_eq!(
            lines(&decided),
            [
                (
                    SlotOutcome::Missed,
                    "2026-01-01T00:00:00Z".to_owned(),
                    Some("2027-02-04T23:59:00Z".to_owned()),
                    1000
                ),
                (SlotOutcome::Fired, "2027-02-05T00:00:00Z".to_owned(), None, 1),
            ]
        );
    }
}
