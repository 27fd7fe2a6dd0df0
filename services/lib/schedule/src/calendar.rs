//! The due times of a schedule: the union of its lines, within its window, outside its exclusions.

use std::iter::successors;
use std::time::Duration;

use chrono::{DateTime, Utc};

use crate::error::CalendarError;
use crate::jitter;
use crate::line::Line;
use crate::spec::{CalendarSpec, Exclusion, MAX_EXCLUSIONS, MAX_LINES};
use crate::zone::Zone;

/// The due times ("slots") of one schedule, in whole seconds.
#[derive(Debug, Clone)]
pub struct Calendar {
    lines: Vec<Line>,
    zone: Zone,
    /// The first second that may be due, and the first that may not any more.
    start: i64,
    end: i64,
    /// Half-open, ascending, apart from each other.
    excluded: Vec<(i64, i64)>,
    jitter: Duration,
}

impl Calendar {
    /// Reads a specification. Every line is due some day when this succeeds, though not necessarily within the window.
    pub fn parse(spec: &CalendarSpec) -> Result<Self, CalendarError> {
        let zone = Zone::parse(&spec.time_zone).map_err(|meant| CalendarError::Zone {
            name: spec.time_zone.clone(),
            meant,
        })?;
        match spec.lines.len() {
            0 => return Err(CalendarError::NoLines),
            1..=MAX_LINES => {}
            count => return Err(CalendarError::TooManyLines(count)),
        }
        let lines = spec.lines.iter().map(|line| Line::parse(line, spec.day_match, spec.seconds));
        if let (Some(start_at), Some(end_at)) = (spec.start_at, spec.end_at)
            && end_at <= start_at
        {
            return Err(CalendarError::Window { start_at, end_at });
        }
        Ok(Self {
            lines: lines.collect::<Result<_, _>>()?,
            zone,
            start: spec.start_at.map_or(i64::MIN, ceil),
            end: spec.end_at.map_or(i64::MAX, ceil),
            excluded: excluded(&spec.exclusions)?,
            jitter: jitter::offset(spec.jitter, &spec.jitter_seed),
        })
    }

    /// The first due time after an instant.
    pub fn next_after(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        at(self.next(instant.timestamp())?)
    }

    /// The last due time not after an instant.
    pub fn last_at_or_before(&self, instant: DateTime<Utc>) -> Option<DateTime<Utc>> {
        at(self.last(instant.timestamp())?)
    }

    /// The due times in `(after, through]`, ascending, each computed when it is asked for.
    pub fn due_within(&self, after: DateTime<Utc>, through: DateTime<Utc>) -> impl Iterator<Item = DateTime<Utc>> {
        let through = through.timestamp();
        successors(self.next(after.timestamp()), |due| self.next(*due))
            .take_while(move |due| *due <= through)
            .map_while(at)
    }

    /// The last `n` due times in `(after, through]`, ascending. However long the range is, only they are computed.
    pub fn latest_within(&self, after: DateTime<Utc>, through: DateTime<Utc>, n: usize) -> Vec<DateTime<Utc>> {
        let after = after.timestamp();
        let latest = successors(self.last(through.timestamp()), |due| self.last(*due - 1)).take_while(|due| *due > after);
        let mut latest: Vec<_> = latest.take(n).filter_map(at).collect();
        latest.reverse();
        latest
    }

    /// How long after each due time its run is to start: always the same for one `jitter_seed`, in `[0, jitter)`. The due times themselves
    /// are not moved, so that what is said about a slot does not depend on it.
    pub fn jitter(&self) -> Duration {
        self.jitter
    }

    /// The first due second after `instant`.
    fn next(&self, instant: i64) -> Option<i64> {
        let mut after = instant.max(self.start.saturating_sub(1));
        loop {
            let next = self.lines.iter().filter_map(|line| line.next_after(self.zone, after)).min()?;
            if next >= self.end {
                return None;
            }
            match self.exclusion_of(next) {
                Some((_, to)) => after = to - 1,
                None => return Some(next),
            }
        }
    }

    /// The last due second not after `instant`.
    fn last(&self, instant: i64) -> Option<i64> {
        let mut until = instant.min(self.end.saturating_sub(1));
        loop {
            let last = self.lines.iter().filter_map(|line| line.last_until(self.zone, until)).max()?;
            if last < self.start {
                return None;
            }
            match self.exclusion_of(last) {
                Some((from, _)) => until = from - 1,
                None => return Some(last),
            }
        }
    }

    fn exclusion_of(&self, second: i64) -> Option<(i64, i64)> {
        let behind = self.excluded.partition_point(|(_, to)| *to <= second);
        self.excluded.get(behind).copied().filter(|(from, _)| *from <= second)
    }
}

/// Sorted, and those that touch each other merged, so that each is passed in one step.
fn excluded(exclusions: &[Exclusion]) -> Result<Vec<(i64, i64)>, CalendarError> {
    if exclusions.len() > MAX_EXCLUSIONS {
        return Err(CalendarError::TooManyExclusions(exclusions.len()));
    }
    let mut spans = Vec::with_capacity(exclusions.len());
    for Exclusion { from, to } in exclusions.iter().copied() {
        if to <= from {
            return Err(CalendarError::Exclusion { from, to });
        }
        spans.push((ceil(from), ceil(to)));
    }
    spans.sort_unstable();
    let mut apart: Vec<(i64, i64)> = Vec::with_capacity(spans.len());
    for (from, to) in spans {
        match apart.last_mut() {
            Some((_, end)) if from <= *end => *end = to.max(*end),
            _ => apart.push((from, to)),
        }
    }
    Ok(apart)
}

/// The first whole second not before an instant.
fn ceil(instant: DateTime<Utc>) -> i64 {
    instant.timestamp() + i64::from(instant.timestamp_subsec_nanos() > 0)
}

fn at(second: i64) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(second, 0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{DayMatch, TZDB_VERSION};

    fn instant(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    fn spec(lines: &[&str], zone: &str) -> CalendarSpec {
        CalendarSpec {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            time_zone: zone.to_owned(),
            ..CalendarSpec::default()
        }
    }

    fn calendar(lines: &[&str], zone: &str) -> Calendar {
        Calendar::parse(&spec(lines, zone)).unwrap()
    }

    fn upcoming(calendar: &Calendar, after: &str, count: usize) -> Vec<String> {
        let due = calendar.due_within(instant(after), DateTime::<Utc>::MAX_UTC).take(count);
        due.map(|due| due.to_rfc3339_opts(chrono::SecondsFormat::Secs, true)).collect()
    }

    #[test]
    fn several_lines_are_one_calendar() {
        let calendar = calendar(&["0 6 * * *", "30 5 * * *", "0 6 * * *"], "UTC");
        assert_eq!(
            upcoming(&calendar, "2026-01-01T00:00:00Z", 3),
            ["2026-01-01T05:30:00Z", "2026-01-01T06:00:00Z", "2026-01-02T05:30:00Z"]
        );
    }

    #[test]
    fn day_of_month_and_weekday_go_together_as_asked() {
        let either = spec(&["0 0 13 * 5"], "UTC");
        let both = CalendarSpec {
            day_match: DayMatch::Both,
            ..either.clone()
        };
        let first = |spec| Calendar::parse(spec).unwrap().next_after(instant("2026-01-01T12:00:00Z")).unwrap();
        assert_eq!(first(&either), instant("2026-01-02T00:00:00Z"), "a Friday");
        assert_eq!(first(&both), instant("2026-02-13T00:00:00Z"), "Friday the 13th");
    }

    #[test]
    fn a_fixed_time_is_due_once_when_clocks_change() {
        let calendar = calendar(&["30 2 * * *"], "Europe/Berlin");
        assert_eq!(
            upcoming(&calendar, "2026-03-28T12:00:00Z", 2),
            ["2026-03-29T01:00:00Z", "2026-03-30T00:30:00Z"]
        );
        assert_eq!(
            upcoming(&calendar, "2026-10-24T12:00:00Z", 2),
            ["2026-10-25T00:30:00Z", "2026-10-26T01:30:00Z"]
        );
    }

    #[test]
    fn a_line_with_a_star_follows_the_wall_clock() {
        let calendar = calendar(&["*/30 2 * * *"], "Europe/Berlin");
        assert_eq!(upcoming(&calendar, "2026-03-28T12:00:00Z", 1), ["2026-03-30T00:00:00Z"]);
        assert_eq!(
            upcoming(&calendar, "2026-10-24T12:00:00Z", 5),
            [
                "2026-10-25T00:00:00Z",
                "2026-10-25T00:30:00Z",
                "2026-10-25T01:00:00Z",
                "2026-10-25T01:30:00Z",
                "2026-10-26T01:00:00Z"
            ]
        );
    }

    #[test]
    fn a_skipped_day_is_made_up_for_right_after_it() {
        let calendar = calendar(&["0 9 * * *"], "Pacific/Apia");
        // Samoa went from 29 to 31 December 2011.
        assert_eq!(
            upcoming(&calendar, "2011-12-29T00:00:00Z", 3),
            ["2011-12-29T19:00:00Z", "2011-12-30T10:00:00Z", "2011-12-30T19:00:00Z"]
        );
    }

    #[test]
    fn the_window_includes_its_beginning_and_not_its_end() {
        let calendar = Calendar::parse(&CalendarSpec {
            start_at: Some(instant("2026-05-01T10:00:00Z")),
            end_at: Some(instant("2026-05-01T12:00:00Z")),
            ..spec(&["0 * * * *"], "UTC")
        })
        .unwrap();
        assert_eq!(
            upcoming(&calendar, "2020-01-01T00:00:00Z", 9),
            ["2026-05-01T10:00:00Z", "2026-05-01T11:00:00Z"]
        );
        assert_eq!(
            calendar.last_at_or_before(instant("2030-01-01T00:00:00Z")),
            Some(instant("2026-05-01T11:00:00Z"))
        );
        assert_eq!(calendar.last_at_or_before(instant("2026-05-01T09:59:59Z")), None);
        assert_eq!(calendar.next_after(instant("2026-05-01T11:00:00Z")), None);
    }

    #[test]
    fn fractions_of_seconds_are_respected() {
        let calendar = Calendar::parse(&CalendarSpec {
            start_at: Some(instant("2026-05-01T10:00:00.001Z")),
            end_at: Some(instant("2026-05-01T10:00:03.001Z")),
            seconds: true,
            ..spec(&["* * * * * *"], "UTC")
        })
        .unwrap();
        let all = upcoming(&calendar, "2020-01-01T00:00:00Z", 9);
        assert_eq!(all, ["2026-05-01T10:00:01Z", "2026-05-01T10:00:02Z", "2026-05-01T10:00:03Z"]);
        assert_eq!(
            calendar.next_after(instant("2026-05-01T10:00:01.999Z")),
            Some(instant("2026-05-01T10:00:02Z"))
        );
        assert_eq!(
            calendar.last_at_or_before(instant("2026-05-01T10:00:01.999Z")),
            Some(instant("2026-05-01T10:00:01Z"))
        );
    }

    #[test]
    fn exclusions_are_passed_in_one_step_however_they_lie() {
        let exclusion = |from: &str, to: &str| Exclusion {
            from: instant(from),
            to: instant(to),
        };
        let calendar = Calendar::parse(&CalendarSpec {
            exclusions: vec![
                exclusion("2026-01-01T00:00:10Z", "2036-01-01T00:00:00Z"),
                exclusion("2025-01-01T00:00:00Z", "2026-06-01T00:00:00Z"),
                exclusion("2036-01-01T00:00:00Z", "2036-01-01T00:00:02Z"),
                exclusion("2036-01-01T00:00:03Z", "2036-01-01T00:00:03.5Z"),
            ],
            seconds: true,
            ..spec(&["* * * * * *"], "UTC")
        })
        .unwrap();
        assert_eq!(
            upcoming(&calendar, "2024-12-31T23:59:58Z", 3),
            ["2024-12-31T23:59:59Z", "2036-01-01T00:00:02Z", "2036-01-01T00:00:04Z"]
        );
        let latest = calendar.latest_within(instant("2020-01-01T00:00:00Z"), instant("2036-01-01T00:00:03Z"), 2);
        assert_eq!(latest, [instant("2024-12-31T23:59:59Z"), instant("2036-01-01T00:00:02Z")]);
    }

    #[test]
    fn the_latest_of_a_long_absence_are_found_without_walking_it() {
        let every_second = Calendar::parse(&CalendarSpec {
            seconds: true,
            ..spec(&["* * * * * *"], "Asia/Tokyo")
        })
        .unwrap();
        let (after, through) = (instant("1971-01-01T00:00:00Z"), instant("2026-06-01T10:00:00.5Z"));
        let latest = every_second.latest_within(after, through, 3);
        assert_eq!(
            latest,
            [58, 59, 60].map(|second| instant("2026-06-01T09:59:00Z") + chrono::TimeDelta::seconds(second))
        );
        assert!(every_second.latest_within(through, through, 3).is_empty());
        assert!(every_second.latest_within(after, through, 0).is_empty());
        assert_eq!(every_second.latest_within(latest[1], latest[2], 3), [latest[2]]);
    }

    #[test]
    fn what_is_no_calendar_is_refused_with_a_remedy() {
        let refused = |spec: &CalendarSpec| Calendar::parse(spec).unwrap_err().to_string();
        assert!(refused(&spec(&[], "UTC")).contains("at least one"));
        assert!(refused(&spec(&["@daily"; MAX_LINES + 1], "UTC")).contains("at most 100"));
        assert!(refused(&spec(&["@daily"], "Mars/Olympus")).contains("IANA"));
        assert!(refused(&spec(&["@daily"], "utc")).contains("write \"UTC\""));
        let one = instant("2026-01-01T00:00:00Z");
        let closed = CalendarSpec {
            start_at: Some(one),
            end_at: Some(one),
            ..spec(&["@daily"], "UTC")
        };
        assert!(refused(&closed).contains("set endAt to a later time"));
        let mut excluding = spec(&["@daily"], "UTC");
        excluding.exclusions = vec![Exclusion { from: one, to: one }];
        assert!(refused(&excluding).contains("its end must be later"));
        excluding.exclusions = vec![
            Exclusion {
                from: one,
                to: instant("2027-01-01T00:00:00Z")
            };
            MAX_EXCLUSIONS + 1
        ];
        assert!(refused(&excluding).contains("at most 1000"));
    }

    #[test]
    fn jitter_is_the_seeds_and_leaves_the_due_times_alone() {
        let jittered = |seed: &str| {
            Calendar::parse(&CalendarSpec {
                jitter: Duration::from_secs(600),
                jitter_seed: seed.to_owned(),
                ..spec(&["@hourly"], "UTC")
            })
            .unwrap()
        };
        let (one, other) = (jittered("a"), jittered("b"));
        assert_ne!(one.jitter(), other.jitter());
        assert!(one.jitter() < Duration::from_secs(600));
        let start = "2026-01-01T00:00:00Z";
        assert_eq!(upcoming(&one, start, 3), upcoming(&other, start, 3));
        assert_eq!(calendar(&["@hourly"], "UTC").jitter(), Duration::ZERO);
    }

    #[test]
    fn the_ends_of_time_are_no_trouble() {
        for lines in [["* * * * *"], ["0 3 29 2 *"]] {
            let calendar = calendar(&lines, "America/New_York");
            assert_eq!(calendar.next_after(DateTime::<Utc>::MAX_UTC), None);
            assert_eq!(calendar.last_at_or_before(DateTime::<Utc>::MIN_UTC), None);
            let _ = (
                calendar.next_after(DateTime::<Utc>::MIN_UTC),
                calendar.last_at_or_before(DateTime::<Utc>::MAX_UTC),
            );
        }
    }

    #[test]
    fn the_database_of_zones_has_a_version() {
        assert!(TZDB_VERSION.starts_with("20"), "{TZDB_VERSION}");
    }
}
