//! Which days of a month a line is about.

use chrono::{Datelike, NaiveDate};

use super::members;
use crate::spec::DayMatch;

/// The two day fields of a line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Days {
    pub of_month: DaysOfMonth,
    pub of_week: DaysOfWeek,
    pub day_match: DayMatch,
}

/// What the field day-of-month asks for: any of these.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaysOfMonth {
    /// `*`, `?` or `*/1`.
    pub unrestricted: bool,
    pub days: u64,
    /// `L`, `L-3`: so many days before the last one.
    pub before_last: u64,
    /// `15W`: the weekday from Monday to Friday that is nearest, in the same month.
    pub nearest_weekday: u64,
    /// `LW`: the last day of the month from Monday to Friday.
    pub last_weekday: bool,
}

/// What the field weekday asks for: any of these. 0 is Sunday.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct DaysOfWeek {
    /// `*`, `?` or `*/1`.
    pub unrestricted: bool,
    pub every: u64,
    /// `5#2`: the second Friday of the month, at place 1.
    pub nth: [u64; 5],
    /// `5L`: the last Friday of the month.
    pub last: u64,
}

/// Length and beginning of a month.
#[derive(Debug, Clone, Copy)]
struct Month {
    length: u32,
    /// 0 is Sunday.
    first_weekday: u32,
}

impl Days {
    /// The days of a month, one bit each. None outside the range of the calendar.
    pub fn of(&self, year: i32, month: u32) -> Option<u64> {
        let month = Month::of(year, month)?;
        let all = (2 << month.length) - 2;
        let of_month = || self.of_month.of(month) & all;
        let of_week = || self.of_week.of(month) & all;
        Some(match (self.of_month.unrestricted, self.of_week.unrestricted, self.day_match) {
            (true, true, _) => all,
            (false, true, _) => of_month(),
            (true, false, _) => of_week(),
            (false, false, DayMatch::Either) => of_month() | of_week(),
            (false, false, DayMatch::Both) => of_month() & of_week(),
        })
    }
}

impl Month {
    fn of(year: i32, month: u32) -> Option<Self> {
        let first = NaiveDate::from_ymd_opt(year, month, 1)?;
        let length = match month {
            2 if first.leap_year() => 29,
            2 => 28,
            4 | 6 | 9 | 11 => 30,
            _ => 31,
        };
        Some(Self {
            length,
            first_weekday: first.weekday().num_days_from_sunday(),
        })
    }

    fn weekday(self, day: u32) -> u32 {
        (self.first_weekday + day - 1) % 7
    }

    /// The first day of the month that is this weekday.
    fn first(self, weekday: u32) -> u32 {
        1 + (weekday + 7 - self.first_weekday) % 7
    }

    /// The day from Monday to Friday nearest to a day.
    fn nearest_weekday(self, day: u32) -> u32 {
        match self.weekday(day) {
            0 if day == self.length => day - 2,
            0 => day + 1,
            6 if day == 1 => 3,
            6 => day - 1,
            _ => day,
        }
    }

    /// The last day from Monday to Friday.
    fn last_weekday(self) -> u32 {
        match self.weekday(self.length) {
            0 => self.length - 2,
            6 => self.length - 1,
            _ => self.length,
        }
    }
}

impl DaysOfMonth {
    fn of(&self, month: Month) -> u64 {
        let mut days = self.days;
        for before in members(self.before_last).filter(|before| *before < month.length) {
            days |= 1 << (month.length - before);
        }
        for day in members(self.nearest_weekday).filter(|day| *day <= month.length) {
            days |= 1 << month.nearest_weekday(day);
        }
        if self.last_weekday {
            days |= 1 << month.last_weekday();
        }
        days
    }
}

impl DaysOfWeek {
    fn of(&self, month: Month) -> u64 {
        let mut days = 0;
        for weekday in members(self.every) {
            let first = month.first(weekday);
            days |= (1 | 1 << 7 | 1 << 14 | 1 << 21 | 1 << 28) << first;
        }
        for (weeks, weekdays) in (0..).zip(self.nth) {
            for weekday in members(weekdays) {
                days |= 1 << (month.first(weekday) + 7 * weeks);
            }
        }
        for weekday in members(self.last) {
            let fifth = month.first(weekday) + 28;
            days |= 1 << if fifth <= month.length { fifth } else { fifth - 7 };
        }
        days
    }
}
