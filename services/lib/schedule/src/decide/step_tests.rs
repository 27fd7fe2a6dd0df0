use std::collections::BTreeSet;

use chrono::{DateTime, TimeDelta, Utc};

use super::*;

/// Due every so many seconds, until an end.
struct Every {
    seconds: i64,
    until: i64,
}

impl Slots for Every {
    fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let next = (instant.timestamp().div_euclid(self.seconds) + 1) * self.seconds;
        (next <= self.until).then(|| at(next))
    }

    fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        Some(at(instant.timestamp().min(self.until).div_euclid(self.seconds) * self.seconds))
    }
}

const MINUTELY: Every = Every {
    seconds: 60,
    until: i64::MAX / 1_000_000_000,
};

fn at(second: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(second, 0).unwrap()
}

fn minute(minute: i64) -> DateTime<Utc> {
    at(minute * 60)
}

fn wishes(policy: Policy) -> Wishes {
    Wishes {
        policy,
        floor: at(0),
        delay: TimeDelta::zero(),
        suspended: None,
        resumed: at(0),
        trouble: None,
        run_now: None,
        backfills: Vec::new(),
        made: BTreeSet::new(),
        most: BATCH,
    }
}

fn overlap(overlap: Overlap) -> Wishes {
    wishes(Policy {
        overlap,
        ..Policy::default()
    })
}

fn catch_up(catch_up: CatchUp, window: Option<TimeDelta>) -> Wishes {
    wishes(Policy {
        catch_up,
        window,
        ..Policy::default()
    })
}

/// Steps until there is nothing to do.
fn run(book: &mut Book, wishes: &Wishes, slots: &impl Slots, now: DateTime<Utc>) -> Step {
    let mut all = Step::default();
    loop {
        let step = step(book, wishes, slots, now);
        all.effects.extend(step.effects);
        all.entries.extend(step.entries);
        all.wake = step.wake;
        all.pause = step.pause;
        if !step.again {
            return all;
        }
    }
}

fn fired(step: &Step) -> Vec<i64> {
    let of = |effect: &Effect| match effect {
        Effect::Create(due) => Some(due.slot.timestamp() / 60),
        Effect::Cancel(_) => None,
    };
    step.effects.iter().filter_map(of).collect()
}

/// Outcome, minute, last minute, count.
fn entries(step: &Step) -> Vec<(Outcome, i64, i64, usize)> {
    let short = |entry: &Entry| (entry.outcome, entry.due.slot.timestamp() / 60, entry.last().timestamp() / 60, entry.count);
    step.entries.iter().map(short).collect()
}

#[test]
fn a_due_time_fires_once() {
    let mut book = Book::default();
    let step = run(&mut book, &overlap(Overlap::Allow), &MINUTELY, minute(1));
    assert_eq!(fired(&step), [1]);
    assert_eq!(step.wake, Some(minute(2)));
    assert_eq!(book.decided_through, Some(minute(1)));
    let again = run(&mut book, &overlap(Overlap::Allow), &MINUTELY, minute(1));
    assert_eq!((fired(&again), entries(&again)), (vec![], vec![]));
}

#[test]
fn a_step_that_was_lost_is_repeated_with_the_same_result() {
    let wishes = catch_up(CatchUp::All(5), None);
    let mut lost = Book::default();
    let first = step(&mut lost, &wishes, &MINUTELY, minute(60));
    let mut book = Book::default();
    let second = step(&mut book, &wishes, &MINUTELY, minute(60));
    assert_eq!((first, lost), (second, book));
}

#[test]
fn after_400_days_the_newest_fires_and_the_rest_is_one_decision() {
    let now = at(400 * 86_400 + 20);
    let mut book = Book::default();
    let every_second = Every { seconds: 1, ..MINUTELY };
    let step = run(&mut book, &catch_up(CatchUp::Latest, None), &every_second, now);
    let (missed, rest) = step.entries.split_first().unwrap();
    assert_eq!((missed.outcome, missed.count, missed.due.slot), (Outcome::Missed, COUNTED, at(1)));
    assert_eq!(rest.len(), 31, "those that are on time");
    assert!(rest.iter().all(|entry| entry.outcome == Outcome::Fired));
    assert_eq!(missed.last() + TimeDelta::seconds(1), rest[0].due.slot);
    assert_eq!(book.counters.missed, 1000);
}

#[test]
fn catch_up_makes_up_for_what_it_says() {
    let now = minute(100) + TimeDelta::seconds(40);
    let hour = Some(TimeDelta::minutes(60));
    let five = Some(TimeDelta::minutes(5));
    for (policy, expected) in [
        (
            catch_up(CatchUp::Latest, None),
            vec![(Outcome::Missed, 1, 99, 99), (Outcome::Fired, 100, 100, 1)],
        ),
        (catch_up(CatchUp::None, None), vec![(Outcome::Missed, 1, 100, 100)]),
        (
            catch_up(CatchUp::All(2), None),
            vec![(Outcome::Missed, 1, 98, 98), (Outcome::Fired, 99, 99, 1), (Outcome::Fired, 100, 100, 1)],
        ),
        (
            catch_up(CatchUp::All(2), hour),
            vec![
                (Outcome::Missed, 1, 40, 40),
                (Outcome::Missed, 41, 98, 58),
                (Outcome::Fired, 99, 99, 1),
                (Outcome::Fired, 100, 100, 1),
            ],
        ),
        (
            catch_up(CatchUp::All(100), five),
            std::iter::once((Outcome::Missed, 1, 95, 95))
                .chain((96..=100).map(|minute| (Outcome::Fired, minute, minute, 1)))
                .collect(),
        ),
        (
            catch_up(CatchUp::Latest, Some(TimeDelta::seconds(35))),
            vec![(Outcome::Missed, 1, 100, 100)],
        ),
    ] {
        let mut book = Book::default();
        let step = run(&mut book, &policy, &MINUTELY, now);
        assert_eq!(entries(&step), expected, "{:?}", policy.policy);
        assert_eq!(book.decided_through, Some(minute(100)), "{:?}", policy.policy);
    }
}

#[test]
fn what_is_on_time_fires_whatever_catch_up_says() {
    for policy in [CatchUp::None, CatchUp::Latest, CatchUp::All(1)] {
        let mut book = Book::default();
        let step = run(&mut book, &catch_up(policy, None), &Every { seconds: 5, ..MINUTELY }, at(30));
        assert_eq!(step.entries.len(), 6, "{policy:?}");
        assert!(step.entries.iter().all(|entry| entry.outcome == Outcome::Fired), "{policy:?}");
    }
}

#[test]
fn what_waits_fires_in_order_when_nothing_runs() {
    let wishes = overlap(Overlap::BufferAll(2));
    let mut book = Book::default();
    let mut all = Vec::new();
    for now in 1..=4 {
        all.extend(entries(&run(&mut book, &wishes, &MINUTELY, minute(now))));
    }
    let expected = [Outcome::Fired, Outcome::Buffered, Outcome::Buffered, Outcome::Skipped];
    assert_eq!(all.iter().map(|entry| entry.0).collect::<Vec<_>>(), expected);
    assert!(book.settle(&Due::at(minute(1)), End::Succeeded));
    assert!(!book.settle(&Due::at(minute(1)), End::Succeeded), "counted once");
    let step = run(&mut book, &wishes, &MINUTELY, minute(4));
    assert_eq!((fired(&step), book.buffer.clone()), (vec![2], vec![Due::at(minute(3))]));
    let of_two: Vec<_> = book.recent.iter().filter(|entry| entry.due == Due::at(minute(2))).collect();
    assert_eq!((of_two.len(), of_two[0].outcome), (1, Outcome::Fired), "one decision, the last word");
}

#[test]
fn cancel_other_waits_for_the_end_and_the_newest_takes_the_place() {
    let wishes = overlap(Overlap::CancelOther);
    let mut book = Book::default();
    run(&mut book, &wishes, &MINUTELY, minute(1));
    let second = run(&mut book, &wishes, &MINUTELY, minute(2));
    assert_eq!(second.effects, [Effect::Cancel(Due::at(minute(1)))]);
    let third = run(&mut book, &wishes, &MINUTELY, minute(3));
    assert_eq!(entries(&third), [(Outcome::Skipped, 2, 2, 1), (Outcome::Buffered, 3, 3, 1)]);
    assert_eq!(third.effects, [Effect::Cancel(Due::at(minute(1)))], "asked again");
    book.settle(&Due::at(minute(1)), End::Neither);
    assert_eq!(fired(&run(&mut book, &wishes, &MINUTELY, minute(3))), [3]);
}

#[test]
fn replace_cancels_and_fires_at_once() {
    let wishes = overlap(Overlap::Replace);
    let mut book = Book::default();
    run(&mut book, &wishes, &MINUTELY, minute(1));
    let step = run(&mut book, &wishes, &MINUTELY, minute(2));
    assert_eq!(step.effects, [Effect::Cancel(Due::at(minute(1))), Effect::Create(Due::at(minute(2)))]);
}

#[test]
fn a_suspension_is_one_decision_brought_up_to_date_ever_more_rarely() {
    let suspended = Wishes {
        suspended: Some("holidays".to_owned()),
        ..overlap(Overlap::Allow)
    };
    let mut book = Book::default();
    let mut wake = minute(1);
    let mut looks = 0;
    while wake < minute(24 * 60) {
        let step = run(&mut book, &suspended, &MINUTELY, wake);
        assert_eq!(fired(&step), [0; 0]);
        wake = step.wake.unwrap();
        looks += 1;
    }
    assert!(looks < 40, "{looks}");
    assert_eq!((book.recent.len(), book.recent[0].reason.as_str()), (1, "holidays"));
    let resumed = Wishes {
        resumed: at(24 * 3600 + 30),
        ..overlap(Overlap::Allow)
    };
    let step = run(&mut book, &resumed, &MINUTELY, minute(24 * 60 + 1));
    assert_eq!(entries(&step)[0], (Outcome::Skipped, 1, 1440, 1440));
    assert_eq!(fired(&step), [1441]);
    assert_eq!(book.counters.skipped, 1440);
}

#[test]
fn failures_in_a_row_pause_and_resuming_counts_anew() {
    let wishes = wishes(Policy {
        pause_on_failure: Some(2),
        ..Policy::default()
    });
    let mut book = Book::default();
    for now in 1..=2 {
        run(&mut book, &wishes, &MINUTELY, minute(now));
        book.settle(&Due::at(minute(now)), End::Failed);
    }
    let step = run(&mut book, &wishes, &MINUTELY, minute(3));
    assert!(step.pause.unwrap().contains("2 failed runs in a row"));
    assert_eq!(book.recent[0].outcome, Outcome::Skipped);
    let paused = Wishes {
        suspended: Some("paused".to_owned()),
        ..wishes.clone()
    };
    run(&mut book, &paused, &MINUTELY, minute(3));
    let resumed = Wishes {
        resumed: minute(3),
        ..wishes
    };
    let step = run(&mut book, &resumed, &MINUTELY, minute(4));
    assert_eq!((step.pause.clone(), fired(&step), book.failures), (None, vec![4], 0));
}

#[test]
fn a_schedule_ends_after_its_runs() {
    let wishes = wishes(Policy {
        max_runs: Some(2),
        catch_up: CatchUp::All(10),
        ..Policy::default()
    });
    let mut book = Book::default();
    let step = run(&mut book, &wishes, &MINUTELY, minute(5));
    assert_eq!((fired(&step), step.wake), (vec![1, 2], None));
    assert_eq!(entries(&step)[2], (Outcome::Skipped, 3, 5, 3));
    assert_eq!(book.runs, 2);
}

#[test]
fn run_now_gets_its_time_before_anything_is_done() {
    let wishes = Wishes {
        run_now: Some("r1".to_owned()),
        suspended: Some("holidays".to_owned()),
        ..overlap(Overlap::Skip)
    };
    let mut book = Book::default();
    let first = step(&mut book, &wishes, &MINUTELY, at(90));
    assert!(first.again && first.effects.is_empty(), "{first:?}");
    let mut other = book.clone();
    let second = step(&mut book, &wishes, &MINUTELY, at(95));
    let due = Due {
        slot: at(90),
        origin: Origin::RunNow("r1".to_owned()),
    };
    assert_eq!(second.effects, [Effect::Create(due)]);
    assert_eq!(step(&mut other, &wishes, &MINUTELY, at(200)).effects, second.effects, "after a crash");
    assert!(step(&mut book, &wishes, &MINUTELY, at(96)).effects.is_empty());
    assert_eq!(book.runs, 0, "not a run of the calendar");
}

#[test]
fn a_request_is_another_one_when_it_differs_from_the_one_before() {
    let mut book = Book::default();
    let mut asks = |request: &str, second| {
        let wishes = Wishes {
            run_now: Some(request.to_owned()),
            ..overlap(Overlap::Allow)
        };
        run(&mut book, &wishes, &MINUTELY, at(second)).effects.len()
    };
    let runs: Vec<usize> = (1..)
        .zip(["a", "a", "b", "b", "a"])
        .map(|(second, request)| asks(request, second))
        .collect();
    assert_eq!(runs, [1, 0, 1, 0, 1]);
}

#[test]
fn a_request_that_was_accepted_is_decided_before_a_newer_one() {
    let mut wishes = overlap(Overlap::Allow);
    wishes.floor = minute(100);
    wishes.run_now = Some("a".to_owned());
    let mut book = Book::default();
    let accepted = step(&mut book, &wishes, &MINUTELY, minute(100));
    assert!(accepted.again && accepted.effects.is_empty());
    // Whoever accepted it came no further.
    wishes.run_now = Some("b".to_owned());
    let both = run(&mut book, &wishes, &MINUTELY, minute(100) + TimeDelta::seconds(5));
    let made: Vec<String> = book.active.iter().map(ToString::to_string).collect();
    assert_eq!(made, ["1970-01-01T01:40:00Z/run-now/a", "1970-01-01T01:40:05Z/run-now/b"]);
    assert_eq!(both.entries.len(), 2);
}

#[test]
fn a_backfill_goes_on_as_its_runs_end() {
    let mut wishes = overlap(Overlap::Allow);
    wishes.floor = minute(100);
    wishes.backfills = vec![Backfill {
        name: "b".to_owned(),
        from: minute(10),
        to: minute(12),
        overlap: Overlap::BufferAll(1),
    }];
    let mut book = Book::default();
    let mut order = Vec::new();
    for _ in 0..4 {
        let step = run(&mut book, &wishes, &MINUTELY, minute(100));
        order.extend(fired(&step));
        for due in book.active.clone() {
            book.settle(&due, End::Succeeded);
        }
    }
    assert_eq!(order, [10, 11, 12]);
    assert!(book.backfills[0].done && book.backfills[0].fired == 3);
    assert!(book.recent.iter().all(|entry| entry.outcome == Outcome::Backfilled));
    wishes.backfills.clear();
    run(&mut book, &wishes, &MINUTELY, minute(100));
    assert!(book.backfills.is_empty());
}

#[test]
fn a_backfill_that_may_overlap_is_bounded_and_never_in_the_future() {
    let mut wishes = overlap(Overlap::Skip);
    wishes.floor = minute(100);
    wishes.backfills = vec![Backfill {
        name: "b".to_owned(),
        from: minute(1),
        to: minute(1000),
        overlap: Overlap::Allow,
    }];
    let mut book = Book::default();
    let accepted = step(&mut book, &wishes, &MINUTELY, minute(100));
    assert!(accepted.again && accepted.effects.is_empty(), "it is stored first: {accepted:?}");
    assert_eq!(book.backfills[0].through, minute(100));
    let step = run(&mut book, &wishes, &MINUTELY, minute(101));
    assert_eq!(fired(&step).len(), BACKFILL_AT_ONCE);
    assert_eq!(book.backfills[0].through, minute(100));
}

#[test]
fn what_was_made_by_a_step_that_was_cut_short_counts_as_fired() {
    let mut wishes = catch_up(CatchUp::None, None);
    wishes.made = [Due::at(minute(7))].into();
    let mut book = Book::default();
    let step = run(&mut book, &wishes, &MINUTELY, minute(60) + TimeDelta::seconds(40));
    assert_eq!(
        entries(&step),
        [(Outcome::Missed, 1, 6, 6), (Outcome::Fired, 7, 7, 1), (Outcome::Missed, 8, 60, 53)]
    );
    wishes.suspended = Some("holidays".to_owned());
    let mut book = Book::default();
    let step = run(&mut book, &wishes, &MINUTELY, minute(60) + TimeDelta::seconds(40));
    assert_eq!(
        entries(&step),
        [(Outcome::Skipped, 1, 6, 6), (Outcome::Fired, 7, 7, 1), (Outcome::Skipped, 8, 60, 53)]
    );
}

#[test]
fn jitter_delays_the_run_and_not_the_time() {
    let wishes = Wishes {
        delay: TimeDelta::seconds(20),
        ..overlap(Overlap::Allow)
    };
    let mut book = Book::default();
    let before = run(&mut book, &wishes, &MINUTELY, at(79));
    assert_eq!((fired(&before), before.wake), (vec![], Some(at(80))));
    assert_eq!(fired(&run(&mut book, &wishes, &MINUTELY, at(80))), [1]);
}

#[test]
fn a_calendar_that_ends_stops_waking() {
    let mut book = Book::default();
    let ends = Every { seconds: 60, until: 60 };
    assert_eq!(run(&mut book, &overlap(Overlap::Allow), &ends, minute(5)).wake, None);
}

#[test]
fn a_name_that_is_taken_is_no_run() {
    let mut book = Book::default();
    run(&mut book, &overlap(Overlap::Allow), &MINUTELY, minute(1));
    book.refuse(&Due::at(minute(1)), "taken".to_owned(), minute(1));
    assert_eq!((book.active.len(), book.runs, book.counters.fired, book.counters.missed), (0, 0, 0, 1));
    assert_eq!((book.recent.len(), book.recent[0].outcome), (1, Outcome::Missed));
}

#[test]
fn a_step_without_decisions_starts_nothing() {
    let wishes = Wishes {
        most: 0,
        run_now: Some("now".to_owned()),
        ..wishes(Policy::default())
    };
    let mut book = Book::default();
    for _ in 0..3 {
        let step = step(&mut book, &wishes, &MINUTELY, minute(5));
        assert_eq!((step.effects, step.entries, step.again), (vec![], vec![], true));
    }
    assert_eq!(book.decided_through, None);
    assert!(book.run_now.is_some_and(|known| !known.decided));
}

#[test]
fn smaller_steps_come_to_the_same_decisions() {
    for policy in [
        Policy {
            catch_up: CatchUp::All(30),
            ..Policy::default()
        },
        Policy {
            overlap: Overlap::BufferAll(4),
            catch_up: CatchUp::All(30),
            ..Policy::default()
        },
        Policy::default(),
    ] {
        let through = |most: usize| {
            let wishes = Wishes {
                most,
                ..wishes(policy.clone())
            };
            let (mut book, mut entries, mut largest) = (Book::default(), Vec::new(), 0);
            loop {
                let step = step(&mut book, &wishes, &MINUTELY, minute(25));
                largest = largest.max(step.entries.len());
                entries.extend(step.entries);
                if !step.again {
                    return (book, entries, largest);
                }
            }
        };
        let ((book, entries, _), (other, others, largest)) = (through(BATCH), through(1));
        assert_eq!((book, entries), (other, others), "{policy:?}");
        assert_eq!(largest, 1, "{policy:?}");
    }
}
