//! Filters that the engine lacks or does in another way.

use std::fmt::Write;

use engine::text::parse_float;
use minijinja::formatting::{FormatStyle, format};
use minijinja::value::{ArgType, Kwargs, Value};
use minijinja::{Environment, Error, ErrorKind};
use minijinja_contrib::filters;

use super::{methods, text_of};
use crate::python;

pub(super) fn install(environment: &mut Environment<'_>) {
    // Removed by the reference, or unknown to its engine.
    for name in ["pprint", "tojson", "urlize", "xmlattr", "split", "lines", "bool", "zip", "chain"] {
        environment.remove_filter(name);
    }
    environment.add_filter("format", format_number);
    environment.add_filter("escape", escape);
    environment.add_filter("e", escape);
    environment.add_filter("forceescape", force_escape);
    environment.add_filter("string", string);
    environment.add_filter("int", int);
    environment.add_filter("float", float);
    environment.add_filter("truncate", truncate);
    environment.add_filter("center", center);
    environment.add_filter("urlencode", urlencode);
    environment.add_filter("wordcount", |text: String| python::words(&text).count());
    environment.add_filter("filesizeformat", filters::filesizeformat);
    environment.add_filter("striptags", filters::striptags);
}

/// `{{ 3.14159|format("%.2f") }}`: the contract's `format` puts one number into a printf form.
fn format_number(value: Value, form: String) -> Result<String, Error> {
    methods::check_printf(&form)?;
    let number = match value.as_str() {
        Some(text) => parse_float(text),
        None => f64::try_from(value.clone()).ok(),
    };
    let refused = || Error::new(ErrorKind::InvalidOperation, format!("could not convert string to float: '{value}'"));
    format(FormatStyle::Printf, &form, &[Value::from(number.ok_or_else(refused)?)])
}

fn escape(value: Value) -> Result<Value, Error> {
    if value.is_safe() { Ok(value) } else { force_escape(value) }
}

fn force_escape(value: Value) -> Result<Value, Error> {
    Ok(Value::from_safe_string(escaped(&text_of(&value)?)))
}

fn string(value: Value) -> Result<Value, Error> {
    if value.is_safe() { Ok(value) } else { text_of(&value).map(Value::from) }
}

pub(super) fn escaped(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for letter in text.chars() {
        match letter {
            '&' => out.push_str("&amp;"),
            '<' => out.push_str("&lt;"),
            '>' => out.push_str("&gt;"),
            '\'' => out.push_str("&#39;"),
            '"' => out.push_str("&#34;"),
            _ => out.push(letter),
        }
    }
    out
}

/// The number in a value, as `float()` reads it.
fn number(value: &Value) -> Option<f64> {
    match value.as_str() {
        Some(text) => parse_float(text),
        None => f64::try_from(value.clone()).ok(),
    }
}

/// A whole number, or the default (0) for what is none.
fn int(value: Value, default: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let default = argument(default, &kwargs, "default")?;
    kwargs.assert_all_used()?;
    let whole = match value.as_str() {
        Some(text) => python::strip(text).parse::<i128>().ok(),
        None => i128::try_from(value.clone()).ok(),
    };
    // A float-to-integer cast saturates far beyond what JSON holds.
    let whole = whole.or_else(|| number(&value).filter(|number| number.is_finite()).map(|number| number as i128));
    Ok(whole.map_or_else(|| default.unwrap_or_else(|| Value::from(0)), Value::from))
}

/// A number, or the default (0.0) for what is none.
fn float(value: Value, default: Option<Value>, kwargs: Kwargs) -> Result<Value, Error> {
    let default = argument(default, &kwargs, "default")?;
    kwargs.assert_all_used()?;
    Ok(number(&value).map_or_else(|| default.unwrap_or_else(|| Value::from(0.0)), Value::from))
}

/// Cuts a text at a word, or anywhere with `killwords`, when it is longer than the length and a leeway.
fn truncate(text: String, length: Option<usize>, killwords: Option<bool>, end: Option<String>, kwargs: Kwargs) -> Result<String, Error> {
    let length = argument(length, &kwargs, "length")?.unwrap_or(255);
    let killwords = argument(killwords, &kwargs, "killwords")?.unwrap_or_default();
    let end = argument(end, &kwargs, "end")?.unwrap_or_else(|| "...".to_owned());
    let leeway = argument(None, &kwargs, "leeway")?.unwrap_or(5);
    kwargs.assert_all_used()?;
    if text.chars().count() <= length.saturating_add(leeway) {
        return Ok(text);
    }
    let kept: String = text.chars().take(length.saturating_sub(end.chars().count())).collect();
    let kept = match kept.rsplit_once(' ') {
        Some((words, _)) if !killwords => words,
        _ => &kept,
    };
    Ok(format!("{kept}{end}"))
}

/// An argument given by place or else by name.
fn argument<'a, T: ArgType<'a, Output = T>>(by_place: Option<T>, kwargs: &'a Kwargs, name: &'a str) -> Result<Option<T>, Error>
where
    Option<T>: ArgType<'a, Output = Option<T>>,
{
    match by_place {
        Some(given) => Ok(Some(given)),
        None => kwargs.get::<Option<T>>(name),
    }
}

/// Pads on both sides.
fn center(text: String, width: Option<usize>) -> Result<String, Error> {
    const WIDEST: usize = 100_000;
    let width = width.unwrap_or(80);
    if width > WIDEST {
        return Err(Error::new(ErrorKind::InvalidOperation, "the width is too large"));
    }
    let missing = width.saturating_sub(text.chars().count());
    let left = missing / 2 + (missing & width & 1);
    Ok(format!("{}{text}{}", " ".repeat(left), " ".repeat(missing - left)))
}

/// Percent-encodes a text; slashes stay.
fn urlencode(value: Value) -> Result<String, Error> {
    let mut encoded = String::new();
    for byte in text_of(&value)?.bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' | b'/' => encoded.push(char::from(byte)),
            // Writing to a String cannot fail.
            _ => _ = write!(encoded, "%{byte:02X}"),
        }
    }
    Ok(encoded)
}
