//! When a schedule really fires: the standard dialect's rules, the same that a `GraphSchedule` fires by (findings, preface).
//!
//! A time that daylight saving skips runs once after the gap, a repeated one once.

use chrono::{DateTime, Utc};
use chrono_tz::Tz;
use schedule::{Calendar, CalendarError, CalendarSpec, DayMatch};

use super::ContractCron;

/// A line and its zone, ready to be asked for times.
#[derive(Debug, Clone)]
pub struct Firing {
    /// None when no date ever matches.
    calendar: Option<Calendar>,
}

/// The translation of a line was not understood. A defect here, not of the line.
#[derive(Debug, thiserror::Error)]
#[error("the translation of a line was refused: {0}")]
pub struct FiringError(#[from] CalendarError);

impl Firing {
    pub fn new(cron: &ContractCron, zone: Tz) -> Result<Self, FiringError> {
        let lines = cron.to_standard_lines();
        if lines.is_empty() {
            return Ok(Self { calendar: None });
        }
        let spec = CalendarSpec {
            lines,
            time_zone: zone.name().to_owned(),
            day_match: DayMatch::Both,
            ..CalendarSpec::default()
        };
        Ok(Self {
            calendar: Some(Calendar::parse(&spec)?),
        })
    }

    /// The first time after `after`. None when there is none, ever.
    pub fn next_after(&self, after: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.calendar.as_ref()?.next_after(after)
    }

    /// The last time not after `until`. None when there is none, ever.
    pub fn last_at_or_before(&self, until: DateTime<Utc>) -> Option<DateTime<Utc>> {
        self.calendar.as_ref()?.last_at_or_before(until)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn fires(line: &str, after: &str, count: usize) -> Vec<String> {
        let firing = Firing::new(&line.parse().unwrap(), Tz::America__New_York).unwrap();
        let mut after: DateTime<Utc> = after.parse().unwrap();
        let mut times = Vec::new();
        for _ in 0..count {
            after = firing.next_after(after).unwrap();
            times.push(after.to_rfc3339_opts(chrono::SecondsFormat::Secs, true));
        }
        times
    }

    #[test]
    fn a_skipped_time_runs_once_after_the_gap() {
        assert_eq!(
            fires("30 2 * * *", "2026-03-08T00:00:00Z", 2),
            ["2026-03-08T07:00:00Z", "2026-03-09T06:30:00Z"]
        );
    }

    #[test]
    fn a_repeated_time_runs_once() {
        assert_eq!(
            fires("30 1 * * *", "2026-11-01T00:00:00Z", 2),
            ["2026-11-01T05:30:00Z", "2026-11-02T06:30:00Z"]
        );
    }

    #[test]
    fn a_date_that_never_comes_has_no_time() {
        let firing = Firing::new(&"0 0 31 2 *".parse().unwrap(), Tz::UTC).unwrap();
        assert_eq!(firing.next_after(Utc::now()), None);
    }
}
