//! One field of a line: a list of values, ranges and steps.

use super::days::{DaysOfMonth, DaysOfWeek};

/// What a field may hold.
#[derive(Debug)]
pub struct Kind {
    pub name: &'static str,
    min: u32,
    max: u32,
    /// Names of the values from `min` on, in capitals.
    names: &'static [&'static str],
}

pub const SECOND: Kind = numbers("second", 0, 59);
pub const MINUTE: Kind = numbers("minute", 0, 59);
pub const HOUR: Kind = numbers("hour", 0, 23);
const DAY_OF_MONTH: Kind = numbers("day-of-month", 1, 31);
pub const MONTH: Kind = Kind {
    names: &["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"],
    ..numbers("month", 1, 12)
};
/// 7 is Sunday as well.
const WEEKDAY: Kind = Kind {
    names: &["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"],
    ..numbers("weekday", 0, 7)
};
const SUNDAYS: u64 = 1 | 1 << 7;

const fn numbers(name: &'static str, min: u32, max: u32) -> Kind {
    Kind { name, min, max, names: &[] }
}

/// A term that was refused, and why.
#[derive(Debug, PartialEq, Eq)]
pub struct Refusal {
    pub field: &'static str,
    pub term: String,
    pub why: String,
}

/// What a plain field asks for.
#[derive(Debug, PartialEq, Eq)]
pub struct Values {
    pub set: u64,
    /// It has a star, a step or all values: a line with such a time of day follows the wall clock.
    pub recurs: bool,
}

/// A second, minute, hour or month.
pub fn values(kind: &Kind, text: &str) -> Result<Values, Refusal> {
    let mut set = 0;
    each_term(kind, text, |term| kind.values(term).map(|values| set |= values))?;
    Ok(Values {
        set,
        recurs: text.contains(['*', '/']) || set == kind.all(),
    })
}

pub fn days_of_month(text: &str) -> Result<DaysOfMonth, Refusal> {
    let mut days = DaysOfMonth {
        unrestricted: is_unrestricted(text),
        ..DaysOfMonth::default()
    };
    if days.unrestricted {
        return Ok(days);
    }
    each_term(&DAY_OF_MONTH, text, |term| {
        if term == "L" {
            days.before_last |= 1;
        } else if term == "LW" || term == "WL" {
            days.last_weekday = true;
        } else if let Some(before) = term.strip_prefix("L-") {
            let before = number(before).filter(|before| (1..=30).contains(before));
            days.before_last |= 1 << before.ok_or("days before the last of the month are L-1 to L-30")?;
        } else if let Some(day) = term.strip_suffix('W') {
            let day = DAY_OF_MONTH.value(day).map_err(|_| "the weekday nearest to a day is 1W to 31W, or LW")?;
            days.nearest_weekday |= 1 << day;
        } else {
            days.days |= DAY_OF_MONTH.values(term)?;
        }
        Ok(())
    })?;
    Ok(days)
}

pub fn days_of_week(text: &str) -> Result<DaysOfWeek, Refusal> {
    let mut days = DaysOfWeek {
        unrestricted: is_unrestricted(text),
        ..DaysOfWeek::default()
    };
    if days.unrestricted {
        return Ok(days);
    }
    each_term(&WEEKDAY, text, |term| {
        if term == "L" {
            return Err("say which weekday: 5L or FRIL is the last Friday of the month".to_owned());
        }
        if let Some((weekday, place)) = term.split_once('#') {
            let weekday = 1 << (WEEKDAY.value(weekday)? % 7);
            let last = if place == "L" { Some(&mut days.last) } else { None };
            let nth = number(place).and_then(|place| days.nth.get_mut(usize::try_from(place).ok()?.checked_sub(1)?));
            *last.or(nth).ok_or("behind # comes 1 to 5, or L: 5#2 is the second Friday of the month")? |= weekday;
        } else if let Some(weekday) = term.strip_suffix('L') {
            days.last |= 1 << (WEEKDAY.value(weekday)? % 7);
        } else {
            days.every |= WEEKDAY.values(term)?;
        }
        Ok(())
    })?;
    if days.every & SUNDAYS != 0 {
        days.every = (days.every | 1) & !(1 << 7);
    }
    Ok(days)
}

fn is_unrestricted(text: &str) -> bool {
    matches!(text, "*" | "?" | "*/1")
}

/// Calls for each term of the list, in capitals.
fn each_term(kind: &Kind, text: &str, mut term_of: impl FnMut(&str) -> Result<(), String>) -> Result<(), Refusal> {
    for term in text.split(',') {
        term_of(&term.to_ascii_uppercase()).map_err(|why| Refusal {
            field: kind.name,
            term: term.to_owned(),
            why,
        })?;
    }
    Ok(())
}

impl Kind {
    /// The values of `*`, `a`, `a-b`, and of each with a step.
    fn values(&self, term: &str) -> Result<u64, String> {
        let (range, step) = match term.split_once('/') {
            Some((range, step)) => (range, Some(self.step(step)?)),
            None => (term, None),
        };
        let (first, last) = if range == "*" {
            (self.min, self.top())
        } else if let Some((first, last)) = range.split_once('-') {
            self.range(self.value(first)?, self.value(last)?)?
        } else {
            let first = self.value(range)?;
            match step {
                Some(_) if self.is_sunday(first) => (0, self.top()),
                Some(_) => (first, self.top()),
                None => (first, first),
            }
        };
        let step = usize::try_from(step.unwrap_or(1)).unwrap_or(usize::MAX);
        Ok((first..=last).step_by(step).fold(0, |set, value| set | 1 << value))
    }

    fn range(&self, first: u32, last: u32) -> Result<(u32, u32), String> {
        // A week may begin or end with Sunday.
        let week = self.max == 7;
        let first_is_last = week && first == 7;
        let (first, last) = match (first, last) {
            _ if first == last => (first, last),
            (7, _) if first_is_last => (0, last),
            (_, 0) if week => (first, 7),
            both => both,
        };
        if first <= last {
            return Ok((first, last));
        }
        let (min, top) = (self.min, self.top());
        Err(format!("a range goes upwards; write {first}-{top},{min}-{last} instead"))
    }

    fn step(&self, text: &str) -> Result<u32, String> {
        let size = self.top() - self.min + 1;
        match number(text) {
            Some(step) if (1..=size).contains(&step) => Ok(step),
            Some(0) => Err("a step is at least 1".to_owned()),
            Some(step) => Err(format!(
                "a step of {step} leads out of the field, which has {size} values and begins anew with every round; list the times instead"
            )),
            None => Err("behind / comes a number, as in */15".to_owned()),
        }
    }

    /// A number or a name.
    fn value(&self, text: &str) -> Result<u32, String> {
        let (min, max) = (self.min, self.max);
        if let Some(value) = number(text) {
            return match (min..=max).contains(&value) {
                true => Ok(value),
                false => Err(format!("{value} is not from {min} to {max}")),
            };
        }
        let named = (min..).zip(self.names).find(|(_, name)| **name == text);
        named.map(|(value, _)| value).ok_or_else(|| {
            let names = match self.names {
                [] => String::new(),
                [first, .., last] => format!(" or a name from {first} to {last}"),
                [only] => format!(" or {only}"),
            };
            format!("use a number from {min} to {max}{names}, * for all, a range such as 1-5, a step such as */2, or a list of these")
        })
    }

    fn is_sunday(&self, value: u32) -> bool {
        self.max == 7 && value == 7
    }

    /// The last of the values that are all different.
    fn top(&self) -> u32 {
        if self.max == 7 { 6 } else { self.max }
    }

    fn all(&self) -> u64 {
        (2 << self.top()) - (1 << self.min)
    }
}

/// Digits only; numbers beyond every bound saturate.
fn number(text: &str) -> Option<u32> {
    if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    Some(text.parse().unwrap_or(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::super::members;
    use super::*;

    fn minutes(text: &str) -> Vec<u32> {
        members(values(&MINUTE, text).unwrap().set).collect()
    }

    fn weekdays(text: &str) -> Vec<u32> {
        members(days_of_week(text).unwrap().every).collect()
    }

    #[test]
    fn lists_ranges_and_steps() {
        assert_eq!(minutes("5"), [5]);
        assert_eq!(minutes("*"), (0..60).collect::<Vec<_>>());
        assert_eq!(minutes("*/20"), [0, 20, 40]);
        assert_eq!(minutes("7/20"), [7, 27, 47]);
        assert_eq!(minutes("10-40/15,55,007"), [7, 10, 25, 40, 55]);
        assert_eq!(minutes("9-9/1"), [9]);
        assert_eq!(minutes("*/60"), [0]);
    }

    #[test]
    fn a_field_recurs_by_a_star_a_step_or_all_values() {
        for (text, recurs) in [
            ("*", true),
            ("*/5", true),
            ("3/5", true),
            ("9-9/1", true),
            ("0-59", true),
            ("0-58", false),
            ("1,2", false),
        ] {
            assert_eq!(values(&MINUTE, text).unwrap().recurs, recurs, "{text}");
        }
    }

    #[test]
    fn sunday_begins_and_ends_the_week() {
        for text in ["0", "7", "sun", "7-7", "Sun-SUN", "0-0"] {
            assert_eq!(weekdays(text), [0], "{text}");
        }
        for text in ["5-7", "fri-sun", "5-0", "5,6,7"] {
            assert_eq!(weekdays(text), [0, 5, 6], "{text}");
        }
        for text in ["sun-tue", "0-2", "7-2"] {
            assert_eq!(weekdays(text), [0, 1, 2], "{text}");
        }
        assert_eq!(weekdays("0-7"), [0, 1, 2, 3, 4, 5, 6]);
        assert_eq!(weekdays("1/2"), [1, 3, 5]);
        assert_eq!(weekdays("7/2"), [0, 2, 4, 6]);
        assert_eq!(weekdays("*/3"), [0, 3, 6]);
    }

    #[test]
    fn the_special_days() {
        let days = days_of_month("l,LW,L-2,15w,3").unwrap();
        let expected = DaysOfMonth {
            unrestricted: false,
            days: 1 << 3,
            before_last: 1 | 1 << 2,
            nearest_weekday: 1 << 15,
            last_weekday: true,
        };
        assert_eq!(days, expected);
        let days = days_of_week("5L,mon#l,7#2,tue").unwrap();
        let expected = DaysOfWeek {
            unrestricted: false,
            every: 1 << 2,
            nth: [0, 1, 0, 0, 0],
            last: 1 << 5 | 1 << 1,
        };
        assert_eq!(days, expected);
    }

    #[test]
    fn a_refusal_says_what_to_write() {
        let why = |refused: Result<(), Refusal>| refused.unwrap_err().why;
        let minute = |text| why(values(&MINUTE, text).map(drop));
        let day = |text| why(days_of_month(text).map(drop));
        let weekday = |text| why(days_of_week(text).map(drop));
        for (why, part) in [
            (minute("60"), "60 is not from 0 to 59"),
            (minute("99999999999"), "is not from 0 to 59"),
            (minute("50-10"), "write 50-59,0-10"),
            (minute("*/90"), "a step of 90 leads out"),
            (minute("*/0"), "at least 1"),
            (minute("*/"), "as in */15"),
            (minute("1,,2"), "use a number from 0 to 59"),
            (minute("٣"), "use a number"),
            (minute("-5"), "use a number"),
            (minute("?"), "use a number"),
            (day("0"), "0 is not from 1 to 31"),
            (day("W"), "1W to 31W"),
            (day("32W"), "1W to 31W"),
            (day("L-31"), "L-1 to L-30"),
            (weekday("8"), "8 is not from 0 to 7"),
            (weekday("fri-mon"), "write 5-6,0-1"),
            (weekday("monday"), "a name from SUN to SAT"),
            (weekday("L"), "FRIL"),
            (weekday("5#6"), "1 to 5, or L"),
            (weekday("5#0"), "1 to 5, or L"),
            (weekday("#1"), "use a number"),
        ] {
            assert!(why.contains(part), "{why:?} does not contain {part:?}");
        }
    }
}
