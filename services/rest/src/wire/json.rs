//! JSON as clients of the contract send it.
//!
//! The reference's parser also takes `NaN`, `Infinity`, `-Infinity` and numbers beyond a double's range, and such a value
//! comes back as null (findings 22). They are read as null here. A body that needs no such mercy is parsed once.

use std::borrow::Cow;

use serde_json::Value;

/// Where and why a text is no JSON.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Malformed {
    /// Byte offset.
    pub position: usize,
    pub reason: String,
}

/// Values of a body. Each takes some hundred bytes of memory, however few of the body's it takes.
const MOST_VALUES: usize = 2_000_000;
/// A shorter body cannot have so many.
const CANNOT_HAVE_MANY: usize = MOST_VALUES;

/// Reads a body. Nesting deeper than 128 levels, and more than two million values, are refused.
pub fn parse(bytes: &[u8]) -> Result<Value, Malformed> {
    check_values(bytes)?;
    let error = match serde_json::from_slice(bytes) {
        Ok(value) => return Ok(value),
        Err(error) => error,
    };
    match without_unrepresentable(bytes) {
        Cow::Owned(repaired) => serde_json::from_slice(&repaired).map_err(|error| malformed(&repaired, &error)),
        Cow::Borrowed(_) => Err(malformed(bytes, &error)),
    }
}

/// The same of a text that has no such numbers: they are refused.
pub fn parse_strictly(bytes: &[u8]) -> Result<Value, Malformed> {
    check_values(bytes)?;
    serde_json::from_slice(bytes).map_err(|error| malformed(bytes, &error))
}

fn malformed(bytes: &[u8], error: &serde_json::Error) -> Malformed {
    let line_start = bytes
        .split_inclusive(|byte| *byte == b'\n')
        .take(error.line().saturating_sub(1))
        .map(<[u8]>::len)
        .sum::<usize>();
    Malformed {
        position: (line_start + error.column()).saturating_sub(1),
        reason: error.to_string(),
    }
}

/// Counts what separates values, and what begins lists and objects.
fn check_values(bytes: &[u8]) -> Result<(), Malformed> {
    if bytes.len() <= CANNOT_HAVE_MANY {
        return Ok(());
    }
    let mut values = 0;
    let (mut in_string, mut escaped) = (false, false);
    for (position, byte) in bytes.iter().enumerate() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b',' | b'[' | b'{' if !in_string => {
                values += 1;
                if values > MOST_VALUES {
                    let reason = format!("more than {MOST_VALUES} values");
                    return Err(Malformed { position, reason });
                }
            }
            _ => {}
        }
    }
    Ok(())
}

/// The text with every number that JSON cannot hold replaced by null; borrowed when there is none.
fn without_unrepresentable(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut repaired: Option<Vec<u8>> = None;
    let mut at = 0;
    let mut in_string = false;
    while let Some(rest) = bytes.get(at..).filter(|rest| !rest.is_empty()) {
        let (length, replace) = if in_string {
            (string_step(rest, &mut in_string), false)
        } else {
            token(rest, &mut in_string)
        };
        if replace {
            repaired.get_or_insert_with(|| bytes[..at].to_vec()).extend_from_slice(b"null");
        } else if let Some(copy) = &mut repaired {
            copy.extend_from_slice(&rest[..length]);
        }
        at += length;
    }
    repaired.map_or(Cow::Borrowed(bytes), Cow::Owned)
}

/// Length of the next step inside a string: one byte, or an escape.
fn string_step(rest: &[u8], in_string: &mut bool) -> usize {
    match rest {
        [b'\\', _, ..] => 2,
        [b'"', ..] => {
            *in_string = false;
            1
        }
        _ => 1,
    }
}

/// Length of the next token outside strings, and whether it stands for a number that JSON cannot hold.
fn token(rest: &[u8], in_string: &mut bool) -> (usize, bool) {
    for word in [b"NaN".as_slice(), b"Infinity", b"-Infinity"] {
        if rest.starts_with(word) {
            return (word.len(), true);
        }
    }
    match rest[0] {
        b'"' => {
            *in_string = true;
            (1, false)
        }
        b'-' | b'0'..=b'9' => {
            let length = rest
                .iter()
                .take_while(|byte| matches!(byte, b'-' | b'+' | b'.' | b'e' | b'E' | b'0'..=b'9'))
                .count();
            let number = std::str::from_utf8(&rest[..length]).ok().and_then(|text| text.parse::<f64>().ok());
            (length, number.is_some_and(f64::is_infinite))
        }
        _ => (1, false),
    }
}

#[cfg(test)]
mod tests {
    use super::parse;
    use serde_json::json;

    #[test]
    fn numbers_that_json_cannot_hold_become_null() {
        assert_eq!(
            parse(br#"{"a": NaN, "b": [Infinity, -Infinity, 1e999, -1e999], "c": 1}"#).unwrap(),
            json!({"a": null, "b": [null, null, null, null], "c": 1})
        );
        assert_eq!(parse(b"NaN").unwrap(), json!(null));
    }

    #[test]
    fn strings_and_keys_are_left_alone() {
        let text = r#"{"NaN": "NaN \" Infinity \\", "x": 1e999}"#;
        assert_eq!(parse(text.as_bytes()).unwrap(), json!({"NaN": "NaN \" Infinity \\", "x": null}));
    }

    #[test]
    fn floats_keep_every_digit() {
        let text = r#"{"x":-8741.130012345679,"y":0.1,"z":1e-7,"big":123456789012345680000.0}"#;
        assert_eq!(
            serde_json::to_string(&parse(text.as_bytes()).unwrap()).unwrap().replace("e20", "E20"),
            r#"{"x":-8741.130012345679,"y":0.1,"z":1e-7,"big":1.2345678901234568e+20}"#
        );
    }

    #[test]
    fn a_body_has_only_so_many_values() {
        let list = |item: &str, count: usize| format!("[{}]", vec![item; count].join(","));
        assert!(parse(list("0", 1_999_999).as_bytes()).is_ok());
        let refused = parse(list("0", 2_000_001).as_bytes()).unwrap_err();
        assert_eq!(refused.reason, "more than 2000000 values");
        assert!(parse(list("{}", 1_500_000).as_bytes()).is_err());
        assert!(
            parse(format!("[\"{}\\\"\"]", ",[{".repeat(1_000_000)).as_bytes()).is_ok(),
            "text is one value"
        );
    }

    #[test]
    fn other_texts_are_refused_with_their_position() {
        assert_eq!(parse(b"{\n \"a\": }").unwrap_err().position, 8);
        for text in ["", "{", "nan", "{'a': 1}", "[1,]", "{\"a\": NaN", "\"\\ud800\"", "\"\u{1}\"", "NaNa"] {
            assert!(parse(text.as_bytes()).is_err(), "{text}");
        }
        assert!(parse("[".repeat(200).as_bytes()).is_err());
    }
}
