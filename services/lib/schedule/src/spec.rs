//! What a calendar is made from.

use std::time::Duration;

use chrono::{DateTime, Utc};

/// Lines of one calendar.
pub const MAX_LINES: usize = 100;
/// Bytes of one line.
pub const MAX_LINE_BYTES: usize = 1024;
/// Exclusions of one calendar.
pub const MAX_EXCLUSIONS: usize = 1000;

/// When a schedule is due, as a user says it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CalendarSpec {
    /// Cron lines; the schedule is due whenever one of them is, once where several are.
    pub lines: Vec<String>,
    /// The IANA zone in which the lines are read. Names are case-sensitive.
    pub time_zone: String,
    /// How day of month and weekday go together.
    pub day_match: DayMatch,
    /// Lines may have six fields, the first of which is the second.
    pub seconds: bool,
    /// Nothing is due before this instant; a due time at it counts.
    pub start_at: Option<DateTime<Utc>>,
    /// Nothing is due from this instant on.
    pub end_at: Option<DateTime<Utc>>,
    /// What falls into one of these is not due. They may overlap.
    pub exclusions: Vec<Exclusion>,
    /// How far runs are spread after their due times, see [`Calendar::jitter`](crate::Calendar::jitter).
    pub jitter: Duration,
    /// Decides the offset within `jitter`: the UID of the schedule.
    pub jitter_seed: String,
}

/// How day of month and weekday go together when a line restricts both. A field that is `*`, `?` or
/// `*/1` restricts nothing.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum DayMatch {
    /// Classic cron: one of them suffices.
    #[default]
    Either,
    Both,
}

/// A span without due times, `from` included, `to` not.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exclusion {
    pub from: DateTime<Utc>,
    pub to: DateTime<Utc>,
}

impl Default for CalendarSpec {
    fn default() -> Self {
        Self {
            lines: Vec::new(),
            time_zone: "UTC".to_owned(),
            day_match: DayMatch::Either,
            seconds: false,
            start_at: None,
            end_at: None,
            exclusions: Vec::new(),
            jitter: Duration::ZERO,
            jitter_seed: String::new(),
        }
    }
}
