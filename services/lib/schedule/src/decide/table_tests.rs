//! Every policy in every situation: what is expected is written down here once, checked, and shown to users in
//! `docs/schedules.md`. `UPDATE_DOCS=1 cargo test -p schedule` brings that file up to date.

use std::fmt::Write;
use std::path::Path;

use chrono::{DateTime, TimeDelta, Utc};

use super::Verdict::{Buffer, BufferCancelling, Fire, FireCancelling, Miss, Skip, Wait};
use super::*;

const LIMIT: usize = 2;

const OVERLAPS: [(&str, Overlap); 6] = [
    ("Allow", Overlap::Allow),
    ("Skip", Overlap::Skip),
    ("BufferOne", Overlap::BufferOne),
    ("BufferAll, limit 2", Overlap::BufferAll(LIMIT)),
    ("CancelOther", Overlap::CancelOther),
    ("Replace", Overlap::Replace),
];

/// What there is of this schedule, as runs that are not over and due times that wait; then a column for each of [`OVERLAPS`].
const OVERLAP_TABLE: [(&str, usize, usize, [Verdict; 6]); 5] = [
    ("nothing runs", 0, 0, [Fire; 6]),
    ("a run is not over", 1, 0, [Fire, Skip, Buffer, Buffer, BufferCancelling, FireCancelling]),
    (
        "a run is not over, one due time waits",
        1,
        1,
        [Fire, Skip, Skip, Buffer, BufferCancelling, FireCancelling],
    ),
    (
        "a run is not over, two due times wait",
        1,
        2,
        [Fire, Skip, Skip, Skip, BufferCancelling, FireCancelling],
    ),
    ("1000 runs are not over", MOST_ACTIVE, 0, [Skip; 6]),
];

const CATCH_UPS: [(&str, CatchUp); 3] = [
    ("None", CatchUp::None),
    ("Latest", CatchUp::Latest),
    ("All, limit 2", CatchUp::All(LIMIT)),
];

type CatchUpRow = (&'static str, i64, usize, [bool; 3], [bool; 3]);

/// Seconds of lateness, later due times that have come; then without and with a window of ten minutes a column for each of [`CATCH_UPS`].
/// `true`: it is up to the overlap policy.
const CATCH_UP_TABLE: [CatchUpRow; 7] = [
    ("on time: up to 30 s late", 30, 0, [true, true, true], [true, true, true]),
    ("on time, and later ones have come", 30, 5, [true, true, true], [true, true, true]),
    ("31 s late, the newest", 31, 0, [false, true, true], [false, true, true]),
    ("10 min late, one later", 600, 1, [false, false, true], [false, false, true]),
    ("10 min late, two later", 600, 2, [false, false, false], [false, false, false]),
    ("11 min late, the newest", 660, 0, [false, true, true], [false, false, false]),
    ("400 days late, one later", 400 * 86_400, 1, [false, false, true], [false, false, false]),
];

const WINDOW: TimeDelta = TimeDelta::minutes(10);

fn now() -> DateTime<Utc> {
    DateTime::from_timestamp(1_795_363_200, 0).unwrap()
}

fn due(late: i64) -> Due {
    Due::at(now() - TimeDelta::seconds(late))
}

fn run_now() -> Due {
    Due {
        slot: now(),
        origin: Origin::RunNow("r".to_owned()),
    }
}

fn of_backfill() -> Due {
    Due {
        slot: now() - TimeDelta::days(30),
        origin: Origin::Backfill("b".to_owned()),
    }
}

/// Every state that differs in what decisions depend on.
fn states() -> Vec<State> {
    let mut states = Vec::new();
    for (_, overlap) in OVERLAPS {
        for (_, catch_up) in CATCH_UPS {
            for window in [None, Some(WINDOW)] {
                for held in [None, Some("suspended: holidays".to_owned())] {
                    for (max_runs, runs) in [(None, 0), (Some(3), 2), (Some(3), 3)] {
                        for active in [0, 1, BACKFILL_AT_ONCE, MOST_ACTIVE] {
                            for waiting in 0..=LIMIT {
                                for later in 0..=LIMIT {
                                    states.push(State {
                                        policy: Policy {
                                            overlap,
                                            catch_up,
                                            window,
                                            max_runs,
                                            pause_on_failure: None,
                                        },
                                        held: held.clone(),
                                        runs,
                                        active,
                                        running: (active > 0).then(|| Due::at(now() - TimeDelta::days(1))),
                                        waiting,
                                        later,
                                    });
                                }
                            }
                        }
                    }
                }
            }
        }
    }
    states
}

/// The overlap tables again, for any state.
fn by_overlap(state: &State) -> Verdict {
    if state.active >= MOST_ACTIVE {
        return Skip;
    }
    if state.active == 0 && state.waiting == 0 {
        return Fire;
    }
    let column = OVERLAPS.iter().position(|(_, overlap)| *overlap == state.policy.overlap).unwrap();
    OVERLAP_TABLE[1 + state.waiting].3[column]
}

#[test]
fn every_policy_in_every_situation() {
    let mut decided = 0;
    for state in states() {
        for late in [-5, 0, 30, 31, 600, 601, 400 * 86_400] {
            let on_time = late <= 30;
            let in_window = state.policy.window.is_none() || late <= 600;
            let expected = if state.held.is_some() || state.policy.max_runs.is_some_and(|most| state.runs >= most) {
                Skip
            } else if !(on_time || in_window && state.later < state.policy.catch_up.kept()) {
                Miss
            } else {
                by_overlap(&state)
            };
            let decision = decide(&state, &due(late), now());
            assert_eq!(decision.verdict, expected, "{late} s late: {state:?}");
            assert!(!decision.reason.is_empty() && decision.reason.len() < 400, "{}", decision.reason);
            decided += 1;
        }
        assert_eq!(decide(&state, &run_now(), now()).verdict, by_overlap(&state), "run now: {state:?}");
        let expected = match (state.held.is_some(), state.active, state.policy.overlap) {
            (true, ..) => Wait,
            (false, 0, _) => Fire,
            (false, active, Overlap::Allow) if active < BACKFILL_AT_ONCE => Fire,
            (false, _, Overlap::Skip) => Skip,
            _ => Wait,
        };
        assert_eq!(decide(&state, &of_backfill(), now()).verdict, expected, "backfill: {state:?}");
    }
    assert_eq!(decided, 6 * 3 * 2 * 2 * 3 * 4 * 3 * 3 * 7);
}

#[test]
fn the_tables_of_the_documentation_are_what_decide_says() {
    for (situation, active, waiting, row) in OVERLAP_TABLE {
        for ((name, overlap), expected) in OVERLAPS.iter().zip(row) {
            assert_eq!(
                decide(&overlap_state(*overlap, active, waiting), &due(0), now()).verdict,
                expected,
                "{name}, {situation}"
            );
        }
    }
    for (situation, late, later, without, with) in CATCH_UP_TABLE {
        for (window, row) in [(None, without), (Some(WINDOW), with)] {
            for ((name, catch_up), expected) in CATCH_UPS.iter().zip(row) {
                let state = catch_up_state(*catch_up, window, later);
                let fires = decide(&state, &due(late), now()).verdict == Fire;
                assert_eq!(fires, expected, "{name}, {window:?}, {situation}");
            }
        }
    }
}

fn overlap_state(overlap: Overlap, active: usize, waiting: usize) -> State {
    State {
        policy: Policy {
            overlap,
            ..Policy::default()
        },
        active,
        running: (active > 0).then(|| Due::at(now() - TimeDelta::hours(1))),
        waiting,
        ..State::default()
    }
}

fn catch_up_state(catch_up: CatchUp, window: Option<TimeDelta>, later: usize) -> State {
    State {
        policy: Policy {
            catch_up,
            window,
            ..Policy::default()
        },
        later,
        ..State::default()
    }
}

fn words(verdict: Verdict) -> &'static str {
    match verdict {
        Fire => "fires",
        FireCancelling => "cancels what runs, fires at once",
        Buffer => "waits until nothing runs",
        BufferCancelling => "cancels what runs, fires when that has ended",
        Skip => "skipped",
        Miss => "missed",
        Wait => "waits",
    }
}

fn row(text: &mut String, cells: impl IntoIterator<Item = String>) {
    let cells: Vec<String> = cells.into_iter().collect();
    writeln!(text, "| {} |", cells.join(" | ")).unwrap();
}

fn head(text: &mut String, first: &str, names: impl Iterator<Item = String> + Clone) {
    row(text, std::iter::once(first.to_owned()).chain(names.clone()));
    row(text, std::iter::repeat_n("---".to_owned(), names.count() + 1));
}

fn tables() -> String {
    let mut text = String::new();
    text.push_str("### Overlap: a due time comes while an earlier run is not over\n\n");
    head(&mut text, "`overlapPolicy`", OVERLAPS.iter().map(|(name, _)| (*name).to_owned()));
    for (situation, active, waiting, _) in OVERLAP_TABLE {
        let cell = |(_, overlap): &(&str, Overlap)| {
            let decision = decide(&overlap_state(*overlap, active, waiting), &due(0), now());
            let displaces = decision.verdict == BufferCancelling && waiting > 0;
            format!("{}{}", words(decision.verdict), if displaces { "; what waited is skipped" } else { "" })
        };
        row(&mut text, std::iter::once(situation.to_owned()).chain(OVERLAPS.iter().map(cell)));
    }
    text.push_str("\n### Catch-up: a due time passed while nothing could fire\n\n");
    let names = |window: &'static str| CATCH_UPS.iter().map(move |(name, _)| format!("{name}{window}"));
    head(&mut text, "`catchUp`", names("").chain(names(", window 10m")));
    for (situation, late, later, ..) in CATCH_UP_TABLE {
        let cells = [None, Some(WINDOW)].into_iter().flat_map(|window| {
            CATCH_UPS.iter().map(move |(_, catch_up)| {
                let verdict = decide(&catch_up_state(*catch_up, window, later), &due(late), now()).verdict;
                if verdict == Fire { "as overlap says" } else { words(verdict) }.to_owned()
            })
        });
        row(&mut text, std::iter::once(situation.to_owned()).chain(cells));
    }
    text.push_str("\n### Everything else\n\n");
    head(
        &mut text,
        "what is due",
        [
            "while suspended, paused or without its graph",
            "after `maxRuns` runs",
            "when late",
            "while a run is not over",
        ]
        .map(str::to_owned)
        .into_iter(),
    );
    let busy = overlap_state(Overlap::Skip, 1, 0);
    let held = State {
        held: Some("suspended".to_owned()),
        ..State::default()
    };
    let finished = State {
        policy: Policy {
            max_runs: Some(3),
            ..Policy::default()
        },
        runs: 3,
        ..State::default()
    };
    for (name, due, overlap) in [
        ("a time of the calendar", due(0), "as `overlapPolicy` says"),
        ("a request to run now", run_now(), "as `overlapPolicy` says"),
        (
            "a time of a backfill",
            of_backfill(),
            "as the backfill's `overlapPolicy` says: Allow fires, Skip skips, BufferAll waits",
        ),
    ] {
        let verdict = |state: &State| words(decide(state, &due, now()).verdict).to_owned();
        let late = if due.origin == Origin::Calendar { "as `catchUp` says" } else { "fires" };
        assert_ne!(decide(&busy, &due, now()).verdict, Miss);
        row(
            &mut text,
            [name.to_owned(), verdict(&held), verdict(&finished), late.to_owned(), overlap.to_owned()],
        );
    }
    text
}

#[test]
fn the_documentation_has_the_tables() {
    const BEGIN: &str = "<!-- generated from the tests of decide: begin -->\n";
    const END: &str = "<!-- generated from the tests of decide: end -->\n";
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/schedules.md");
    let text = std::fs::read_to_string(&path).unwrap();
    let (before, rest) = text.split_once(BEGIN).expect("the place of the tables is marked");
    let (there, after) = rest.split_once(END).expect("the end of the tables is marked");
    let tables = tables();
    if std::env::var_os("UPDATE_DOCS").is_some() {
        std::fs::write(&path, format!("{before}{BEGIN}{tables}{END}{after}")).unwrap();
        return;
    }
    assert!(
        there == tables,
        "docs/schedules.md is out of date: run UPDATE_DOCS=1 cargo test -p schedule"
    );
}
