//! When a schedule is due: cron lines read in a time zone. Pure.
//!
//! Weekdays are standard (0 and 7 are Sunday, names welcome). A local time that a change of the clock skips is due once,
//! right after the gap; one that is repeated is due once (findings: croner's rule).

use chrono::{DateTime, TimeDelta, Utc};
use chrono_tz::Tz;
use crds::schedule::{DayMatch, GraphScheduleSpec};
use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use serde_json::json;

use crate::runtime::apply;

/// The due times of one schedule.
#[derive(Debug, Clone)]
pub struct Calendar {
    crons: Vec<Cron>,
    zone: Tz,
}

/// Why there is no calendar, and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error("time zone {0:?} is unknown: use a name of the IANA database such as Europe/Berlin, America/New_York or UTC (names are case-sensitive)")]
    Zone(String),
    #[error(
        "cron line {line:?} is not valid: {why}; write five fields (minute hour day-of-month month weekday) or one of @hourly @daily @weekly @monthly @yearly"
    )]
    Cron { line: String, why: String },
    #[error("cron line {0:?} is never due: there is no such date")]
    Never(String),
}

impl Calendar {
    /// Reads a specification. `now` is only used to see whether each line is ever due.
    pub fn parse(spec: &GraphScheduleSpec, now: DateTime<Utc>) -> Result<Self, CalendarError> {
        let zone: Tz = spec.time_zone.parse().map_err(|_| CalendarError::Zone(spec.time_zone.clone()))?;
        let parser = CronParser::builder()
            .seconds(Seconds::Disallowed)
            .year(Year::Disallowed)
            .dom_and_dow(spec.day_match == DayMatch::Both)
            .build();
        let mut crons = Vec::with_capacity(spec.schedules.len());
        for line in &spec.schedules {
            let cron = parser.parse(line.trim()).map_err(|error| CalendarError::Cron {
                line: line.clone(),
                why: error.to_string(),
            })?;
            if cron.find_next_occurrence(&now.with_timezone(&zone), false).is_err() {
                return Err(CalendarError::Never(line.clone()));
            }
            crons.push(cron);
        }
        Ok(Self { crons, zone })
    }

    /// The first due time after an instant.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = instant.with_timezone(&self.zone);
        let next = self.crons.iter().filter_map(|cron| cron.find_next_occurrence(&local, false).ok());
        next.map(|due| due.with_timezone(&Utc)).filter(|due| *due > instant).min()
    }

    /// The next `count` due times after an instant.
    pub fn upcoming(&self, instant: DateTime<Utc>, count: usize) -> Vec<DateTime<Utc>> {
        std::iter::successors(self.next_after(instant), |due| self.next_after(*due))
            .take(count)
            .collect()
    }

    /// The last due time in `(after, until]`, and the one before it in the same range. However long the range is, only a
    /// few due times are looked at.
    pub fn last_two_within(&self, after: DateTime<Utc>, until: DateTime<Utc>) -> (Option<DateTime<Utc>>, Option<DateTime<Utc>>) {
        let latest = self.last_until(until).filter(|due| *due > after);
        let earlier = latest
            .and_then(|latest| self.last_until(latest - TimeDelta::seconds(1)))
            .filter(|due| *due > after);
        (latest, earlier)
    }

    /// The last due time not after an instant. The search back only finds a place to start from, so that going back and
    /// going forward cannot disagree about what is due around a change of the clock.
    fn last_until(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        let local = until.with_timezone(&self.zone);
        let before = self
            .crons
            .iter()
            .filter_map(|cron| cron.find_previous_occurrence(&local, true).ok())
            .max()?;
        let start = before.with_timezone(&Utc) - TimeDelta::hours(3);
        std::iter::successors(self.next_after(start), |due| self.next_after(*due))
            .take_while(|due| *due <= until)
            .last()
    }
}

/// A hash over everything that decides about due times.
pub fn hash(spec: &GraphScheduleSpec) -> String {
    apply::hash(&json!([spec.schedules, spec.time_zone, spec.day_match, spec.suspend.is_some()]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> DateTime<Utc> {
        DateTime::parse_from_rfc3339(text).unwrap().with_timezone(&Utc)
    }

    fn spec(lines: &[&str], zone: &str, day_match: DayMatch) -> GraphScheduleSpec {
        serde_json::from_value(json!({"platformRef": {"name": "p"}, "graph": {}, "schedules": lines, "timeZone": zone, "dayMatch": day_match}))
            .unwrap()
    }

    fn calendar(lines: &[&str], zone: &str) -> Calendar {
        Calendar::parse(&spec(lines, zone, DayMatch::Either), at("2026-01-01T00:00:00Z")).unwrap()
    }

    #[test]
    fn sunday_is_zero_and_seven_and_a_name() {
        for line in ["0 12 * * 0", "0 12 * * 7", "0 12 * * sun"] {
            assert_eq!(
                calendar(&[line], "UTC").next_after(at("2026-01-01T00:00:00Z")),
                Some(at("2026-01-04T12:00:00Z")),
                "{line}"
            );
        }
    }

    #[test]
    fn several_lines_are_one_calendar() {
        let both = calendar(&["0 6 * * *", "30 5 * * *", "0 6 * * *"], "UTC");
        let due = both.upcoming(at("2026-01-01T00:00:00Z"), 3);
        assert_eq!(due, [at("2026-01-01T05:30:00Z"), at("2026-01-01T06:00:00Z"), at("2026-01-02T05:30:00Z")]);
    }

    #[test]
    fn day_of_month_and_weekday_go_together_as_asked() {
        let start = at("2026-01-01T12:00:00Z");
        let either = Calendar::parse(&spec(&["0 0 13 * 5"], "UTC", DayMatch::Either), start).unwrap();
        assert_eq!(either.next_after(start), Some(at("2026-01-02T00:00:00Z")), "a Friday");
        let both = Calendar::parse(&spec(&["0 0 13 * 5"], "UTC", DayMatch::Both), start).unwrap();
        assert_eq!(both.next_after(start), Some(at("2026-02-13T00:00:00Z")), "Friday the 13th");
    }

    #[test]
    fn a_skipped_time_is_due_once_after_the_gap_and_a_repeated_one_once() {
        let spring = calendar(&["30 2 * * *"], "Europe/Berlin").upcoming(at("2026-03-28T12:00:00Z"), 2);
        assert_eq!(spring, [at("2026-03-29T01:00:00Z"), at("2026-03-30T00:30:00Z")]);
        let autumn = calendar(&["30 2 * * *"], "Europe/Berlin").upcoming(at("2026-10-24T12:00:00Z"), 2);
        assert_eq!(autumn, [at("2026-10-25T00:30:00Z"), at("2026-10-26T01:30:00Z")]);
    }

    #[test]
    fn the_last_due_times_of_a_long_absence_are_found_without_walking_it() {
        let every_minute = calendar(&["* * * * *"], "Asia/Tokyo");
        let (latest, earlier) = every_minute.last_two_within(at("2020-01-01T00:00:00Z"), at("2026-06-01T10:00:30Z"));
        assert_eq!((latest, earlier), (Some(at("2026-06-01T10:00:00Z")), Some(at("2026-06-01T09:59:00Z"))));
        let (latest, earlier) = every_minute.last_two_within(at("2026-06-01T09:59:00Z"), at("2026-06-01T10:00:00Z"));
        assert_eq!((latest, earlier), (Some(at("2026-06-01T10:00:00Z")), None));
        assert_eq!(
            every_minute.last_two_within(at("2026-06-01T10:00:00Z"), at("2026-06-01T10:00:59Z")),
            (None, None)
        );
    }

    #[test]
    fn looking_back_finds_what_looking_forward_passed() {
        for (zone, line) in [
            ("Europe/Berlin", "*/20 1-3 * * *"),
            ("Australia/Lord_Howe", "15,45 1,2 * * *"),
            ("America/New_York", "30 2 8 3 *"),
        ] {
            let calendar = calendar(&[line], zone);
            let mut due = calendar.upcoming(at("2026-03-01T00:00:00Z"), 400);
            due.dedup();
            for pair in due.windows(2) {
                let (latest, _) = calendar.last_two_within(pair[0], pair[1]);
                assert_eq!(latest, Some(pair[1]), "{zone} {line}");
                assert_eq!(
                    calendar.last_two_within(pair[0], pair[1] - TimeDelta::seconds(1)),
                    (None, None),
                    "{zone} {line} {pair:?}"
                );
            }
        }
    }

    #[test]
    fn nonsense_is_refused_with_a_remedy() {
        let parse = |line: &str, zone: &str| Calendar::parse(&spec(&[line], zone, DayMatch::Either), at("2026-01-01T00:00:00Z")).unwrap_err();
        assert!(parse("* * * * *", "Mars/Olympus").to_string().contains("IANA"));
        assert!(parse("* * * * *", "").to_string().contains("IANA"));
        for line in ["", "* * *", "61 * * * *", "* * * * * *", "every day", "@reboot"] {
            assert!(matches!(parse(line, "UTC"), CalendarError::Cron { .. }), "{line}");
        }
        assert_eq!(parse("0 0 31 2 *", "UTC"), CalendarError::Never("0 0 31 2 *".to_owned()));
    }
}
