//! The memory of a schedule, which is its status.

use chrono::TimeDelta;
use crds::schedule::{BackfillProgress, Counters, Decision, GraphScheduleStatus, Outcome, RunNow};
use schedule::decide::{self, Book, Due, Entry, Origin, Progress};

use crate::runtime::time;
use crate::schedule::child;

/// Room for a reason in the schema.
const REASON: usize = 1024;

/// What a status remembers. What cannot be read in it is forgotten.
pub fn read(status: &GraphScheduleStatus) -> Book {
    let dues = |list: &[String]| list.iter().filter_map(|text| text.parse().ok()).collect::<Vec<Due>>();
    let counters = status.counters.clone().unwrap_or_default();
    let number = |number: i64| u64::try_from(number).unwrap_or_default();
    Book {
        decided_through: status.decided_through.as_ref().map(time::to_chrono),
        active: dues(&status.active),
        buffer: dues(&status.buffer),
        recent: status.recent_decisions.iter().map(entry).collect(),
        counters: decide::Counters {
            fired: number(counters.fired),
            skipped: number(counters.skipped),
            missed: number(counters.missed),
            succeeded: number(counters.succeeded),
            failed: number(counters.failed),
        },
        runs: number(counters.runs),
        failures: u32::try_from(counters.failed_in_a_row).unwrap_or_default(),
        last_fired: status.last_fire_time.as_ref().map(time::to_chrono),
        last_success: status.last_success_time.as_ref().map(time::to_chrono),
        run_now: status.run_now.as_ref().map(|known| decide::RunNow {
            request: known.request.clone(),
            slot: time::to_chrono(&known.slot),
            decided: known.decided,
        }),
        backfills: status
            .backfills
            .iter()
            .map(|progress| Progress {
                name: progress.name.clone(),
                through: time::to_chrono(&progress.through),
                decided_through: progress.decided_through.as_ref().map(time::to_chrono),
                fired: number(progress.fired),
                skipped: number(progress.skipped),
                done: progress.done,
            })
            .collect(),
        suspended: status.suspended.clone(),
    }
}

/// Writes it into a status; `schedule` and `uid` name the executions.
pub fn write(book: &Book, schedule: &str, uid: &str, status: &mut GraphScheduleStatus) {
    let dues = |list: &[Due]| list.iter().map(Due::to_string).collect::<Vec<_>>();
    let number = |number: u64| i64::try_from(number).unwrap_or(i64::MAX);
    let counters = &book.counters;
    status.decided_through = book.decided_through.map(time::from_chrono);
    status.active = dues(&book.active);
    status.buffer = dues(&book.buffer);
    status.recent_decisions = book.recent.iter().map(|entry| decision(entry, schedule, uid)).collect();
    status.counters = Some(Counters {
        fired: number(counters.fired),
        runs: number(book.runs),
        skipped: number(counters.skipped),
        missed: number(counters.missed),
        succeeded: number(counters.succeeded),
        failed: number(counters.failed),
        failed_in_a_row: i64::from(book.failures),
    });
    status.last_fire_time = book.last_fired.map(time::from_chrono);
    status.last_success_time = book.last_success.map(time::from_chrono);
    status.run_now = book.run_now.as_ref().map(|known| RunNow {
        request: known.request.clone(),
        slot: time::from_chrono(known.slot),
        decided: known.decided,
    });
    status.backfills = book
        .backfills
        .iter()
        .map(|progress| BackfillProgress {
            name: progress.name.clone(),
            through: time::from_chrono(progress.through),
            decided_through: progress.decided_through.map(time::from_chrono),
            fired: number(progress.fired),
            skipped: number(progress.skipped),
            done: progress.done,
        })
        .collect();
    status.suspended = book.suspended.clone();
}

/// A decision as it is shown.
pub fn decision(entry: &Entry, schedule: &str, uid: &str) -> Decision {
    let range = entry.through.filter(|through| *through != entry.due.slot);
    let mut reason = entry.reason.clone();
    crds::conditions::truncate(&mut reason, REASON);
    Decision {
        slot: time::from_chrono(entry.due.slot),
        through: range.map(time::from_chrono),
        count: range.and_then(|_| i64::try_from(entry.count).ok()),
        outcome: match entry.outcome {
            decide::Outcome::Fired => Outcome::Fired,
            decide::Outcome::Skipped => Outcome::Skipped,
            decide::Outcome::Missed => Outcome::Missed,
            decide::Outcome::Buffered => Outcome::Buffered,
            decide::Outcome::Backfilled => Outcome::Backfilled,
        },
        reason: Some(reason).filter(|reason| !reason.is_empty()),
        request: Some(entry.due.request()).filter(|request| !request.is_empty()),
        execution: entry.outcome.is_run().then(|| child::name(schedule, uid, &entry.due)),
        lateness_ms: Some((entry.decided_at - entry.due.slot).num_milliseconds().max(0)),
    }
}

/// The key of what a shown decision is about: see [`Due`].
pub fn key(decision: &Decision) -> String {
    let slot = decide::instant(time::to_chrono(&decision.slot));
    match &decision.request {
        None => slot,
        Some(request) => format!("{slot}/{request}"),
    }
}

/// A decision as it was shown.
pub fn entry(decision: &Decision) -> Entry {
    let slot = time::to_chrono(&decision.slot);
    Entry {
        due: key(decision).parse().unwrap_or(Due {
            slot,
            origin: Origin::Calendar,
        }),
        through: decision.through.as_ref().map(time::to_chrono),
        count: decision.count.map_or(1, |count| usize::try_from(count).unwrap_or(1)),
        outcome: match decision.outcome {
            Outcome::Fired => decide::Outcome::Fired,
            Outcome::Skipped => decide::Outcome::Skipped,
            Outcome::Missed => decide::Outcome::Missed,
            Outcome::Buffered => decide::Outcome::Buffered,
            Outcome::Backfilled => decide::Outcome::Backfilled,
        },
        reason: decision.reason.clone().unwrap_or_default(),
        decided_at: slot + TimeDelta::milliseconds(decision.lateness_ms.unwrap_or_default()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::{DateTime, Utc};

    fn at(second: i64) -> DateTime<Utc> {
        DateTime::from_timestamp(second, 0).unwrap()
    }

    #[test]
    fn what_is_written_is_read() {
        let due = |origin| Due { slot: at(60), origin };
        let single = Entry {
            due: due(Origin::Backfill("b".to_owned())),
            through: None,
            count: 1,
            outcome: decide::Outcome::Backfilled,
            reason: "because".to_owned(),
            decided_at: at(61),
        };
        let range = Entry {
            due: due(Origin::Calendar),
            through: Some(at(120)),
            count: 2,
            outcome: decide::Outcome::Missed,
            ..single.clone()
        };
        let book = Book {
            decided_through: Some(at(120)),
            active: vec![due(Origin::Backfill("b".to_owned()))],
            buffer: vec![due(Origin::RunNow("r".to_owned()))],
            recent: vec![range, single],
            counters: decide::Counters {
                fired: 1,
                skipped: 2,
                missed: 3,
                succeeded: 4,
                failed: 5,
            },
            runs: 6,
            failures: 7,
            last_fired: Some(at(1)),
            last_success: Some(at(2)),
            run_now: Some(decide::RunNow {
                request: "r".to_owned(),
                slot: at(60),
                decided: true,
            }),
            backfills: vec![Progress {
                name: "b".to_owned(),
                through: at(9),
                decided_through: Some(at(8)),
                fired: 1,
                skipped: 2,
                done: false,
            }],
            suspended: Some("why".to_owned()),
        };
        let mut status = GraphScheduleStatus::default();
        write(&book, "s", "uid", &mut status);
        assert_eq!(read(&status), book);
        assert!(status.recent_decisions[1].execution.is_some() && status.recent_decisions[0].execution.is_none());
    }

    #[test]
    fn a_status_of_an_older_release_is_read() {
        let status: GraphScheduleStatus = serde_json::from_value(serde_json::json!({
            "decidedThrough": "2026-01-01T00:00:00Z",
            "recentDecisions": [{"slot": "2026-01-01T00:00:00Z", "outcome": "Fired", "execution": "x", "latenessMs": 3}],
        }))
        .unwrap();
        let book = read(&status);
        assert_eq!((book.recent.len(), book.active.len()), (1, 0));
    }
}
