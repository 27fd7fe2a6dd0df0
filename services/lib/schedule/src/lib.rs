//! When a schedule is due ([`Calendar`]), and what becomes of what is due ([`decide`]). Pure: no clock, no I/O, no cluster.
//!
//! [`Calendar`] answers for a set of cron lines in a time zone, within a window and outside exclusions: what is the next due time, what was
//! the last, which lie between two instants. Every answer costs a few steps, however long the span is that it is about.
//!
//! # What a line means on the days when clocks change
//!
//! A line *follows the wall clock* when its second, minute or hour field has a `*`, a step (`/`) or all values of the field. It is due at
//! every instant at which the wall clock of the zone shows one of its times: in a repeated hour twice, in a skipped hour not at all.
//!
//! Every other line has *fixed times*. Each of them is due once: at the first instant at which the wall clock shows that time or has passed
//! it. So a time that is skipped is due right after the gap, and a repeated one is due the first time only.
//!
//! `docs/schedules.md` says the same to users.

mod calendar;
pub mod decide;
mod error;
mod jitter;
mod line;
#[cfg(feature = "oracle")]
pub mod oracle;
mod spec;
mod zone;

pub use calendar::Calendar;
pub use error::{CalendarError, LineError};
pub use spec::{CalendarSpec, DayMatch, Exclusion, MAX_EXCLUSIONS, MAX_LINE_BYTES, MAX_LINES};

/// Version of the embedded IANA time zone database, for example `2025b`.
pub const TZDB_VERSION: &str = chrono_tz::IANA_TZDB_VERSION;
