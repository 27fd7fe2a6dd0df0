//! Reads dates and times of day as leniently as the reference does (finding 28) and writes them in ISO form.

use chrono::{DateTime, NaiveDate, NaiveDateTime, NaiveTime, Timelike};

/// `2026-11-22`, or a date-time at midnight.
pub(super) fn date(text: &str) -> Option<String> {
    let text = text.trim();
    let plain = NaiveDate::parse_from_str(text, "%Y-%m-%d").ok().filter(|_| text.len() == 10);
    let date = plain.or_else(|| midnight(text)).or_else(|| of_seconds(text))?;
    Some(date.format("%Y-%m-%d").to_string())
}

fn midnight(text: &str) -> Option<NaiveDate> {
    let local = DateTime::parse_from_rfc3339(&text.replacen(' ', "T", 1)).map(|instant| instant.naive_local());
    let forms = ["%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%d %H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M"];
    let local = local
        .ok()
        .or_else(|| forms.iter().find_map(|form| NaiveDateTime::parse_from_str(text, form).ok()))?;
    (local.time() == NaiveTime::MIN).then(|| local.date())
}

/// Seconds since 1970 that fall on midnight.
fn of_seconds(text: &str) -> Option<NaiveDate> {
    let instant = DateTime::from_timestamp(text.parse().ok()?, 0)?;
    (instant.time() == NaiveTime::MIN).then(|| instant.date_naive())
}

/// `10:20`, `10:20:30`, with a fraction and an offset if need be.
pub(super) fn time(text: &str) -> Option<String> {
    let text = text.trim();
    let (clock, offset) = split_offset(text)?;
    let shaped = clock.len() >= 5 && clock.as_bytes().get(2) == Some(&b':');
    let clock = clock.replacen(',', ".", 1);
    let clock = clock.strip_suffix('.').map_or(clock.as_str(), |_| "");
    let parsed = ["%H:%M:%S%.f", "%H:%M"]
        .iter()
        .find_map(|form| NaiveTime::parse_from_str(clock, form).ok());
    // Chrono reads second 60 as a leap second, which has no place in a time of day.
    let time = parsed.filter(|time| shaped && time.nanosecond() < 1_000_000_000)?;
    let fraction = if time.nanosecond() / 1000 == 0 { "" } else { "%.6f" };
    Some(format!("{}{offset}", time.format(&format!("%H:%M:%S{fraction}"))))
}

/// The time and its offset as `+01:00`, empty when there is none.
fn split_offset(text: &str) -> Option<(&str, String)> {
    if let Some(clock) = text.strip_suffix(['Z', 'z']) {
        return Some((clock, "+00:00".to_owned()));
    }
    let Some(at) = text.rfind(['+', '-']) else {
        return Some((text, String::new()));
    };
    let (clock, offset) = text.split_at(at);
    let digits: String = offset.chars().filter(char::is_ascii_digit).collect();
    let hours: u32 = digits.get(..2)?.parse().ok()?;
    let minutes: u32 = digits.get(2..)?.parse().ok()?;
    let shaped = digits.len() == 4 && hours < 24 && minutes < 60;
    shaped.then(|| (clock, format!("{}{hours:02}:{minutes:02}", offset.get(..1).unwrap_or_default())))
}

#[cfg(test)]
mod tests {
    use super::{date, time};

    #[test]
    fn dates_come_out_in_iso_form() {
        for text in ["2026-11-22", "2026-11-22T00:00:00", "2026-11-22 00:00:00", "2026-11-22T00:00:00Z"] {
            assert_eq!(date(text).as_deref(), Some("2026-11-22"), "{text}");
        }
        for text in ["", "22.11.2026", "2026-13-01", "2026-11-22T01:00:00", "tomorrow", "2026-1-1"] {
            assert_eq!(date(text), None, "{text}");
        }
    }

    #[test]
    fn times_come_out_in_iso_form() {
        let cases = [
            ("10:20", "10:20:00"),
            ("10:20:30.5", "10:20:30.500000"),
            ("10:20:30+01:00", "10:20:30+01:00"),
            ("10:20Z", "10:20:00+00:00"),
        ];
        for (text, expected) in cases {
            assert_eq!(time(text).as_deref(), Some(expected), "{text}");
        }
        for text in ["", "noon", "24:00", "10:61", "10", "10:20:60", "1:2", "10:20+99:00", "10:20:30."] {
            assert_eq!(time(text), None, "{text}");
        }
    }
}
