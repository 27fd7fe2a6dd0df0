//! What a line of the dialect may look like.
//!
//! The reference is lenient in places and saved schedules may depend on it: digits of any script, `5/15` (from 5 on, every 15),
//! `last` as a day of the month, and text after a name, which is ignored (`mon#1` is Monday).

use engine::text::digit;

/// A line that was understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ContractCron {
    pub(super) minute: Field,
    pub(super) hour: Field,
    pub(super) day: Field,
    pub(super) month: Field,
    pub(super) weekday: Field,
}

/// A refused line: what is wrong, and what a good one looks like.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum CronError {
    #[error(
        "Wrong number of fields; got {got}, expected 5: minute, hour, day of month, month, day of week (0 = Monday), for example \"0 9 * * mon-fri\""
    )]
    FieldCount { got: usize },
    #[error(
        "Unrecognized expression \"{text}\" for field \"{field}\": use *, a number, a range such as 1-5, a step such as */15, or a list of these"
    )]
    Unrecognized { text: String, field: &'static str },
    #[error("Error validating expression \"{text}\" for field \"{field}\": {reason}")]
    Invalid { text: String, field: &'static str, reason: String },
}

/// One field of a line: it matches what any of its terms matches.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Field {
    pub kind: FieldKind,
    pub terms: Vec<Term>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FieldKind {
    Minute,
    Hour,
    Day,
    Month,
    Weekday,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Term {
    /// `*` or `*/step`.
    Every { step: u32 },
    /// `first`, `first-last`, `first/step` (no upper end) or `first-last/step`.
    Range { first: u32, last: Option<u32>, step: u32 },
    /// The last day of the month.
    LastDay,
}

impl FieldKind {
    pub fn name(self) -> &'static str {
        match self {
            Self::Minute => "minute",
            Self::Hour => "hour",
            Self::Day => "day",
            Self::Month => "month",
            Self::Weekday => "day_of_week",
        }
    }

    pub fn min(self) -> u32 {
        match self {
            Self::Day | Self::Month => 1,
            Self::Minute | Self::Hour | Self::Weekday => 0,
        }
    }

    /// The largest value in any month.
    pub fn max(self) -> u32 {
        match self {
            Self::Minute => 59,
            Self::Hour => 23,
            Self::Day => 31,
            Self::Month => 12,
            Self::Weekday => 6,
        }
    }

    /// Names of the values, from the smallest one on.
    fn names(self) -> &'static [&'static str] {
        match self {
            Self::Month => &["jan", "feb", "mar", "apr", "may", "jun", "jul", "aug", "sep", "oct", "nov", "dec"],
            Self::Weekday => &["mon", "tue", "wed", "thu", "fri", "sat", "sun"],
            Self::Minute | Self::Hour | Self::Day => &[],
        }
    }
}

impl std::str::FromStr for ContractCron {
    type Err = CronError;

    fn from_str(line: &str) -> Result<Self, CronError> {
        let fields: Vec<&str> = line.split(is_space).filter(|field| !field.is_empty()).collect();
        let [minute, hour, day, month, weekday] = fields[..] else {
            return Err(CronError::FieldCount { got: fields.len() });
        };
        Ok(Self {
            minute: Field::parse(FieldKind::Minute, minute)?,
            hour: Field::parse(FieldKind::Hour, hour)?,
            day: Field::parse(FieldKind::Day, day)?,
            month: Field::parse(FieldKind::Month, month)?,
            weekday: Field::parse(FieldKind::Weekday, weekday)?,
        })
    }
}

/// White space as the reference's language splits by it: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

impl Field {
    fn parse(kind: FieldKind, text: &str) -> Result<Self, CronError> {
        let terms = text.split(',').map(|term| parse_term(kind, term)).collect::<Result<_, _>>()?;
        Ok(Self { kind, terms })
    }
}

fn parse_term(kind: FieldKind, text: &str) -> Result<Term, CronError> {
    let invalid = |reason: String| CronError::Invalid {
        text: text.to_owned(),
        field: kind.name(),
        reason,
    };
    if let Some(term) = numeric_term(text) {
        return check(kind, term).map_err(invalid);
    }
    let word: String = text.chars().take_while(|c| is_letter(*c)).collect();
    if kind == FieldKind::Day && is_last(text) {
        return Ok(Term::LastDay);
    }
    if kind.names().is_empty() || word.is_empty() {
        return Err(CronError::Unrecognized {
            text: text.to_owned(),
            field: kind.name(),
        });
    }
    let value = |name: &str| {
        let place = kind.names().iter().position(|known| name.to_lowercase() == *known);
        let place = place.and_then(|place| u32::try_from(place).ok());
        place
            .map(|place| place + kind.min())
            .ok_or_else(|| invalid(format!("there is no {} named \"{name}\"", kind.name())))
    };
    let first = value(&word)?;
    let after = text.get(word.len()..).unwrap_or_default();
    // What follows the name is a range when letters follow the hyphen, and otherwise ignored.
    let until: String = after
        .strip_prefix('-')
        .unwrap_or_default()
        .chars()
        .take_while(|c| is_letter(*c))
        .collect();
    let last = if until.is_empty() { first } else { value(&until)? };
    let term = Numeric {
        first: Some(first),
        last: Some(last),
        step: None,
    };
    check(kind, term).map_err(invalid)
}

/// The numbers of a term; no `first` means `*`.
struct Numeric {
    first: Option<u32>,
    last: Option<u32>,
    step: Option<u32>,
}

/// `*`, `*/n`, `a`, `a-b`, `a/n`, `a-b/n` with nothing around.
fn numeric_term(text: &str) -> Option<Numeric> {
    let (range, step) = match text.split_once('/') {
        Some((range, step)) => (range, Some(number(step)?)),
        None => (text, None),
    };
    if range == "*" {
        return Some(Numeric {
            first: None,
            last: None,
            step,
        });
    }
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (number(first)?, Some(number(last)?)),
        None => (number(range)?, None),
    };
    Some(Numeric {
        first: Some(first),
        last,
        step,
    })
}

/// Digits only; numbers beyond every bound saturate.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() {
        return None;
    }
    text.chars().try_fold(0_u32, |number, c| {
        let value = digit(c)?.to_digit(10)?;
        Some(number.saturating_mul(10).saturating_add(value))
    })
}

fn check(kind: FieldKind, term: Numeric) -> Result<Term, String> {
    let (min, max) = (kind.min(), kind.max());
    if term.step == Some(0) {
        return Err("the step must be higher than 0".to_owned());
    }
    let Some(first) = term.first else {
        let step = term.step.unwrap_or(1);
        return match step {
            step if term.step.is_some() && step > max - min => Err(too_far(step, max - min)),
            step => Ok(Term::Every { step }),
        };
    };
    let last = term.last.or(if term.step.is_none() { Some(first) } else { None });
    if last.is_some_and(|last| first > last) {
        return Err("the first value must not be higher than the last".to_owned());
    }
    if first < min {
        return Err(format!("the first value ({first}) is lower than the minimum ({min})"));
    }
    if let Some(last) = last.filter(|last| *last > max) {
        return Err(format!("the last value ({last}) is higher than the maximum ({max})"));
    }
    // A range that ends at 0 is measured as if it had no end, and so is accepted with a step.
    let end = last.filter(|last| *last > 0).unwrap_or(max);
    if let Some(step) = term.step {
        let span = end
            .checked_sub(first)
            .ok_or_else(|| format!("the first value ({first}) is higher than the maximum ({max})"))?;
        if step > span {
            return Err(too_far(step, span));
        }
    }
    Ok(Term::Range {
        first,
        last,
        step: term.step.unwrap_or(1),
    })
}

fn too_far(step: u32, span: u32) -> String {
    format!("the step ({step}) is higher than the range spans ({span})")
}

/// `a` to `z` without regard to case, with the two letters beyond ASCII that count as `i`, and those that count as `k` and `s`.
fn is_letter(c: char) -> bool {
    c.is_ascii_alphabetic() || matches!(c, '\u{130}' | '\u{131}' | '\u{17f}' | '\u{212a}')
}

/// Text that begins with `last`.
fn is_last(text: &str) -> bool {
    let mut letters = text.chars().map(|c| if c == '\u{17f}' { 's' } else { c.to_ascii_lowercase() });
    "last".chars().all(|expected| letters.next() == Some(expected))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn weekday(text: &str) -> Result<Vec<Term>, CronError> {
        format!("0 9 * * {text}").parse::<ContractCron>().map(|cron| cron.weekday.terms)
    }

    fn exactly(value: u32) -> Term {
        Term::Range {
            first: value,
            last: Some(value),
            step: 1,
        }
    }

    #[test]
    fn weekdays_count_from_monday() {
        assert_eq!(weekday("0,6"), Ok(vec![exactly(0), exactly(6)]));
        assert_eq!(weekday("Mon,SUN"), Ok(vec![exactly(0), exactly(6)]));
        assert!(weekday("7").is_err());
    }

    #[test]
    fn text_after_a_name_is_ignored() {
        for text in ["mon#1", "mon-", "mon-3", "mon/2", "mon?!"] {
            assert_eq!(weekday(text), Ok(vec![exactly(0)]), "{text}");
        }
        assert!(weekday("monday").is_err());
        assert!(weekday("mon-friday").is_err());
    }

    #[test]
    fn white_space_and_digits_of_any_script_are_understood() {
        let odd: ContractCron = "\u{a0}٠\t09\n*\u{1f}*  *".parse().unwrap();
        assert_eq!(odd, "0 9 * * *".parse().unwrap());
    }

    #[test]
    fn a_refusal_names_field_and_text() {
        let error = "0 25 * * *".parse::<ContractCron>().unwrap_err().to_string();
        assert!(error.contains("\"25\"") && error.contains("hour"), "{error}");
        let error = "@daily".parse::<ContractCron>().unwrap_err().to_string();
        assert!(error.contains("got 1, expected 5"), "{error}");
    }

    #[test]
    fn steps_must_fit_their_range() {
        for (line, accepted) in [
            ("*/59 * * * *", true),
            ("*/60 * * * *", false),
            ("*/0 * * * *", false),
            ("5/54 * * * *", true),
            ("5/55 * * * *", false),
            ("59/1 * * * *", false),
            ("70/1 * * * *", false),
            ("0-0/5 * * * *", true),
            ("1-1/1 * * * *", false),
            ("99999999999999999999 * * * *", false),
        ] {
            assert_eq!(line.parse::<ContractCron>().is_ok(), accepted, "{line}");
        }
    }
}
