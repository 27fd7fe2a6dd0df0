//! Python's methods of texts. The engine counts what a template makes, but not what these make: they are measured before.

use std::fmt::{self, Write};

use minijinja::value::Value;
use minijinja::{Error, ErrorKind, State};
use minijinja_contrib::pycompat::unknown_method_callback;

use crate::bounds::{LONGEST_TEXT, MOST_VALUES, replaced};

/// What an item of a join counts for at least: as many as that take a moment to look at.
const ITEM: usize = 8;
/// Digits of a number, at most.
const NUMBER: usize = 400;

pub(super) fn call(state: &mut State<'_, '_>, value: &Value, method: &str, args: &[Value]) -> Result<Value, Error> {
    if let Some(text) = value.as_str() {
        measure(text, method, args)?;
    }
    unknown_method_callback(state, value, method, args)
}

fn measure(text: &str, method: &str, args: &[Value]) -> Result<(), Error> {
    match (method, args) {
        ("replace", [old, new, ..]) => match (old.as_str(), new.as_str()) {
            (Some(old), Some(new)) => check(replaced(text, old, new)),
            _ => Ok(()),
        },
        ("join", [items]) => {
            let mut length = 0_usize;
            for item in items.try_iter()? {
                let shown = shown(&item).max(ITEM);
                length = length.saturating_add(shown).saturating_add(text.len());
                check(length)?;
            }
            Ok(())
        }
        ("format", _) => {
            let widest = args.iter().map(shown).max().unwrap_or_default();
            check(form(text, '{', widest))
        }
        _ => Ok(()),
    }
}

/// Refuses a printf form whose widths would make too long a text of one number.
pub(super) fn check_printf(text: &str) -> Result<(), Error> {
    check(form(text, '%', NUMBER))
}

fn check(length: usize) -> Result<(), Error> {
    if length <= LONGEST_TEXT { Ok(()) } else { Err(too_long()) }
}

pub(super) fn too_long() -> Error {
    let text = format!("the text would be longer than {} MiB", LONGEST_TEXT >> 20);
    Error::new(ErrorKind::InvalidOperation, text)
}

/// The length of a form that is filled in, at most, when no value is longer than `widest`: widths and precisions stand in it as numbers.
fn form(text: &str, begin: char, widest: usize) -> usize {
    let mut length = text.len();
    let (mut depth, mut number) = (0_usize, 0_usize);
    for letter in text.chars() {
        if let (Some(digit), true) = (letter.to_digit(10), depth > 0) {
            number = number.saturating_mul(10).saturating_add(digit as usize);
            continue;
        }
        length = length.saturating_add(std::mem::take(&mut number));
        let ends = match begin {
            '{' => letter == '}',
            _ => letter.is_ascii_alphabetic(),
        };
        if letter == begin {
            depth = if begin == '{' { depth + 1 } else { 1 };
            length = length.saturating_add(widest);
        } else if ends {
            depth = depth.saturating_sub(1);
        }
    }
    length.saturating_add(number)
}

/// The length of a value as text; looks no further than matters.
fn shown(value: &Value) -> usize {
    struct Counted(usize);
    impl Write for Counted {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            self.0 = self.0.saturating_add(text.len());
            if self.0 > LONGEST_TEXT { Err(fmt::Error) } else { Ok(()) }
        }
    }
    if let Some(text) = value.as_str() {
        return text.len();
    }
    // What writes a list goes through it to the end.
    if value.len().is_some_and(|length| length > MOST_VALUES) {
        return usize::MAX;
    }
    let mut counted = Counted(0);
    // The error is the stop.
    let _ = write!(counted, "{value}");
    counted.0
}

#[cfg(test)]
mod tests {
    use super::form;

    #[test]
    fn a_form_is_at_least_as_long_as_what_it_makes() {
        assert!(form("{:>1000}", '{', 5) >= 1000);
        assert!(form("%0500d and %.300f", '%', 5) >= 800);
        assert_eq!(form("in 1999999 there was {}", '{', 5), 28, "numbers outside are text");
        assert_eq!(form("99999999999999999999999999", '%', 5), 26);
        assert_eq!(form("{:>99999999999999999999999999}", '{', 5), usize::MAX);
    }
}
