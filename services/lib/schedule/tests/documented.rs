//! What `docs/schedules.md` says about lines is so.

#![allow(clippy::unwrap_used, clippy::expect_used)] // the page is ours

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Europe::Berlin;
use schedule::{Calendar, CalendarSpec};

/// The cells of the table between two marks, without its heading.
fn table(name: &str) -> Vec<Vec<String>> {
    let page = concat!(env!("CARGO_MANIFEST_DIR"), "/../../../docs/schedules.md");
    let page = std::fs::read_to_string(page).expect("the page exists");
    let (_, rest) = page.split_once(&format!("<!-- tested: {name} begin -->")).expect("the table begins");
    let (table, _) = rest.split_once(&format!("<!-- tested: {name} end -->")).expect("the table ends");
    let rows = table.lines().filter(|line| line.starts_with('|')).skip(2);
    let cells = |row: &str| {
        row.trim_matches('|')
            .split('|')
            .map(|cell| cell.trim().trim_matches('`').to_owned())
            .collect()
    };
    rows.map(cells).collect()
}

fn calendar(line: &str, zone: &str) -> Calendar {
    Calendar::parse(&CalendarSpec {
        lines: vec![line.to_owned()],
        time_zone: zone.to_owned(),
        ..CalendarSpec::default()
    })
    .unwrap()
}

fn instant(text: &str) -> DateTime<Utc> {
    text.parse().unwrap()
}

#[test]
fn lines_are_due_as_documented() {
    let rows = table("lines");
    assert!(rows.len() >= 8);
    for row in rows {
        let calendar = calendar(&row[0], "UTC");
        let due = calendar
            .due_within(instant("2025-12-31T23:59:59Z"), instant("2100-01-01T00:00:00Z"))
            .take(3);
        let due: Vec<String> = due.map(|due| due.format("%Y-%m-%d %H:%M").to_string()).collect();
        assert_eq!(row[1], due.join(", "), "{}", row[0]);
    }
}

#[test]
fn changes_of_the_clock_do_as_documented() {
    let rows = table("changes");
    assert!(rows.len() >= 5);
    for row in rows {
        for (place, first, last) in [
            (1, "2026-03-28T23:00:00Z", "2026-03-29T21:59:59Z"),
            (2, "2026-10-24T22:00:00Z", "2026-10-25T22:59:59Z"),
        ] {
            let calendar = calendar(&row[0], "Europe/Berlin");
            let due = calendar.due_within(instant(first) - TimeDelta::seconds(1), instant(last));
            let due: Vec<String> = due.map(|due| due.with_timezone(&Berlin).format("%H:%M%:::z").to_string()).collect();
            assert_eq!(row[place], due.join(", "), "{}", row[0]);
        }
    }
}
