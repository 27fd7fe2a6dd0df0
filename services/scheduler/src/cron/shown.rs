//! The next time as the reference shows it, its ways with daylight saving included (finding 25).
//!
//! The reference walks over the fields of the wall clock, from year to second, and moves the first one that does not fit; it never
//! looks back at a field that it has left. Moving a field forward is done by the clock (so many seconds later), and setting one is done
//! on the wall (whatever instant that is). Where clocks change these disagree, and that is where its odd times come from.

use chrono::{DateTime, Datelike, Duration, FixedOffset, NaiveDate, NaiveDateTime, SubsecRound, Timelike, Utc};
use chrono_tz::Tz;

use super::parse::{ContractCron, Field, FieldKind, Term};
use super::wall::Wall;

/// The walk ends at the end of the calendar.
const LAST_YEAR: i32 = 9999;

impl ContractCron {
    /// The first time at or after `start` with the offset that the reference shows. None when there is none, ever.
    pub fn shown_after(&self, start: DateTime<Utc>, zone: Tz) -> Option<DateTime<FixedOffset>> {
        let whole = start.trunc_subsecs(0);
        let start = if whole == start { start } else { whole + Duration::seconds(1) };
        self.walk(Wall::at(start, zone), zone).map(|wall| wall.shown(zone))
    }

    /// The next fits of the wall clock from `at` on.
    fn walk(&self, at: Wall, zone: Tz) -> Option<Wall> {
        let mut walk = Walk { at, zone };
        let mut unit = Unit::Year;
        loop {
            if walk.at.local.year() > LAST_YEAR {
                return None;
            }
            let current = unit.value(walk.at.local);
            let next = self.next_value(unit, walk.at.local);
            let moved = match next {
                Some(next) if next == current => unit.finer().ok_or(Fit),
                // Weekdays cannot be set: the day moves on until one fits.
                Some(_) if unit == Unit::Weekday => Ok(walk.advance(Unit::Day)?),
                Some(next) => {
                    walk.set(unit, next)?;
                    unit.finer().ok_or(Fit)
                }
                None => Ok(walk.advance(unit.coarser()?)?),
            };
            match moved {
                Ok(next_unit) => unit = next_unit,
                Err(Fit) => return Some(walk.at),
            }
        }
    }

    /// The smallest value that fits, not below the present one.
    fn next_value(&self, unit: Unit, local: NaiveDateTime) -> Option<u32> {
        let field = match unit {
            Unit::Year => return u32::try_from(local.year()).ok(),
            Unit::Second => return (local.second() == 0).then_some(0),
            Unit::Month => &self.month,
            Unit::Day => &self.day,
            Unit::Weekday => &self.weekday,
            Unit::Hour => &self.hour,
            Unit::Minute => &self.minute,
        };
        field.next(unit.value(local), local.date())
    }
}

/// Every field fits.
struct Fit;

impl Field {
    /// The smallest value of the field that is not below `current`, on a date.
    pub(super) fn next(&self, current: u32, date: NaiveDate) -> Option<u32> {
        let max = match self.kind {
            FieldKind::Day => days_in_month(date),
            kind => kind.max(),
        };
        self.terms.iter().filter_map(|term| term.next(current, self.kind.min(), max)).min()
    }
}

impl Term {
    fn next(self, current: u32, min: u32, max: u32) -> Option<u32> {
        let (first, last, step) = match self {
            Self::Every { step } => (min, max, step),
            Self::Range { first, last, step } => (first.max(min), last.map_or(max, |last| last.min(max)), step),
            Self::LastDay => (max, max, 1),
        };
        let from = current.max(first);
        let next = first + (from - first).div_ceil(step) * step;
        (next <= last).then_some(next)
    }
}

fn days_in_month(date: NaiveDate) -> u32 {
    u32::from(date.num_days_in_month())
}

/// What the walk looks at, coarse to fine.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Unit {
    Year,
    Month,
    Day,
    Weekday,
    Hour,
    Minute,
    Second,
}

impl Unit {
    fn finer(self) -> Option<Self> {
        match self {
            Self::Year => Some(Self::Month),
            Self::Month => Some(Self::Day),
            Self::Day => Some(Self::Weekday),
            Self::Weekday => Some(Self::Hour),
            Self::Hour => Some(Self::Minute),
            Self::Minute => Some(Self::Second),
            Self::Second => None,
        }
    }

    /// The unit to move when this one has no value left. A weekday is no unit of its own.
    fn coarser(self) -> Option<Self> {
        match self {
            Self::Year => None,
            Self::Month => Some(Self::Year),
            Self::Day => Some(Self::Month),
            Self::Weekday | Self::Hour => Some(Self::Day),
            Self::Minute => Some(Self::Hour),
            Self::Second => Some(Self::Minute),
        }
    }

    fn value(self, local: NaiveDateTime) -> u32 {
        match self {
            Self::Year => u32::try_from(local.year()).unwrap_or_default(),
            Self::Month => local.month(),
            Self::Day => local.day(),
            Self::Weekday => local.weekday().num_days_from_monday(),
            Self::Hour => local.hour(),
            Self::Minute => local.minute(),
            Self::Second => local.second(),
        }
    }

    /// The largest value of the unit in this month.
    fn max(self, local: NaiveDateTime) -> u32 {
        match self {
            Self::Year => u32::try_from(LAST_YEAR).unwrap_or(u32::MAX),
            Self::Month => FieldKind::Month.max(),
            Self::Day => days_in_month(local.date()),
            Self::Weekday => FieldKind::Weekday.max(),
            Self::Hour => FieldKind::Hour.max(),
            Self::Minute | Self::Second => FieldKind::Minute.max(),
        }
    }
}

struct Walk {
    at: Wall,
    zone: Tz,
}

impl Walk {
    /// Sets a unit on the wall, finer ones to their start.
    fn set(&mut self, unit: Unit, value: u32) -> Option<()> {
        self.at.local = with(self.at.local, unit, value)?;
        Some(())
    }

    /// Moves on to the next value of the unit (of a coarser one, where it is at its end), by the clock. Returns the unit that was moved.
    fn advance(&mut self, unit: Unit) -> Option<Unit> {
        let mut unit = unit;
        while unit.value(self.at.local) == unit.max(self.at.local) {
            unit = unit.coarser()?;
        }
        let target = with(self.at.local, unit, unit.value(self.at.local) + 1)?;
        let instant = self.at.instant(self.zone).checked_add_signed(target - self.at.local)?;
        self.at = Wall::at(instant, self.zone);
        Some(unit)
    }
}

/// The local time with one unit set and all finer ones at their start.
fn with(local: NaiveDateTime, unit: Unit, value: u32) -> Option<NaiveDateTime> {
    let pick = |candidate: Unit, present: u32, start: u32| match candidate.cmp(&unit) {
        std::cmp::Ordering::Less => present,
        std::cmp::Ordering::Equal => value,
        std::cmp::Ordering::Greater => start,
    };
    let year = if unit == Unit::Year { i32::try_from(value).ok()? } else { local.year() };
    NaiveDate::from_ymd_opt(year, pick(Unit::Month, local.month(), 1), pick(Unit::Day, local.day(), 1))?.and_hms_opt(
        pick(Unit::Hour, local.hour(), 0),
        pick(Unit::Minute, local.minute(), 0),
        pick(Unit::Second, local.second(), 0),
    )
}

#[cfg(test)]
#[path = "recorded_tests.rs"]
mod tests;
