//! Instants on the wire: UTC with `Z`, six fractional digits, none when they are zero (rest.md trap 2).

use chrono::{DateTime, Datelike, Duration, DurationRound, NaiveDateTime, Timelike, Utc};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

/// A UTC instant with microsecond precision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Timestamp(DateTime<Utc>);

impl Timestamp {
    pub fn now() -> Self {
        Self::from(Utc::now())
    }

    pub fn into_inner(self) -> DateTime<Utc> {
        self.0
    }

    /// Seconds from `earlier` to `self`; negative when `earlier` is later.
    pub fn seconds_since(self, earlier: Self) -> f64 {
        (self.0 - earlier.0).num_microseconds().unwrap_or(i64::MAX) as f64 / 1e6
    }
}

impl From<DateTime<Utc>> for Timestamp {
    fn from(instant: DateTime<Utc>) -> Self {
        Self(instant.duration_trunc(Duration::microseconds(1)).unwrap_or(instant))
    }
}

impl From<Timestamp> for DateTime<Utc> {
    fn from(timestamp: Timestamp) -> Self {
        timestamp.0
    }
}

impl std::fmt::Display for Timestamp {
    /// Digit by digit: every journal entry and every event holds some, and a formatter that reads its pattern each time shows in profiles.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (date, time) = (self.0.date_naive(), self.0.time());
        // Years outside 0..=9999 have no ISO form that the frontend reads; chrono would print a sign.
        debug_assert!((0..=9999).contains(&date.year()));
        let micros = self.0.timestamp_subsec_micros();
        // A leap second is told by a fraction beyond one.
        let (second, micros) = match micros.checked_sub(1_000_000) {
            Some(rest) => (time.second() + 1, rest),
            None => (time.second(), micros),
        };
        let mut text = *b"0000-00-00T00:00:00.000000Z";
        digits(&mut text, 0..4, date.year().unsigned_abs());
        digits(&mut text, 5..7, date.month());
        digits(&mut text, 8..10, date.day());
        digits(&mut text, 11..13, time.hour());
        digits(&mut text, 14..16, time.minute());
        digits(&mut text, 17..19, second);
        digits(&mut text, 20..26, micros);
        let (seconds, fraction) = text.split_at(19);
        let shown = |bytes| std::str::from_utf8(bytes).map_err(|_| std::fmt::Error);
        f.write_str(shown(seconds)?)?;
        f.write_str(if micros == 0 { "Z" } else { shown(fraction)? })
    }
}

/// Writes a number right-aligned over zeros.
fn digits(text: &mut [u8], place: std::ops::Range<usize>, mut number: u32) {
    for digit in text.get_mut(place).into_iter().flatten().rev() {
        *digit = b'0' + (number % 10) as u8;
        number /= 10;
    }
}

impl std::str::FromStr for Timestamp {
    type Err = chrono::ParseError;
    /// Accepts any RFC 3339 instant, and a time without zone as UTC.
    fn from_str(text: &str) -> Result<Self, chrono::ParseError> {
        DateTime::parse_from_rfc3339(text)
            .map(|instant| Self::from(instant.with_timezone(&Utc)))
            .or_else(|error| {
                NaiveDateTime::parse_from_str(text, "%Y-%m-%dT%H:%M:%S%.f")
                    .map(|naive| Self::from(naive.and_utc()))
                    .map_err(|_| error)
            })
    }
}

impl Serialize for Timestamp {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Timestamp {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<str>::deserialize(deserializer)?;
        text.parse()
            .map_err(|error| D::Error::custom(format!("{text:?} is no date-time: {error}")))
    }
}

#[cfg(test)]
mod tests {
    use super::Timestamp;

    fn round_trip(text: &str) -> String {
        text.parse::<Timestamp>().unwrap().to_string()
    }

    #[test]
    fn six_digits_or_none_and_always_z() {
        assert_eq!(round_trip("2026-01-02T03:04:05.678901234Z"), "2026-01-02T03:04:05.678901Z");
        assert_eq!(round_trip("2026-01-02T03:04:05.5Z"), "2026-01-02T03:04:05.500000Z");
        assert_eq!(round_trip("2026-01-02T03:04:05+00:00"), "2026-01-02T03:04:05Z");
        assert_eq!(round_trip("2026-01-02T03:04:05"), "2026-01-02T03:04:05Z");
        assert_eq!(round_trip("2026-01-02T03:04:05-05:00"), "2026-01-02T08:04:05Z");
        assert_eq!(round_trip("1999-12-31T23:59:60.25Z"), "1999-12-31T23:59:60.250000Z");
        assert_eq!(round_trip("0007-10-20T00:00:00.000001Z"), "0007-10-20T00:00:00.000001Z");
        assert!("yesterday".parse::<Timestamp>().is_err());
    }
}
