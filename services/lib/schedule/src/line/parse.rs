//! Reads a line.

use super::Line;
use super::days::Days;
use super::field::{self, HOUR, MINUTE, MONTH, Refusal, SECOND, Values};
use crate::error::{CalendarError, LineError};
use crate::spec::{DayMatch, MAX_LINE_BYTES};

/// The words that stand for a whole line.
const WORDS: [(&str, &str); 8] = [
    ("@hourly", "0 * * * *"),
    ("@daily", "0 0 * * *"),
    ("@midnight", "0 0 * * *"),
    ("@weekly", "0 0 * * 0"),
    ("@monthly", "0 0 1 * *"),
    ("@yearly", "0 0 1 1 *"),
    ("@annually", "0 0 1 1 *"),
    ("@every", ""),
];

impl Line {
    /// With `seconds` a line may have a sixth field, the first.
    pub fn parse(text: &str, day_match: DayMatch, seconds: bool) -> Result<Self, CalendarError> {
        let line = fields(text, seconds).and_then(|fields| read(fields, day_match));
        let line = line.map_err(|why| CalendarError::Line { line: shown(text), why })?;
        if line.has_a_date() {
            return Ok(line);
        }
        let meet = line.days.day_match == DayMatch::Both && !line.days.of_month.unrestricted && !line.days.of_week.unrestricted;
        Err(CalendarError::Never {
            line: shown(text),
            why: match meet {
                true => "no day of the month that it names is ever the weekday that it names; change one of them, or set dayMatch: Either",
                false => "none of the months that it names has such a day; L is the last day of every month",
            },
        })
    }
}

/// Second to weekday.
fn fields(text: &str, seconds: bool) -> Result<[&str; 6], LineError> {
    if text.len() > MAX_LINE_BYTES {
        return Err(LineError::TooLong(text.len()));
    }
    let mut fields: Vec<&str> = text.split_whitespace().collect();
    let first = *fields.first().ok_or(LineError::Empty)?;
    if first.starts_with('@') {
        let word = WORDS.iter().find(|(word, _)| fields.len() == 1 && word.eq_ignore_ascii_case(first));
        let line = word.map(|(_, line)| *line).filter(|line| !line.is_empty());
        fields = line.ok_or_else(|| LineError::Word(first.to_owned()))?.split(' ').collect();
    }
    if first.starts_with("TZ=") || first.starts_with("CRON_TZ=") {
        return Err(LineError::Zone);
    }
    match fields[..] {
        [minute, hour, day, month, weekday] => Ok(["0", minute, hour, day, month, weekday]),
        [second, minute, hour, day, month, weekday] if seconds => Ok([second, minute, hour, day, month, weekday]),
        _ => Err(LineError::FieldCount { got: fields.len(), seconds }),
    }
}

fn read([second, minute, hour, day, month, weekday]: [&str; 6], day_match: DayMatch) -> Result<Line, LineError> {
    let read = |kind, text| -> Result<Values, LineError> { Ok(field::values(kind, text)?) };
    let (second, minute, hour) = (read(&SECOND, second)?, read(&MINUTE, minute)?, read(&HOUR, hour)?);
    Ok(Line {
        follows_wall_clock: second.recurs || minute.recurs || hour.recurs,
        seconds: second.set,
        minutes: minute.set,
        hours: hour.set,
        months: read(&MONTH, month)?.set,
        days: Days {
            of_month: field::days_of_month(day)?,
            of_week: field::days_of_week(weekday)?,
            day_match,
        },
    })
}

impl From<Refusal> for LineError {
    fn from(Refusal { field, term, why }: Refusal) -> Self {
        Self::Term { field, term, why }
    }
}

/// A line as it is quoted: not longer than it may be.
fn shown(text: &str) -> String {
    if text.len() <= MAX_LINE_BYTES {
        return text.to_owned();
    }
    let end = (0..=40).rev().find(|end| text.is_char_boundary(*end)).unwrap_or(0);
    format!("{}…", text.get(..end).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str, seconds: bool) -> Result<Line, String> {
        Line::parse(text, DayMatch::Either, seconds).map_err(|error| error.to_string())
    }

    #[test]
    fn words_stand_for_lines() {
        for (word, line) in WORDS.into_iter().filter(|(_, line)| !line.is_empty()) {
            assert_eq!(parse(word, false), parse(line, false));
        }
        assert_eq!(parse(" @Daily\t", true), parse("0 0 0 * * ?", true));
    }

    #[test]
    fn a_refused_line_is_told_what_to_be() {
        for (line, seconds, part) in [
            ("", false, "it is empty"),
            (" \n", false, "it is empty"),
            ("* * *", false, "3 fields instead of five"),
            ("* * * * * *", false, "seconds: true"),
            ("* * * * * * *", true, "startAt and endAt"),
            ("* * * *", true, "or six with the second first"),
            ("every day at nine maybe", false, "\"every\" in the field minute"),
            ("0 24 * * *", false, "\"24\" in the field hour: 24 is not from 0 to 23"),
            ("0 0 * 13 *", false, "\"13\" in the field month"),
            ("@reboot", false, "there is no @reboot"),
            ("@every 5m", false, "there is no @every"),
            ("@daily 5", false, "there is no @daily"),
            ("TZ=UTC 0 0 * * *", false, "timeZone"),
            ("0 0 31 2 *", false, "\"0 0 31 2 *\" is never due"),
            ("0 0 30-31 2 *", false, "is never due"),
            ("0 0 31 4,6,sep,11 *", false, "L is the last day"),
            ("0 0 31W feb *", false, "is never due"),
        ] {
            let error = parse(line, seconds).unwrap_err();
            assert!(error.contains(part), "{line:?}: {error:?} does not contain {part:?}");
        }
        let long = "é".repeat(MAX_LINE_BYTES);
        let error = parse(&long, false).unwrap_err();
        assert!(error.contains("2048 bytes") && error.len() < 300, "{error}");
        let never = Line::parse("0 0 29 2 5#1", DayMatch::Both, false).unwrap_err().to_string();
        assert!(never.contains("dayMatch: Either"), "{never}");
    }

    #[test]
    fn rare_dates_are_dates() {
        for line in ["0 0 29 2 *", "0 0 29 feb 1", "0 0 31 1/2 *", "0 0 L-30 * *", "0 0 31 2 mon"] {
            assert!(parse(line, false).is_ok(), "{line}");
        }
        assert!(Line::parse("0 0 29 2 mon", DayMatch::Both, false).is_ok(), "2044");
    }
}
