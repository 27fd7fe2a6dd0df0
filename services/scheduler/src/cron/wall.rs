//! Wall-clock time as the reference counts with it: a local time that may not exist or may exist twice still names an instant.

use chrono::{DateTime, Duration, MappedLocalTime, NaiveDateTime, Offset, TimeZone, Utc};
use chrono_tz::Tz;

/// A local time. `second` picks the later one of two instants that share it; it means nothing for other times, but in a gap it picks the
/// offset after it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Wall {
    pub local: NaiveDateTime,
    pub second: bool,
}

impl Wall {
    /// The wall clock of a zone at an instant.
    pub fn at(instant: DateTime<Utc>, zone: Tz) -> Self {
        let local = instant.with_timezone(&zone).naive_local();
        let second = match zone.offset_from_local_datetime(&local) {
            MappedLocalTime::Ambiguous(earlier, later) => {
                let (earlier, later) = (seconds_of(&earlier), seconds_of(&later));
                earlier != later && (local - instant.naive_utc()).num_seconds() == i64::from(earlier.min(later))
            }
            MappedLocalTime::Single(_) | MappedLocalTime::None => false,
        };
        Self { local, second }
    }

    /// Seconds east of UTC. A time in a gap has the offset from before the gap, or after it when it is the `second`.
    pub fn offset(self, zone: Tz) -> i32 {
        match zone.offset_from_local_datetime(&self.local) {
            MappedLocalTime::Single(offset) => seconds_of(&offset),
            MappedLocalTime::Ambiguous(one, other) => {
                let (one, other) = (seconds_of(&one), seconds_of(&other));
                // Clocks were put back: the later instant has the smaller offset.
                if self.second { one.min(other) } else { one.max(other) }
            }
            MappedLocalTime::None => {
                let before = seconds_of(&zone.offset_from_utc_datetime(&(self.local - Duration::days(2))));
                if !self.second {
                    return before;
                }
                seconds_of(&zone.offset_from_utc_datetime(&(self.local + Duration::days(2))))
            }
        }
    }

    pub fn instant(self, zone: Tz) -> DateTime<Utc> {
        (self.local - Duration::seconds(i64::from(self.offset(zone)))).and_utc()
    }

    /// The same place on the wall as a date with an offset.
    pub fn shown(self, zone: Tz) -> DateTime<chrono::FixedOffset> {
        let offset = chrono::FixedOffset::east_opt(self.offset(zone)).unwrap_or_else(|| Utc.fix());
        self.instant(zone).with_timezone(&offset)
    }
}

fn seconds_of(offset: &impl Offset) -> i32 {
    offset.fix().local_minus_utc()
}

#[cfg(test)]
mod tests {
    use chrono::NaiveDate;

    use super::*;

    fn local(text: &str) -> NaiveDateTime {
        NaiveDateTime::parse_from_str(text, "%Y-%m-%d %H:%M").unwrap()
    }

    #[test]
    fn a_skipped_time_keeps_the_offset_from_before() {
        let wall = Wall {
            local: local("2026-03-08 02:30"),
            second: false,
        };
        assert_eq!(wall.shown(Tz::America__New_York).to_rfc3339(), "2026-03-08T02:30:00-05:00");
    }

    #[test]
    fn a_repeated_time_names_two_instants() {
        let zone = Tz::America__New_York;
        for (second, hour) in [(false, 5), (true, 6)] {
            let wall = Wall {
                local: local("2026-11-01 01:30"),
                second,
            };
            let instant = NaiveDate::from_ymd_opt(2026, 11, 1).unwrap().and_hms_opt(hour, 30, 0).unwrap().and_utc();
            assert_eq!(wall.instant(zone), instant);
            assert_eq!(Wall::at(instant, zone), wall);
        }
    }

    #[test]
    fn a_skipped_day_is_a_long_gap() {
        let wall = Wall {
            local: local("2011-12-30 12:00"),
            second: false,
        };
        assert_eq!(wall.shown(Tz::Pacific__Apia).to_rfc3339(), "2011-12-30T12:00:00-10:00");
    }
}
