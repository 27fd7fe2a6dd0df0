//! Lines nobody thought of: whatever is written, the answer is a calendar or an error, and a calendar agrees with the oracle.

#![allow(clippy::unwrap_used)] // constants

use std::time::{Duration, Instant};

use chrono::{DateTime, Utc};
use proptest::prelude::*;
use proptest::sample::select;
use schedule::oracle::check_around;
use schedule::{Calendar, CalendarSpec, DayMatch};

/// Enough for any answer, and far too little for walking minutes.
const ANSWER: Duration = Duration::from_secs(2);

fn term(min: u32, max: u32) -> impl Strategy<Value = String> {
    let value = min..=max;
    prop_oneof![
        3 => value.clone().prop_map(|value| value.to_string()),
        2 => Just("*".to_owned()),
        1 => (1..=max - min).prop_map(|step| format!("*/{step}")),
        1 => (value.clone(), 1..=max - min).prop_map(|(value, step)| format!("{value}/{step}")),
        2 => (value.clone(), value.clone()).prop_map(|(one, other)| format!("{}-{}", one.min(other), one.max(other))),
        1 => (value.clone(), value, 1..=max - min).prop_map(|(one, other, step)| format!("{}-{}/{step}", one.min(other), one.max(other))),
    ]
}

fn field(min: u32, max: u32) -> impl Strategy<Value = String> {
    prop::collection::vec(term(min, max), 1..4).prop_map(|terms| terms.join(","))
}

fn day() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("*".to_owned()), 2 => field(1, 31), 1 => select(vec!["L", "LW", "L-1", "1W", "15W", "31W"]).prop_map(str::to_owned)]
}

fn weekday() -> impl Strategy<Value = String> {
    prop_oneof![3 => Just("*".to_owned()), 2 => field(0, 6), 1 => select(vec!["7", "sun", "mon-fri", "0#1", "0#L", "sunL", "5-7"]).prop_map(str::to_owned)]
}

fn line() -> impl Strategy<Value = String> {
    let month = prop_oneof![3 => Just("*".to_owned()), 1 => field(1, 12)];
    // Clocks change in the small hours.
    let hour = prop_oneof![2 => field(0, 3), 1 => field(0, 23)];
    (field(0, 59), hour, day(), month, weekday()).prop_map(|(minute, hour, day, month, weekday)| format!("{minute} {hour} {day} {month} {weekday}"))
}

/// Instants at which clocks change somewhere, and any others.
fn instant() -> impl Strategy<Value = DateTime<Utc>> {
    let changes = vec![
        "2026-03-29T01:00:00Z",
        "2026-10-25T01:00:00Z",
        "2026-03-08T07:00:00Z",
        "2026-11-01T06:00:00Z",
        "2026-04-04T15:00:00Z",
    ];
    let change = select(changes).prop_map(|text| text.parse::<DateTime<Utc>>().unwrap().timestamp());
    let near = (change, -36 * 3600_i64..36 * 3600).prop_map(|(change, seconds)| change + seconds);
    let seconds = prop_oneof![near, 0..4_000_000_000_i64];
    seconds.prop_map(|seconds| DateTime::from_timestamp(seconds, 0).unwrap())
}

fn zone() -> impl Strategy<Value = String> {
    let common = select(vec![
        "Europe/Berlin",
        "America/New_York",
        "Australia/Lord_Howe",
        "Africa/Casablanca",
        "Antarctica/Troll",
        "America/Havana",
    ]);
    let any = select(chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name()).collect::<Vec<_>>());
    prop_oneof![common, any].prop_map(str::to_owned)
}

fn spec() -> impl Strategy<Value = CalendarSpec> {
    let day_match = select(vec![DayMatch::Either, DayMatch::Both]);
    (prop::collection::vec(line(), 1..4), zone(), day_match).prop_map(|(lines, time_zone, day_match)| CalendarSpec {
        lines,
        time_zone,
        day_match,
        ..CalendarSpec::default()
    })
}

fn scribble() -> impl Strategy<Value = String> {
    let made_of_pieces = prop::collection::vec(
        select(vec!["*", "/", "-", ",", "L", "W", "#", "?", " ", "0", "7", "59", "99", "jan", "sun", "@"]),
        0..20,
    );
    prop_oneof![
        made_of_pieces.prop_map(|pieces| pieces.concat()),
        "[ -~]{0,40}",
        "\\PC{0,40}",
        "[0-9*,/LW#-]{1,6}( [0-9*,/LW#-]{1,6}){4,5}"
    ]
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn random_calendars_agree_with_the_oracle(spec in spec(), around in instant()) {
        if let Err(error) = Calendar::parse(&spec) {
            prop_assert!(error.to_string().contains("is never due"), "{error}");
            return Ok(());
        }
        prop_assert!(check_around(&spec, around).is_ok(), "{:?} {:?}", check_around(&spec, around), spec);
    }

    #[test]
    fn going_forward_and_back_are_one(spec in spec(), from in instant()) {
        let Ok(calendar) = Calendar::parse(&spec) else { return Ok(()) };
        let started = Instant::now();
        let mut last = from;
        for due in calendar.due_within(from, DateTime::<Utc>::MAX_UTC).take(50) {
            prop_assert!(due > last);
            prop_assert_eq!(calendar.last_at_or_before(due), Some(due));
            prop_assert_eq!(calendar.last_at_or_before(due - chrono::TimeDelta::seconds(1)).filter(|earlier| *earlier > last), None);
            last = due;
        }
        prop_assert!(last > from, "a line that was accepted is due some day");
        prop_assert!(started.elapsed() < ANSWER);
    }

    #[test]
    fn scribble_is_refused_or_understood_in_no_time(text in scribble(), seconds: bool, from in instant()) {
        let spec = CalendarSpec { lines: vec![text], seconds, ..CalendarSpec::default() };
        let started = Instant::now();
        match Calendar::parse(&spec) {
            Ok(calendar) => prop_assert!(calendar.next_after(from).is_some_and(|due| due > from)),
            Err(error) => prop_assert!(error.to_string().len() < 1000),
        }
        prop_assert!(started.elapsed() < ANSWER);
    }
}
