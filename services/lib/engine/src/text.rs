//! Numbers and JSON as the contract spells them in text (internals §2.5, findings 3, 4 and 6).
//!
//! Saved agents depend on the text forms of the reference's language: `1e-05`, `", "` between list items, `１２` read as twelve.

use serde_json::{Number, Value};

use crate::value::Converted;

/// The zeros of Unicode's runs of ten decimal digits.
#[rustfmt::skip]
const ZEROS: [u32; 66] = [
    0x0030, 0x0660, 0x06F0, 0x07C0, 0x0966, 0x09E6, 0x0A66, 0x0AE6, 0x0B66, 0x0BE6, 0x0C66, 0x0CE6, 0x0D66, 0x0DE6, 0x0E50, 0x0ED0, 0x0F20,
    0x1040, 0x1090, 0x17E0, 0x1810, 0x1946, 0x19D0, 0x1A80, 0x1A90, 0x1B50, 0x1BB0, 0x1C40, 0x1C50, 0xA620, 0xA8D0, 0xA900, 0xA9D0, 0xA9F0,
    0xAA50, 0xABF0, 0xFF10, 0x104A0, 0x10D30, 0x11066, 0x110F0, 0x11136, 0x111D0, 0x112F0, 0x11450, 0x114D0, 0x11650, 0x116C0, 0x11730,
    0x118E0, 0x11950, 0x11C50, 0x11D50, 0x11DA0, 0x16A60, 0x16AC0, 0x16B50, 0x1D7CE, 0x1D7D8, 0x1D7E2, 0x1D7EC, 0x1D7F6, 0x1E140, 0x1E2F0,
    0x1E950, 0x1FBF0,
];

/// A decimal digit of any script, as ASCII.
pub fn digit(c: char) -> Option<char> {
    if c.is_ascii() {
        return c.is_ascii_digit().then_some(c);
    }
    let code = u32::from(c);
    let run = ZEROS.partition_point(|zero| *zero <= code).checked_sub(1)?;
    let value = code.checked_sub(*ZEROS.get(run)?)?;
    char::from_digit(value, 10)
}

/// White space: Unicode's, and the four separators of ASCII.
fn is_space(c: char) -> bool {
    c.is_whitespace() || ('\u{1c}'..='\u{1f}').contains(&c)
}

/// Text without white space at its ends.
pub fn strip(text: &str) -> &str {
    text.trim_matches(is_space)
}

/// Digits as ASCII, single underscores between digits removed. `None` for an underscore elsewhere.
fn plain_number(text: &str) -> Option<String> {
    let mut plain = String::with_capacity(text.len());
    let mut characters = strip(text).chars().peekable();
    let mut after_digit = false;
    while let Some(c) = characters.next() {
        let ascii = digit(c);
        if c == '_' {
            let before_digit = characters.peek().copied().and_then(digit).is_some();
            if !(after_digit && before_digit) {
                return None;
            }
        } else {
            plain.push(ascii.unwrap_or(c));
        }
        after_digit = ascii.is_some();
    }
    Some(plain)
}

/// A number as text, `inf` and `nan` among them; `None` for anything else.
pub fn parse_float(text: &str) -> Option<f64> {
    let plain = plain_number(text)?;
    let unsigned = plain.strip_prefix(['+', '-']).unwrap_or(&plain);
    let starts_well = unsigned.starts_with(|c: char| c.is_ascii_digit() || c == '.');
    let named = ["inf", "infinity", "nan"].iter().any(|name| unsigned.eq_ignore_ascii_case(name));
    if !starts_well && !named {
        return None;
    }
    plain.parse().ok()
}

/// An index as text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Index {
    FromStart(usize),
    /// `-1` is `FromEnd(1)`, the last element.
    FromEnd(usize),
}

/// A whole number as text: sign, spaces around it and underscores inside allowed. Values beyond `usize` saturate.
pub fn parse_index(text: &str) -> Option<Index> {
    let plain = plain_number(text)?;
    let (negative, digits) = match plain.strip_prefix('-') {
        Some(digits) => (true, digits),
        None => (false, plain.strip_prefix('+').unwrap_or(&plain)),
    };
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let size = digits.parse().unwrap_or(usize::MAX);
    Some(if negative && size > 0 {
        Index::FromEnd(size)
    } else {
        Index::FromStart(size)
    })
}

/// The shortest text that reads back as the same number: `0.0001`, `1e-05`, `1e+16`, `100.0`.
pub fn float_text(number: f64) -> String {
    if !number.is_finite() {
        let name = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "Infinity"
        } else {
            "-Infinity"
        };
        return name.to_owned();
    }
    if is_wide_integer(number) {
        return format!("{number:.0}");
    }
    let scientific = format!("{number:e}");
    let Some((mantissa, exponent)) = scientific.split_once('e') else {
        return scientific;
    };
    let exponent: i32 = exponent.parse().unwrap_or_default();
    if (-4..16).contains(&exponent) {
        return format!("{number:?}");
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{mantissa}e{sign}{:02}", exponent.abs())
}

/// An integer too large for 64 bits is a float to us. Below 10²¹ its text is digits, as browsers and PostgreSQL write it.
fn is_wide_integer(number: f64) -> bool {
    const FIRST_BEYOND_64_BITS: f64 = 18_446_744_073_709_551_616.0;
    let size = number.abs();
    size < 1e21 && (size >= FIRST_BEYOND_64_BITS || (number < 0.0 && size > FIRST_BEYOND_64_BITS / 2.0))
}

/// JSON text with `", "` and `": "` between the parts and ASCII escapes.
pub fn json_text(value: &Converted) -> String {
    let mut text = String::new();
    write_converted(value, &mut text);
    text
}

fn write_converted(value: &Converted, text: &mut String) {
    match value {
        Converted::Value(value) => write_value(value, text),
        Converted::NonFinite(number) => text.push_str(&float_text(*number)),
        Converted::List(items) => write_list(items, text, write_converted),
        Converted::Map(entries) => write_map(entries, text, write_converted),
    }
}

fn write_value(value: &Value, text: &mut String) {
    match value {
        Value::Null => text.push_str("null"),
        Value::Bool(flag) => text.push_str(if *flag { "true" } else { "false" }),
        Value::Number(number) => text.push_str(&number_text(number)),
        Value::String(content) => write_string(content, text),
        Value::Array(items) => write_list(items, text, write_value),
        Value::Object(entries) => write_map(entries, text, write_value),
    }
}

fn write_list<T>(items: &[T], text: &mut String, write: impl Fn(&T, &mut String)) {
    text.push('[');
    for (position, item) in items.iter().enumerate() {
        if position > 0 {
            text.push_str(", ");
        }
        write(item, text);
    }
    text.push(']');
}

fn write_map<'a, T: 'a>(entries: impl IntoIterator<Item = (&'a String, &'a T)>, text: &mut String, write: impl Fn(&T, &mut String)) {
    text.push('{');
    for (position, (key, value)) in entries.into_iter().enumerate() {
        if position > 0 {
            text.push_str(", ");
        }
        write_string(key, text);
        text.push_str(": ");
        write(value, text);
    }
    text.push('}');
}

fn number_text(number: &Number) -> String {
    match number.as_f64() {
        Some(float) if number.is_f64() => float_text(float),
        _ => number.to_string(),
    }
}

fn write_string(content: &str, text: &mut String) {
    text.push('"');
    for c in content.chars() {
        match c {
            '"' => text.push_str("\\\""),
            '\\' => text.push_str("\\\\"),
            '\n' => text.push_str("\\n"),
            '\r' => text.push_str("\\r"),
            '\t' => text.push_str("\\t"),
            '\u{8}' => text.push_str("\\b"),
            '\u{c}' => text.push_str("\\f"),
            ' '..='\u{7e}' => text.push(c),
            _ => {
                for unit in c.encode_utf16(&mut [0; 2]) {
                    text.push_str(&format!("\\u{unit:04x}"));
                }
            }
        }
    }
    text.push('"');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn floats_are_written_as_in_the_contract() {
        let cases = [
            (100.0, "100.0"),
            (-0.0, "-0.0"),
            (0.0001, "0.0001"),
            (1e-5, "1e-05"),
            (1e15, "1000000000000000.0"),
            (1e16, "1e+16"),
            (1.5e-7, "1.5e-07"),
            (1e20, "100000000000000000000"),
            (1e21, "1e+21"),
            (f64::MAX, "1.7976931348623157e+308"),
            (5e-324, "5e-324"),
        ];
        for (number, text) in cases {
            assert_eq!(float_text(number), text);
        }
    }

    #[test]
    fn numbers_are_read_leniently() {
        assert_eq!(parse_float(" 1_000.5\u{1c}"), Some(1000.5));
        assert_eq!(parse_float("١٢"), Some(12.0));
        assert_eq!(parse_float("-iNf"), Some(f64::NEG_INFINITY));
        assert!(parse_float("nan").is_some_and(f64::is_nan));
        for text in ["", "1__0", "_1", "1_", "1 000", "²", "½", "0x10", "e5", ".", "+-1", "infinit", "1_.5"] {
            assert_eq!(parse_float(text), None, "{text}");
        }
        assert_eq!(parse_index(" +1_0 "), Some(Index::FromStart(10)));
        assert_eq!(parse_index("-2"), Some(Index::FromEnd(2)));
        assert_eq!(parse_index("-0"), Some(Index::FromStart(0)));
        assert_eq!(parse_index("99999999999999999999999"), Some(Index::FromStart(usize::MAX)));
        for text in ["", "1.0", "--1", "a", "-", "0x0"] {
            assert_eq!(parse_index(text), None, "{text}");
        }
    }

    #[test]
    fn json_is_written_with_spaces_and_ascii() {
        let value = serde_json::json!({"é\u{1}": [1, 1e16, "😀\"\n\u{7f}"], "n": null});
        assert_eq!(
            json_text(&Converted::Value(value)),
            r#"{"\u00e9\u0001": [1, 1e+16, "\ud83d\ude00\"\n\u007f"], "n": null}"#
        );
    }
}
