//! Instants and wall-clock times of a zone, both in seconds since 1970: of UTC, and of the wall clock as if it were UTC.

use chrono::{DateTime, MappedLocalTime, NaiveDateTime, Offset, TimeZone};
use chrono_tz::{GapInfo, Tz};

/// A zone whose clock is put forward or back now and then.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Zone(Tz);

/// The instants at which the wall clock shows a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Shown {
    Once(i64),
    /// Before and after the clock was put back.
    Twice(i64, i64),
    /// Never: the clock was put forward over it.
    Never(Gap),
}

/// The wall-clock times `[from, to)` that were skipped; the clock showed `to` at the instant `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Gap {
    pub from: i64,
    pub to: i64,
    pub end: i64,
}

/// The wall-clock times `[from, to)` that were shown twice.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Overlap {
    pub from: i64,
    pub to: i64,
}

impl Zone {
    /// The error is the name that was probably meant.
    pub fn parse(name: &str) -> Result<Self, Option<&'static str>> {
        name.parse().map(Self).map_err(|_| {
            let mut known = chrono_tz::TZ_VARIANTS.iter().map(|zone| zone.name());
            known.find(|known| known.eq_ignore_ascii_case(name.trim()))
        })
    }

    /// What the wall clock shows at an instant. None outside the range of the calendar.
    pub fn wall(self, instant: i64) -> Option<i64> {
        Some(instant + self.offset(instant)?)
    }

    /// When the wall clock shows a time.
    pub fn shown(self, wall: i64) -> Option<Shown> {
        let local = naive(wall)?;
        Some(match self.0.offset_from_local_datetime(&local) {
            MappedLocalTime::Single(offset) => Shown::Once(wall - east(&offset)),
            MappedLocalTime::Ambiguous(one, other) => {
                let (one, other) = (wall - east(&one), wall - east(&other));
                match one == other {
                    true => Shown::Once(one),
                    false => Shown::Twice(one.min(other), one.max(other)),
                }
            }
            MappedLocalTime::None => {
                let gap = GapInfo::new(&local, &self.0)?;
                let end = gap.end?;
                Shown::Never(Gap {
                    from: gap.begin?.0.and_utc().timestamp(),
                    to: end.naive_local().and_utc().timestamp(),
                    end: end.timestamp(),
                })
            }
        })
    }

    /// The times that are shown twice, given both instants of one of them.
    pub fn overlap(self, first: i64, second: i64) -> Option<Overlap> {
        let before = self.offset(first)?;
        let (mut low, mut high) = (first, second);
        while high - low > 1 {
            let middle = low + (high - low) / 2;
            match self.offset(middle)? == before {
                true => low = middle,
                false => high = middle,
            }
        }
        Some(Overlap {
            from: high + self.offset(high)?,
            to: high + before,
        })
    }

    fn offset(self, instant: i64) -> Option<i64> {
        Some(east(&self.0.offset_from_utc_datetime(&naive(instant)?)))
    }
}

fn naive(seconds: i64) -> Option<NaiveDateTime> {
    Some(DateTime::from_timestamp(seconds, 0)?.naive_utc())
}

fn east(offset: &impl Offset) -> i64 {
    i64::from(offset.fix().local_minus_utc())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        DateTime::parse_from_rfc3339(text).unwrap().timestamp()
    }

    #[test]
    fn a_skipped_time_lies_in_its_gap() {
        let berlin = Zone::parse("Europe/Berlin").unwrap();
        let gap = Gap {
            from: at("2026-03-29T02:00:00Z"),
            to: at("2026-03-29T03:00:00Z"),
            end: at("2026-03-29T01:00:00Z"),
        };
        assert_eq!(berlin.shown(gap.from - 1), Some(Shown::Once(gap.end - 1)));
        assert_eq!(berlin.shown(gap.from), Some(Shown::Never(gap)));
        assert_eq!(berlin.shown(gap.to - 1), Some(Shown::Never(gap)));
        assert_eq!(berlin.shown(gap.to), Some(Shown::Once(gap.end)));
    }

    #[test]
    fn a_repeated_time_is_shown_twice() {
        let lord_howe = Zone::parse("Australia/Lord_Howe").unwrap();
        let overlap = Overlap {
            from: at("2026-04-05T01:30:00Z"),
            to: at("2026-04-05T02:00:00Z"),
        };
        let first = at("2026-04-04T14:30:00Z");
        assert_eq!(lord_howe.shown(overlap.from - 1), Some(Shown::Once(first - 1)));
        for seconds in [0, 900, 1799] {
            let (one, other) = (first + seconds, first + seconds + 1800);
            assert_eq!(lord_howe.shown(overlap.from + seconds), Some(Shown::Twice(one, other)));
            assert_eq!(lord_howe.overlap(one, other), Some(overlap));
        }
        assert_eq!(lord_howe.shown(overlap.to), Some(Shown::Once(first + 3600)));
    }

    #[test]
    fn a_zone_in_the_wrong_case_is_guessed() {
        assert_eq!(Zone::parse("europe/berlin"), Err(Some("Europe/Berlin")));
        assert_eq!(Zone::parse("Mars/Olympus"), Err(None));
        assert_eq!(Zone::parse(""), Err(None));
    }
}
