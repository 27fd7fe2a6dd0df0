//! The times of a line on a clock that nobody ever puts forward or back, in seconds since 1970.

use chrono::{DateTime, Datelike, NaiveDate};

use super::{Line, first_from, last_to};

const MINUTE: i64 = 60;
const HOUR: i64 = 60 * MINUTE;
const DAY: i64 = 24 * HOUR;
/// The pattern of dates and weekdays begins anew after so many years.
const CYCLE: i32 = 400;

impl Line {
    /// The first time not before `wall`.
    pub fn next_wall(&self, wall: i64) -> Option<i64> {
        let today = date(wall)?;
        if self.is_about(today)
            && let Some(time) = self.first_time_from(wall.rem_euclid(DAY))
        {
            return Some(midnight(today) + time);
        }
        Some(midnight(self.next_date(today.succ_opt()?)?) + self.first_time_from(0)?)
    }

    /// The last time not after `wall`.
    pub fn last_wall(&self, wall: i64) -> Option<i64> {
        let today = date(wall)?;
        if self.is_about(today)
            && let Some(time) = self.last_time_to(wall.rem_euclid(DAY))
        {
            return Some(midnight(today) + time);
        }
        Some(midnight(self.last_date(today.pred_opt()?)?) + self.last_time_to(DAY - 1)?)
    }

    /// Whether there is any day that the line is about.
    pub fn has_a_date(&self) -> bool {
        NaiveDate::from_ymd_opt(2000, 1, 1).and_then(|start| self.next_date(start)).is_some()
    }

    fn is_about(&self, date: NaiveDate) -> bool {
        self.months & 1 << date.month() != 0 && self.days.of(date.year(), date.month()).is_some_and(|days| days & 1 << date.day() != 0)
    }

    fn next_date(&self, from: NaiveDate) -> Option<NaiveDate> {
        let (mut year, mut month, mut day) = (from.year(), from.month(), from.day());
        while year <= from.year() + CYCLE {
            match first_from(self.months, month) {
                Some(named) if named == month => {
                    if let Some(day) = first_from(self.days.of(year, month)?, day) {
                        return NaiveDate::from_ymd_opt(year, month, day);
                    }
                    (month, day) = (month + 1, 1);
                }
                Some(later) => (month, day) = (later, 1),
                None => (year, month, day) = (year + 1, 1, 1),
            }
        }
        None
    }

    fn last_date(&self, to: NaiveDate) -> Option<NaiveDate> {
        let (mut year, mut month, mut day) = (to.year(), to.month(), to.day());
        while year >= to.year() - CYCLE {
            match last_to(self.months, month) {
                Some(named) if named == month => {
                    if let Some(day) = last_to(self.days.of(year, month)?, day) {
                        return NaiveDate::from_ymd_opt(year, month, day);
                    }
                    (month, day) = (month - 1, 31);
                }
                Some(earlier) => (month, day) = (earlier, 31),
                None => (year, month, day) = (year - 1, 12, 31),
            }
        }
        None
    }

    /// The first time of day not before a second of the day.
    fn first_time_from(&self, second: i64) -> Option<i64> {
        let [hour, minute, second] = split(second)?;
        let (first_minute, first_second) = (first_from(self.minutes, 0)?, first_from(self.seconds, 0)?);
        if self.hours & 1 << hour != 0 {
            if self.minutes & 1 << minute != 0
                && let Some(second) = first_from(self.seconds, second)
            {
                return Some(join([hour, minute, second]));
            }
            if let Some(minute) = first_from(self.minutes, minute + 1) {
                return Some(join([hour, minute, first_second]));
            }
        }
        Some(join([first_from(self.hours, hour + 1)?, first_minute, first_second]))
    }

    /// The last time of day not after a second of the day.
    fn last_time_to(&self, second: i64) -> Option<i64> {
        let [hour, minute, second] = split(second)?;
        let (last_minute, last_second) = (last_to(self.minutes, 59)?, last_to(self.seconds, 59)?);
        if self.hours & 1 << hour != 0 {
            if self.minutes & 1 << minute != 0
                && let Some(second) = last_to(self.seconds, second)
            {
                return Some(join([hour, minute, second]));
            }
            if let Some(minute) = minute.checked_sub(1).and_then(|minute| last_to(self.minutes, minute)) {
                return Some(join([hour, minute, last_second]));
            }
        }
        Some(join([last_to(self.hours, hour.checked_sub(1)?)?, last_minute, last_second]))
    }
}

fn date(wall: i64) -> Option<NaiveDate> {
    Some(DateTime::from_timestamp(wall, 0)?.date_naive())
}

fn midnight(date: NaiveDate) -> i64 {
    date.and_time(chrono::NaiveTime::MIN).and_utc().timestamp()
}

/// Hour, minute and second of a second of the day.
fn split(second: i64) -> Option<[u32; 3]> {
    let second = u32::try_from(second).ok()?;
    Some([second / 3600, second / 60 % 60, second % 60])
}

fn join([hour, minute, second]: [u32; 3]) -> i64 {
    i64::from(hour) * HOUR + i64::from(minute) * MINUTE + i64::from(second)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::spec::DayMatch;

    fn at(text: &str) -> i64 {
        format!("{text}Z").parse::<DateTime<chrono::Utc>>().unwrap().timestamp()
    }

    /// The times found going forward, which are found again going back.
    fn times(line: &str, from: &str, count: usize) -> Vec<String> {
        let line = Line::parse(line, DayMatch::Either, true).unwrap();
        let mut times: Vec<i64> = Vec::new();
        while times.len() < count {
            let after = times.last().map_or_else(|| at(from), |last| last + 1);
            times.push(line.next_wall(after).unwrap());
        }
        for pair in times.windows(2) {
            assert_eq!(line.last_wall(pair[1] - 1), Some(pair[0]));
            assert_eq!(line.last_wall(pair[0]), Some(pair[0]));
            assert_eq!(line.next_wall(pair[1]), Some(pair[1]));
        }
        let shown = |time: &i64| DateTime::from_timestamp(*time, 0).unwrap().format("%Y-%m-%dT%H:%M:%S").to_string();
        times.iter().map(shown).collect()
    }

    #[test]
    fn times_of_day_are_found_in_order() {
        assert_eq!(
            times("10,50 0,30 8,17 1 1 *", "2026-01-01T08:00:11", 4),
            ["2026-01-01T08:00:50", "2026-01-01T08:30:10", "2026-01-01T08:30:50", "2026-01-01T17:00:10"]
        );
        assert_eq!(times("59 23 31 12 *", "2026-12-31T23:59:01", 1), ["2027-12-31T23:59:00"]);
    }

    #[test]
    fn days_of_the_month_from_its_end() {
        assert_eq!(
            times("0 0 L,L-2 1-3 *", "2028-01-30T00:00:00", 5),
            [
                "2028-01-31T00:00:00",
                "2028-02-27T00:00:00",
                "2028-02-29T00:00:00",
                "2028-03-29T00:00:00",
                "2028-03-31T00:00:00"
            ]
        );
        // 30 May 2026 is a Saturday, 31 a Sunday.
        assert_eq!(
            times("0 0 LW 5-6 *", "2026-05-01T00:00:00", 2),
            ["2026-05-29T00:00:00", "2026-06-30T00:00:00"]
        );
    }

    #[test]
    fn the_nearest_weekday_stays_in_its_month() {
        // 1 August 2026 is a Saturday; 15 a Saturday; 31 May a Sunday; 16 August a Sunday.
        assert_eq!(times("0 0 1W 8 *", "2026-01-01T00:00:00", 1), ["2026-08-03T00:00:00"]);
        assert_eq!(times("0 0 15W 8 *", "2026-01-01T00:00:00", 1), ["2026-08-14T00:00:00"]);
        assert_eq!(times("0 0 16W 8 *", "2026-01-01T00:00:00", 1), ["2026-08-17T00:00:00"]);
        assert_eq!(times("0 0 31W 5 *", "2026-01-01T00:00:00", 1), ["2026-05-29T00:00:00"]);
        assert_eq!(
            times("0 0 31W * *", "2026-04-01T00:00:00", 2),
            ["2026-05-29T00:00:00", "2026-07-31T00:00:00"]
        );
    }

    #[test]
    fn weekdays_are_counted_from_both_ends() {
        assert_eq!(
            times("0 9 * * fri#2,5L", "2026-01-01T00:00:00", 4),
            ["2026-01-09T09:00:00", "2026-01-30T09:00:00", "2026-02-13T09:00:00", "2026-02-27T09:00:00"]
        );
        assert_eq!(
            times("0 9 * * mon#5", "2026-01-01T00:00:00", 2),
            ["2026-03-30T09:00:00", "2026-06-29T09:00:00"]
        );
        assert_eq!(
            times("0 9 * 1 0", "2026-01-01T00:00:00", 2),
            ["2026-01-04T09:00:00", "2026-01-11T09:00:00"]
        );
    }

    #[test]
    fn rare_dates_are_found_across_centuries() {
        assert_eq!(times("0 0 29 2 *", "2096-03-01T00:00:00", 1), ["2104-02-29T00:00:00"]);
        let both = Line::parse("0 0 29 2 mon", DayMatch::Both, false).unwrap();
        assert_eq!(both.next_wall(at("2016-03-01T00:00:00")), Some(at("2044-02-29T00:00:00")));
        assert_eq!(both.last_wall(at("2044-02-28T00:00:00")), Some(at("2016-02-29T00:00:00")));
    }
}
