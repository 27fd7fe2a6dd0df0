//! Why there is no calendar, and what to write instead.

use chrono::{DateTime, Utc};

use crate::spec::{MAX_EXCLUSIONS, MAX_LINE_BYTES, MAX_LINES};

/// Why a specification is no calendar. The text names the place and the remedy.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CalendarError {
    #[error("there is no cron line: give at least one, such as \"0 9 * * mon-fri\"")]
    NoLines,
    #[error("there are {0} cron lines, at most {MAX_LINES} are possible: put several times into one line, or make several schedules")]
    TooManyLines(usize),
    #[error("time zone {name:?} is unknown: {}", zone_remedy(.meant))]
    Zone { name: String, meant: Option<&'static str> },
    #[error("cron line {line:?} is not valid: {why}")]
    Line { line: String, why: LineError },
    #[error("cron line {line:?} is never due: {why}")]
    Never { line: String, why: &'static str },
    #[error(
        "the schedule ends ({end_at}) before anything can be due (it starts at {start_at}): set endAt to a later time, or startAt to an earlier one"
    )]
    Window { start_at: DateTime<Utc>, end_at: DateTime<Utc> },
    #[error("an exclusion from {from} to {to} excludes nothing: its end must be later than its beginning")]
    Exclusion { from: DateTime<Utc>, to: DateTime<Utc> },
    #[error("there are {0} exclusions, at most {MAX_EXCLUSIONS} are possible: drop those that have passed")]
    TooManyExclusions(usize),
}

fn zone_remedy(meant: &Option<&'static str>) -> String {
    match meant {
        Some(name) => format!("write {name:?} (names are case-sensitive)"),
        None => "use a name of the IANA database such as Europe/Berlin, America/New_York or UTC (names are case-sensitive)".to_owned(),
    }
}

/// What is wrong with one line.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum LineError {
    #[error("it is empty; write five fields (minute hour day-of-month month weekday) or one of @hourly @daily @weekly @monthly @yearly")]
    Empty,
    #[error("it has {0} bytes, at most {MAX_LINE_BYTES} are possible; split it into several lines")]
    TooLong(usize),
    #[error("it has {got} fields instead of five (minute hour day-of-month month weekday){}", count_remedy(*.got, *.seconds))]
    FieldCount { got: usize, seconds: bool },
    #[error(
        "there is no {0}; the words are @hourly, @daily (or @midnight), @weekly, @monthly and @yearly (or @annually), everything else takes five fields"
    )]
    Word(String),
    #[error("the zone does not belong into the line; write it into timeZone")]
    Zone,
    #[error("{term:?} in the field {field}: {why}")]
    Term { field: &'static str, term: String, why: String },
}

fn count_remedy(got: usize, seconds: bool) -> &'static str {
    match (got, seconds) {
        (6, false) => "; a sixth field for seconds must be asked for with seconds: true",
        (7, _) => "; years cannot be given, startAt and endAt can",
        (_, true) => ", or six with the second first",
        _ => ", for example \"0 9 * * mon-fri\"",
    }
}
