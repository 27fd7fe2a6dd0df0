//! The calendar against the oracle that looks at every minute.

#![allow(clippy::print_stdout)] // how much was checked

use schedule::DayMatch;
use schedule::oracle::{Extent, check, check_days};

#[test]
fn the_calendar_agrees_with_the_oracle_around_every_transition() {
    let report = check(&Extent::SHORT);
    println!(
        "{} zones, {} distinct transitions, {} windows, {} due times, {} questions",
        report.zones, report.transitions, report.windows, report.slots, report.probes
    );
    assert!(report.wrong.is_empty(), "{}", report.wrong.join("\n"));
    assert!(report.zones > 590 && report.transitions > 100, "{report:?}");
}

#[test]
fn the_calendar_agrees_with_the_oracle_about_days() {
    let mut days = 0;
    for day in ["*", "13", "L", "LW", "L-3", "1W", "15W,31W", "29-31", "*/4,30", "1-7"] {
        for month in ["*", "2", "4,6", "1-12/5"] {
            for weekday in ["*", "5", "0", "7", "mon-fri", "sat,5-7", "1#1", "5L", "sun#L,3#5"] {
                for day_match in [DayMatch::Either, DayMatch::Both] {
                    match check_days(&format!("0 0 {day} {month} {weekday}"), day_match, 1995..2035) {
                        Ok(found) => days += found,
                        Err(wrong) if wrong.contains("is never due") => {}
                        Err(wrong) => panic!("{wrong}"),
                    }
                }
            }
        }
    }
    assert!(days > 100_000, "{days}");
}
