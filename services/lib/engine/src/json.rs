//! Reading JSON text as leniently as the contract does: `NaN`, `Infinity` and numbers too large for a float are numbers (finding 3).

use serde_json::{Map, Value};

use crate::value::Converted;

/// Containers in JSON text may be nested this deeply; deeper text counts as unparsable.
const MAX_TEXT_DEPTH: usize = 96;

/// Reads JSON text, `NaN`, `Infinity` and numbers too large for a float among it. `None` when it is no JSON.
pub fn parse_json(text: &str) -> Option<Converted> {
    let mut reader = Reader { text, position: 0 };
    let value = reader.value(0)?;
    reader.skip_spaces();
    reader.rest().is_empty().then_some(value)
}

struct Reader<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Reader<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn take(&mut self, token: &str) -> bool {
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len();
        }
        found
    }

    fn value(&mut self, depth: usize) -> Option<Converted> {
        if depth > MAX_TEXT_DEPTH {
            return None;
        }
        self.skip_spaces();
        match self.rest().bytes().next()? {
            b'[' => self.list(depth),
            b'{' => self.map(depth),
            b'"' => self.string().map(|content| Converted::Value(Value::String(content))),
            _ => self.word(),
        }
    }

    fn word(&mut self) -> Option<Converted> {
        let words = [
            ("null", Converted::Value(Value::Null)),
            ("true", Converted::Value(Value::Bool(true))),
            ("false", Converted::Value(Value::Bool(false))),
            ("NaN", Converted::NonFinite(f64::NAN)),
            ("Infinity", Converted::NonFinite(f64::INFINITY)),
            ("-Infinity", Converted::NonFinite(f64::NEG_INFINITY)),
        ];
        for (word, value) in words {
            if self.take(word) {
                return Some(value);
            }
        }
        self.number()
    }

    fn number(&mut self) -> Option<Converted> {
        let rest = self.rest();
        let length = rest
            .find(|c: char| !c.is_ascii_digit() && !matches!(c, '+' | '-' | '.' | 'e' | 'E'))
            .unwrap_or(rest.len());
        let token = rest.get(..length)?;
        self.position += length;
        let digits = token.strip_prefix('-').unwrap_or(token);
        let leading_zero = digits.len() > 1 && digits.starts_with('0') && digits.as_bytes().get(1).is_some_and(u8::is_ascii_digit);
        let whole = digits.bytes().all(|byte| byte.is_ascii_digit());
        if leading_zero || digits.is_empty() {
            return None;
        }
        if whole && let Ok(integer) = token.parse::<i64>() {
            return Some(Converted::Value(integer.into()));
        }
        if whole && let Ok(integer) = token.parse::<u64>() {
            return Some(Converted::Value(integer.into()));
        }
        let well_formed = whole || serde_json::from_str::<serde::de::IgnoredAny>(token).is_ok();
        well_formed.then(|| token.parse().ok().map(Converted::float)).flatten()
    }

    fn string(&mut self) -> Option<String> {
        let rest = self.rest();
        let mut escaped = false;
        for (offset, byte) in rest.bytes().enumerate().skip(1) {
            match byte {
                _ if escaped => escaped = false,
                b'\\' => escaped = true,
                b'"' => {
                    self.position += offset + 1;
                    return serde_json::from_str(rest.get(..=offset)?).ok();
                }
                _ => {}
            }
        }
        None
    }

    fn list(&mut self, depth: usize) -> Option<Converted> {
        let mut items = Vec::new();
        self.position += 1;
        self.skip_spaces();
        if self.take("]") {
            return Some(Converted::list(items));
        }
        loop {
            items.push(self.value(depth + 1)?);
            self.skip_spaces();
            if self.take("]") {
                return Some(Converted::list(items));
            }
            if !self.take(",") {
                return None;
            }
        }
    }

    fn map(&mut self, depth: usize) -> Option<Converted> {
        let mut entries = indexmap::IndexMap::new();
        self.position += 1;
        self.skip_spaces();
        if self.take("}") {
            return Some(Converted::Value(Value::Object(Map::new())));
        }
        loop {
            self.skip_spaces();
            if !self.rest().starts_with('"') {
                return None;
            }
            let key = self.string()?;
            self.skip_spaces();
            if !self.take(":") {
                return None;
            }
            let value = self.value(depth + 1)?;
            entries.insert(key, value);
            self.skip_spaces();
            if self.take("}") {
                return Some(Converted::map(entries));
            }
            if !self.take(",") {
                return None;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn json_is_read_with_numbers_beyond_json() {
        assert_eq!(
            parse_json(" [1, -2.5e1, \"a\\u00e9\"] "),
            Some(Converted::Value(serde_json::json!([1, -25.0, "aé"])))
        );
        assert_eq!(parse_json("{\"a\":1,\"a\":2}"), Some(Converted::Value(serde_json::json!({"a": 2}))));
        assert_eq!(parse_json("-0"), Some(Converted::Value(serde_json::json!(0))));
        assert!(matches!(parse_json("[1e999]"), Some(Converted::List(_))));
        assert!(matches!(parse_json("-Infinity"), Some(Converted::NonFinite(_))));
        for text in [
            "", "[", "[1,]", "[,]", "{a:1}", "{\"a\"}", "01", "1.", ".5", "+1", "-", "[1] x", "'a'", "\"a\nb\"", "\"", "nul",
        ] {
            assert_eq!(parse_json(text), None, "{text}");
        }
        assert_eq!(parse_json(&format!("{}{}", "[".repeat(500_000), "]".repeat(500_000))), None);
    }
}
