//! Which decisions the platform's ledger may not have yet. Pure: [`super::recorder`] sends them.
//!
//! A decision goes to the ledger only after it stands in the status, and is sent until the ledger has it. So that no crash loses one, the
//! status names those that are not known to be there, and keeps what it says about them, beyond the newest ten, until they are. That a
//! decision has arrived is written with the next change of the status, never by itself: after a crash the last ones are sent again, which
//! changes nothing.

use std::collections::HashSet;
use std::hash::{DefaultHasher, Hash, Hasher};

use crds::GraphSchedule;
use crds::schedule::{Decision, GraphScheduleStatus, Outcome};
use kube::ResourceExt;
use model::Timestamp;
use model::schedule::{ScheduleDecision, SlotOutcome};
use schedule::decide::{Entry, RECENT};

use crate::runtime::time;
use crate::schedule::book;

/// So many decisions are kept in a status while the ledger cannot be reached; older ones are only in the memory of this process.
const MOST: usize = 100;

/// Names one decision of one schedule as it stands; another one about the same due time has another print.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Print(u64);

impl Print {
    fn of(uid: &str, decision: &Decision) -> Self {
        let mut hasher = DefaultHasher::new();
        let through = decision.through.as_ref().map(|through| through.0);
        (
            uid,
            book::key(decision),
            through,
            decision.count,
            decision.outcome as u8,
            decision.lateness_ms,
        )
            .hash(&mut hasher);
        Self(hasher.finish())
    }
}

/// Brings what the status says about the ledger up to date: `made` are the decisions of this look, `is_recorded` knows what has arrived.
/// The answer is how many decisions had to be given up.
pub fn fold(schedule: &GraphSchedule, next: &mut GraphScheduleStatus, made: &[Entry], is_recorded: impl Fn(Print) -> bool) -> usize {
    let before = schedule.status.clone().unwrap_or_default();
    let uid = schedule.uid().unwrap_or_default();
    let mut waiting: HashSet<String> = before.unrecorded.iter().cloned().collect();
    for decision in &before.recent_decisions {
        if is_recorded(Print::of(&uid, decision)) {
            waiting.remove(&book::key(decision));
        }
    }
    waiting.extend(made.iter().map(|entry| entry.due.to_string()));
    let shown: HashSet<String> = next.recent_decisions.iter().map(book::key).collect();
    let older = before
        .recent_decisions
        .into_iter()
        .filter(|decision| !shown.contains(&book::key(decision)));
    let (mut place, mut lost) = (0, 0);
    let all = std::mem::take(&mut next.recent_decisions).into_iter().map(|decision| (decision, true));
    next.unrecorded.clear();
    for (decision, new) in all.chain(older.map(|decision| (decision, false))) {
        let key = book::key(&decision);
        let waits = waiting.contains(&key);
        if !waits && (!new || place >= RECENT) {
            continue;
        }
        if next.recent_decisions.len() == MOST {
            lost += usize::from(waits);
            continue;
        }
        place += 1;
        if waits {
            next.unrecorded.push(key);
        }
        next.recent_decisions.push(decision);
    }
    lost
}

/// The decisions of a stored status that may not be in the ledger, as the ledger has them.
pub fn unrecorded(schedule: &GraphSchedule) -> Vec<(Print, ScheduleDecision)> {
    let Some(status) = schedule.status.as_ref().filter(|status| !status.unrecorded.is_empty()) else {
        return Vec::new();
    };
    // An API server gives UUIDs.
    let Ok(schedule_uid) = schedule.uid().unwrap_or_default().parse() else {
        return Vec::new();
    };
    let uid = schedule.uid().unwrap_or_default();
    let waits = |decision: &&Decision| status.unrecorded.contains(&book::key(decision));
    let line = |decision: &Decision| {
        let decided_at = book::entry(decision).decided_at;
        let line = ScheduleDecision {
            schedule_uid,
            slot: Timestamp::from(time::to_chrono(&decision.slot)),
            request: decision.request.clone().unwrap_or_default(),
            through: decision.through.as_ref().map(|through| Timestamp::from(time::to_chrono(through))),
            count: decision.count.unwrap_or(1).max(1),
            outcome: match decision.outcome {
                Outcome::Fired => SlotOutcome::Fired,
                Outcome::Skipped => SlotOutcome::Skipped,
                Outcome::Missed => SlotOutcome::Missed,
                Outcome::Buffered => SlotOutcome::Buffered,
                Outcome::Backfilled => SlotOutcome::Backfilled,
            },
            reason: decision.reason.clone().unwrap_or_default(),
            execution: decision.execution.clone(),
            graph_exec_id: None,
            decided_at: Timestamp::from(decided_at),
        };
        (Print::of(&uid, decision), line)
    };
    // Oldest first, as they were made.
    status.recent_decisions.iter().filter(waits).rev().map(line).collect()
}

/// A line of the ledger as a status shows it.
pub fn shown(line: ScheduleDecision) -> Decision {
    let slot = line.slot.into_inner();
    let range = line.through.map(Timestamp::into_inner).filter(|through| *through != slot);
    Decision {
        slot: time::from_chrono(slot),
        through: range.map(time::from_chrono),
        count: range.map(|_| line.count),
        outcome: match line.outcome {
            SlotOutcome::Fired => Outcome::Fired,
            SlotOutcome::Skipped => Outcome::Skipped,
            SlotOutcome::Missed => Outcome::Missed,
            SlotOutcome::Buffered => Outcome::Buffered,
            SlotOutcome::Backfilled => Outcome::Backfilled,
        },
        reason: Some(line.reason).filter(|reason| !reason.is_empty()),
        request: Some(line.request).filter(|request| !request.is_empty()),
        execution: line.execution,
        lateness_ms: Some((line.decided_at.into_inner() - slot).num_milliseconds().max(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, TimeDelta, Utc};
    use schedule::decide::{self, Due};

    const UID: &str = "00000000-0000-0000-0000-000000000001";

    fn at(minute: usize) -> DateTime<Utc> {
        DateTime::UNIX_EPOCH + TimeDelta::minutes(i64::try_from(minute).unwrap())
    }

    fn entry(minute: usize) -> Entry {
        Entry {
            due: Due::at(at(minute)),
            through: None,
            count: 1,
            outcome: decide::Outcome::Fired,
            reason: String::new(),
            decided_at: at(minute) + TimeDelta::milliseconds(5),
        }
    }

    fn decision(minute: usize) -> Decision {
        book::decision(&entry(minute), "s", UID)
    }

    fn schedule() -> GraphSchedule {
        serde_json::from_value(serde_json::json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "uid": UID},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": ["* * * * *"]},
        }))
        .unwrap()
    }

    /// The schedule decides about one minute more; its book remembers ten.
    fn decide(schedule: &mut GraphSchedule, minute: usize, is_recorded: impl Fn(Print) -> bool) -> usize {
        let mut next = schedule.status.clone().unwrap_or_default();
        next.recent_decisions.insert(0, decision(minute));
        next.recent_decisions.truncate(RECENT);
        let lost = fold(schedule, &mut next, &[entry(minute)], is_recorded);
        schedule.status = Some(next);
        lost
    }

    fn minutes(schedule: &GraphSchedule) -> Vec<Timestamp> {
        unrecorded(schedule).into_iter().map(|(_, line)| line.slot).collect()
    }

    #[test]
    fn what_is_recorded_makes_room_and_what_is_not_stays() {
        let mut schedule = schedule();
        for minute in 0..15 {
            assert_eq!(decide(&mut schedule, minute, |_| false), 0);
        }
        assert_eq!(minutes(&schedule), (0..15).map(|minute| at(minute).into()).collect::<Vec<_>>());
        let arrived: Vec<Print> = unrecorded(&schedule).into_iter().take(14).map(|(print, _)| print).collect();
        decide(&mut schedule, 15, |print| arrived.contains(&print));
        assert_eq!(minutes(&schedule), [at(14).into(), at(15).into()]);
        assert_eq!(schedule.status.unwrap().recent_decisions.len(), RECENT);
    }

    #[test]
    fn another_decision_about_the_same_is_not_recorded_with_the_first() {
        let mut schedule = schedule();
        let waits = Entry {
            outcome: decide::Outcome::Buffered,
            ..entry(1)
        };
        let mut next = GraphScheduleStatus {
            recent_decisions: vec![book::decision(&waits, "s", UID)],
            ..GraphScheduleStatus::default()
        };
        fold(&schedule, &mut next, &[waits], |_| false);
        schedule.status = Some(next.clone());
        let first = unrecorded(&schedule)[0].0;
        next.recent_decisions = vec![decision(1)];
        fold(&schedule, &mut next, &[entry(1)], |print| print == first);
        schedule.status = Some(next);
        let lines = unrecorded(&schedule);
        assert_eq!((lines.len(), lines[0].1.outcome), (1, SlotOutcome::Fired));
        assert_ne!(lines[0].0, first);
    }

    #[test]
    fn a_ledger_that_is_away_for_ever_does_not_make_the_status_grow_for_ever() {
        let mut schedule = schedule();
        let lost: usize = (0..MOST + 3).map(|minute| decide(&mut schedule, minute, |_| false)).sum();
        assert_eq!((lost, minutes(&schedule).len(), minutes(&schedule)[0]), (3, MOST, at(3).into()));
    }

    #[test]
    fn a_decision_comes_back_from_the_ledger_as_it_was() {
        let mut schedule = schedule();
        decide(&mut schedule, 1, |_| false);
        let line = unrecorded(&schedule).remove(0).1;
        assert_eq!(shown(line), decision(1));
    }
}
