//! What is due, found the slow and obvious way: by looking at every minute, or second, on the clock of the zone.
//!
//! Nothing here is shared with the calendar itself but the rules that the crate's documentation states. [`check`] compares the two around
//! every transition of every zone.

use std::collections::HashSet;
use std::fmt::Write as _;
use std::ops::Range;

use chrono::{DateTime, Datelike, Days, NaiveDate, NaiveDateTime, Offset, TimeDelta, TimeZone, Timelike, Utc, Weekday};
use chrono_tz::{TZ_VARIANTS, Tz};

use crate::{Calendar, CalendarSpec, DayMatch};

/// How much to check.
#[derive(Debug, Clone)]
pub struct Extent {
    /// Transitions of these years.
    pub years: Range<i32>,
    /// Check a transition again for each zone that has the very same one.
    pub every_zone: bool,
    /// Ask the calendar every so many minutes near the transition, and elsewhere.
    pub probe_near: usize,
    pub probe_far: usize,
}

impl Extent {
    /// Each distinct transition of all zones in ten years.
    pub const SHORT: Self = Self {
        years: 2024..2034,
        every_zone: false,
        probe_near: 7,
        probe_far: 97,
    };
    /// Every transition of every zone in ten years. Takes minutes.
    pub const FULL: Self = Self {
        years: 2024..2034,
        every_zone: true,
        probe_near: 3,
        probe_far: 31,
    };
}

/// What was checked, and what was wrong.
#[derive(Debug, Default)]
pub struct Report {
    pub zones: usize,
    pub transitions: usize,
    /// Transitions looked at, times calendars.
    pub windows: usize,
    /// Due times that the oracle found.
    pub slots: usize,
    /// Questions that the calendar was asked.
    pub probes: usize,
    /// At most a few, with everything needed to see them again.
    pub wrong: Vec<String>,
}

/// Cron lines that are checked together around each transition.
const CALENDARS: &[&[&str]] = &[
    // Fixed times: in the gap, at its edges, around midnight, in ranges and lists across it.
    &["30 2 * * *"],
    &["0 0 * * *"],
    &["0 1 * * *"],
    &["0 3 * * *"],
    &["15,45 0-4 * * *"],
    &["59 23 * * *"],
    &["30 1-3 L,1-31 * *"],
    &["0,30 0,1,2,3,22,23 * * sun,sat"],
    &["10 2 1-7,25-31 3,4,10,11 5-7"],
    &["5 2 * * 0#L"],
    // Lines that follow the wall clock: everywhere, across the gap, inside it only.
    &["* * * * *"],
    &["0 * * * *"],
    &["*/15 * * * *"],
    &["0-59 0-23 * * *"],
    &["*/20 1-3 * * *"],
    &["7 */2 * * *"],
    &["* 2 * * *"],
    &["*/30 0 * * *"],
    &["3/25 23,0-1 * * mon,sat,sun"],
    // Several in one calendar.
    &["30 2 * * *", "*/30 1-3 * * *", "0 3 * * *"],
    &["@daily", "@hourly", "0 12 LW * *"],
];
/// The same with seconds, looked at in a shorter window.
const WITH_SECONDS: &[&[&str]] = &[
    &["30 30 2 * * *"],
    &["*/20 * * * * *"],
    &["5,55 59 1 * * *", "0 0 2,3 * * *"],
    &["7 */9 0-3 * * *"],
    &["0/50 0 * * * *"],
];
const MINUTE: i64 = 60;
const HOUR: i64 = 3600;
/// Enough for a whole day that is skipped, on either side.
const WINDOW: i64 = 26 * HOUR;
const SECONDS_WINDOW: i64 = 2 * HOUR;
/// This near to the transition the calendar is asked more often.
const NEAR: i64 = 130 * MINUTE;
const SHOWN: usize = 10;

/// Compares the calendar with the oracle around the transitions of every zone.
pub fn check(extent: &Extent) -> Report {
    let mut report = Report::default();
    let mut seen = HashSet::new();
    let minutes = prepare(CALENDARS, false);
    let seconds = prepare(WITH_SECONDS, true);
    for zone in TZ_VARIANTS {
        report.zones += 1;
        let transitions = transitions(zone, &extent.years);
        for (place, transition) in transitions.iter().copied().enumerate() {
            let near = |other: &&Transition| (other.at - transition.at).abs() < 4 * WINDOW;
            let alike: Vec<Transition> = transitions[place.saturating_sub(3)..].iter().take(7).filter(near).copied().collect();
            if !seen.insert(alike) && !extent.every_zone {
                continue;
            }
            report.transitions += 1;
            for sample in &minutes {
                sample.compare(zone, transition.at, WINDOW, MINUTE, extent, &mut report);
            }
            for sample in &seconds {
                sample.compare(zone, transition.at, SECONDS_WINDOW, 1, extent, &mut report);
            }
            if report.wrong.len() >= SHOWN {
                return report;
            }
        }
    }
    report
}

/// An instant at which the offset of a zone changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct Transition {
    at: i64,
    before: i64,
    after: i64,
}

fn transitions(zone: Tz, years: &Range<i32>) -> Vec<Transition> {
    let start = |year| NaiveDate::from_ymd_opt(year, 1, 1).map_or(0, |date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp());
    let mut found = Vec::new();
    let mut at = start(years.start);
    while at < start(years.end) {
        let (mut low, mut high) = (at, at + 6 * HOUR);
        at = high;
        if offset(zone, low) == offset(zone, high) {
            continue;
        }
        while high - low > 1 {
            let middle = (low + high) / 2;
            if offset(zone, middle) == offset(zone, low) {
                low = middle;
            } else {
                high = middle;
            }
        }
        found.push(Transition {
            at: high,
            before: offset(zone, low),
            after: offset(zone, high),
        });
    }
    found
}

fn offset(zone: Tz, instant: i64) -> i64 {
    let instant = DateTime::from_timestamp(instant, 0).unwrap_or_default();
    i64::from(zone.offset_from_utc_datetime(&instant.naive_utc()).fix().local_minus_utc())
}

/// Lines for the calendar and for the oracle.
struct Sample {
    spec: CalendarSpec,
    lines: Vec<SlowLine>,
}

fn prepare(calendars: &[&[&str]], seconds: bool) -> Vec<Sample> {
    let sample = |lines: &&[&str]| Sample {
        spec: CalendarSpec {
            lines: lines.iter().map(|line| (*line).to_owned()).collect(),
            seconds,
            ..CalendarSpec::default()
        },
        lines: lines.iter().map(|line| SlowLine::new(line, DayMatch::Either)).collect(),
    };
    calendars.iter().map(sample).collect()
}

impl Sample {
    /// Compares within `window` seconds before and after an instant.
    fn compare(&self, zone: Tz, around: i64, window: i64, step: i64, extent: &Extent, report: &mut Report) {
        let mut wrong = |what: String| {
            if report.wrong.len() < SHOWN {
                report
                    .wrong
                    .push(format!("{} {:?} around {}: {what}", zone.name(), self.spec.lines, show(around)));
            }
        };
        let spec = CalendarSpec {
            time_zone: zone.name().to_owned(),
            ..self.spec.clone()
        };
        let calendar = match Calendar::parse(&spec) {
            Ok(calendar) => calendar,
            Err(error) => return wrong(error.to_string()),
        };
        let (from, to) = (
            (around - window).div_euclid(MINUTE) * MINUTE,
            (around + window).div_euclid(MINUTE) * MINUTE,
        );
        let expected = due(&self.lines, zone, from, to, step);
        // What comes before the first and after the last is not known here.
        let (start, end) = (instant(from), instant(to));
        let forward: Vec<i64> = calendar.due_within(start, end).map(|due| due.timestamp()).collect();
        if forward != expected {
            wrong(format!("going forward: {}", difference(&expected, &forward)));
        }
        let latest = calendar.latest_within(start, end, expected.len() + 1);
        let backward: Vec<i64> = latest.iter().map(DateTime::timestamp).collect();
        if backward != expected {
            wrong(format!("going back: {}", difference(&expected, &backward)));
        }
        let mut probes = 0;
        // Not always at the same second of the minute.
        let near = (around - NEAR.min(window)..around + NEAR.min(window)).step_by(extent.probe_near * 60 + usize::from(step == 1));
        let far = (from..to).step_by(extent.probe_far * 60);
        for probe in near.chain(far) {
            probes += 1;
            let place = expected.partition_point(|due| *due <= probe);
            let next = calendar.next_after(instant(probe)).map(|due| due.timestamp());
            if let Some(expected) = expected.get(place)
                && next != Some(*expected)
            {
                wrong(format!("after {} comes {} and not {:?}", show(probe), show(*expected), next.map(show)));
            }
            let last = calendar.last_at_or_before(instant(probe)).map(|due| due.timestamp());
            if let Some(expected) = place.checked_sub(1).and_then(|place| expected.get(place))
                && last != Some(*expected)
            {
                wrong(format!("before {} was {} and not {:?}", show(probe), show(*expected), last.map(show)));
            }
        }
        report.windows += 1;
        report.slots += expected.len();
        report.probes += probes;
    }
}

/// The due times in `(from, to]`, looked for in steps of a second or a minute. No clock may be put back shortly before `from`.
fn due(lines: &[SlowLine], zone: Tz, from: i64, to: i64, step: i64) -> Vec<i64> {
    let mut due = Vec::new();
    let mut reached = from + offset(zone, from);
    let mut at = from + step;
    while at <= to {
        let wall = at + offset(zone, at);
        let fixed = |line: &SlowLine| {
            let mut passed = reached;
            while passed < wall {
                passed += step;
                if line.matches(passed) {
                    return true;
                }
            }
            false
        };
        let is_due = |line: &SlowLine| if line.follows_wall_clock { line.matches(wall) } else { fixed(line) };
        if lines.iter().any(is_due) {
            due.push(at);
        }
        reached = reached.max(wall);
        at += step;
    }
    due
}

/// A line as a table for each field; days are looked up in the text.
struct SlowLine {
    second: Vec<bool>,
    minute: Vec<bool>,
    hour: Vec<bool>,
    month: Vec<bool>,
    day: String,
    weekday: String,
    day_match: DayMatch,
    follows_wall_clock: bool,
}

impl SlowLine {
    /// Only for lines that are valid.
    fn new(line: &str, day_match: DayMatch) -> Self {
        let line = match line {
            "@hourly" => "0 * * * *",
            "@daily" => "0 0 * * *",
            line => line,
        };
        let mut fields: Vec<&str> = line.split(' ').collect();
        if fields.len() == 5 {
            fields.insert(0, "0");
        }
        let table = |text: &str, min: u32, max: u32| -> Vec<bool> { (0..=max).map(|value| value >= min && listed(text, value, min, max)).collect() };
        let tables = [(fields[0], 59), (fields[1], 59), (fields[2], 23)].map(|(text, max)| table(text, 0, max));
        let recurs = fields[..3].iter().any(|text| text.contains(['*', '/'])) || tables.iter().any(|table| table.iter().all(|value| *value));
        let [second, minute, hour] = tables;
        Self {
            second,
            minute,
            hour,
            month: table(fields[4], 1, 12),
            day: fields[3].to_owned(),
            weekday: fields[5].to_owned(),
            day_match,
            follows_wall_clock: recurs,
        }
    }

    fn matches(&self, wall: i64) -> bool {
        let time: NaiveDateTime = DateTime::from_timestamp(wall, 0).unwrap_or_default().naive_utc();
        let has = |table: &[bool], value: u32| table.get(value as usize) == Some(&true);
        has(&self.second, time.second())
            && has(&self.minute, time.minute())
            && has(&self.hour, time.hour())
            && has(&self.month, time.month())
            && self.is_day(time.date())
    }

    fn is_day(&self, date: NaiveDate) -> bool {
        let day = || self.day.split(',').any(|term| is_day_of_month(term, date));
        let weekday = || self.weekday.split(',').any(|term| is_weekday(term, date));
        let any = |text: &str| text == "*" || text == "*/1" || text == "?";
        match (any(&self.day), any(&self.weekday), self.day_match) {
            (true, true, _) => true,
            (false, true, _) => day(),
            (true, false, _) => weekday(),
            (false, false, DayMatch::Either) => day() || weekday(),
            (false, false, DayMatch::Both) => day() && weekday(),
        }
    }
}

fn listed(text: &str, value: u32, min: u32, max: u32) -> bool {
    text.split(',').any(|term| {
        let (range, step) = term
            .split_once('/')
            .map_or((term, None), |(range, step)| (range, step.parse::<u32>().ok()));
        let (first, last) = match range.split_once('-') {
            _ if range == "*" => (min, max),
            Some((first, last)) => (number(first), number(last)),
            None if step.is_some() => (number(range), max),
            None => (number(range), number(range)),
        };
        (first..=last).contains(&value) && (value - first).is_multiple_of(step.unwrap_or(1))
    })
}

fn number(text: &str) -> u32 {
    let names = ["sun", "mon", "tue", "wed", "thu", "fri", "sat"];
    let named = (0..).zip(names).find(|(_, name)| *name == text).map(|(value, _)| value);
    named.or_else(|| text.parse().ok()).unwrap_or(u32::MAX)
}

fn is_working_day(date: NaiveDate) -> bool {
    !matches!(date.weekday(), Weekday::Sat | Weekday::Sun)
}

/// Whether so many days later it is another month.
fn leaves_month(date: NaiveDate, days: u64) -> bool {
    date.checked_add_days(Days::new(days)).is_none_or(|later| later.month() != date.month())
}

fn is_day_of_month(term: &str, date: NaiveDate) -> bool {
    if term == "L" {
        return leaves_month(date, 1);
    }
    if term == "LW" {
        let later = (1..7).filter_map(|days| date.checked_add_days(Days::new(days)));
        return is_working_day(date) && !later.take_while(|later| later.month() == date.month()).any(is_working_day);
    }
    if let Some(before) = term.strip_prefix("L-") {
        let before = u64::from(number(before));
        return !leaves_month(date, before) && leaves_month(date, before + 1);
    }
    if let Some(wanted) = term.strip_suffix('W') {
        let Some(wanted) = date.with_day(number(wanted)) else { return false };
        let near = (-2..=2).map(|days| wanted + TimeDelta::days(days));
        let nearest = near
            .filter(|near| near.month() == wanted.month() && is_working_day(*near))
            .min_by_key(|near| (*near - wanted).num_days().abs());
        return nearest == Some(date);
    }
    listed(term, date.day(), 1, 31)
}

fn is_weekday(term: &str, date: NaiveDate) -> bool {
    let today = date.weekday().num_days_from_sunday();
    let is = |text: &str| number(text) % 7 == today;
    if let Some((weekday, place)) = term.split_once('#') {
        return is(weekday)
            && match place {
                "L" => leaves_month(date, 7),
                place => (date.day() - 1) / 7 + 1 == number(place),
            };
    }
    match term.strip_suffix('L') {
        Some(weekday) => is(weekday) && leaves_month(date, 7),
        None => listed(term, today, 0, 6) || (today == 0 && listed(term, 7, 0, 6)),
    }
}

/// Whether the calendar finds what is due within a day on either side of an instant, for any lines of minutes. Returns how much that is.
pub fn check_around(spec: &CalendarSpec, around: DateTime<Utc>) -> Result<usize, String> {
    let zone: Tz = spec.time_zone.parse().map_err(|_| "an unknown zone".to_owned())?;
    let calendar = Calendar::parse(spec).map_err(|error| error.to_string())?;
    let lines: Vec<SlowLine> = spec.lines.iter().map(|line| SlowLine::new(line, spec.day_match)).collect();
    let middle = around.timestamp().div_euclid(MINUTE) * MINUTE;
    let (from, to) = (middle - WINDOW, middle + WINDOW);
    // A clock that was put back shortly before `from` has shown some times already.
    let expected: Vec<i64> = due(&lines, zone, from - WINDOW, to, MINUTE)
        .into_iter()
        .filter(|due| *due > from)
        .collect();
    let forward: Vec<i64> = calendar.due_within(instant(from), instant(to)).map(|due| due.timestamp()).collect();
    let latest = calendar.latest_within(instant(from), instant(to), usize::MAX);
    let backward: Vec<i64> = latest.iter().map(DateTime::timestamp).collect();
    match (forward == expected, backward == expected) {
        (true, true) => Ok(expected.len()),
        (false, _) => Err(difference(&expected, &forward)),
        (true, false) => Err(format!("going back: {}", difference(&expected, &backward))),
    }
}

/// Whether the calendar finds the days that the oracle finds, of one line and within some years.
pub fn check_days(line: &str, day_match: DayMatch, years: Range<i32>) -> Result<usize, String> {
    let spec = CalendarSpec {
        lines: vec![line.to_owned()],
        day_match,
        ..CalendarSpec::default()
    };
    let calendar = Calendar::parse(&spec).map_err(|error| error.to_string())?;
    let slow = SlowLine::new(line, day_match);
    let first = NaiveDate::from_ymd_opt(years.start, 1, 1).unwrap_or_default();
    let days = first.iter_days().take_while(|date| date.year() < years.end);
    let days = days.filter(|date| has_month(&slow, *date) && slow.is_day(*date));
    let expected: Vec<i64> = days.map(|date| date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()).collect();
    let (Some(start), Some(end)) = (year(years.start), year(years.end)) else {
        return Err("there are no such years".to_owned());
    };
    let before = start - TimeDelta::seconds(1);
    let through = end - TimeDelta::seconds(1);
    let found: Vec<i64> = calendar.due_within(before, through).map(|due| due.timestamp()).collect();
    if found != expected {
        return Err(format!("{line:?} {day_match:?}: {}", difference(&expected, &found)));
    }
    let latest = calendar.latest_within(before, through, usize::MAX);
    let found: Vec<i64> = latest.iter().map(DateTime::timestamp).collect();
    match found == expected {
        true => Ok(expected.len()),
        false => Err(format!("{line:?} {day_match:?} going back: {}", difference(&expected, &found))),
    }
}

fn has_month(line: &SlowLine, date: NaiveDate) -> bool {
    line.month.get(date.month() as usize) == Some(&true)
}

fn year(year: i32) -> Option<DateTime<Utc>> {
    Some(NaiveDate::from_ymd_opt(year, 1, 1)?.and_time(chrono::NaiveTime::MIN).and_utc())
}

fn instant(seconds: i64) -> DateTime<Utc> {
    DateTime::from_timestamp(seconds, 0).unwrap_or_default()
}

fn show(seconds: i64) -> String {
    instant(seconds).format("%Y-%m-%dT%H:%M:%SZ").to_string()
}

/// The first times that only one of two ascending lists has.
fn difference(expected: &[i64], found: &[i64]) -> String {
    let only = |these: &[i64], those: &[i64]| -> Vec<String> {
        let rest = these.iter().filter(|time| those.binary_search(time).is_err());
        rest.take(3).copied().map(show).collect()
    };
    let mut text = String::new();
    let _ = write!(text, "missing {:?}, too many {:?}", only(expected, found), only(found, expected));
    text
}
