//! Reading JSON text, with the messages of the reference's reader: handlers of an `error` output see them.

use serde_json::Value;

/// Parses a JSON text. The error says what is wrong and where: `unexpected character: line 1 column 1 (char 0)`.
pub(crate) fn parse(text: &str) -> Result<Value, String> {
    serde_json::from_str(text).map_err(|error| match complaint(text) {
        Some((message, position)) => located(text, message, position),
        // What only our reader refuses: values nested too deeply.
        None => error.to_string(),
    })
}

fn complaint(text: &str) -> Option<(&'static str, usize)> {
    if text.is_empty() {
        return Some(("Input is a zero-length, empty document", 0));
    }
    let mut scanner = Scanner {
        bytes: text.as_bytes(),
        at: 0,
    };
    scanner.skip_blanks();
    if scanner.peek().is_none() {
        return Some(("input data is empty", 0));
    }
    scanner.document().err()
}

/// `message: line L column C (char N)`, counted in characters.
fn located(text: &str, message: &str, position: usize) -> String {
    let before = text.get(..position).unwrap_or(text);
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().unwrap_or_default().chars().count() + 1;
    format!("{message}: line {line} column {column} (char {})", before.chars().count())
}

type Complaint = (&'static str, usize);

const END_OF_DATA: &str = "unexpected end of data";
const UNEXPECTED: &str = "unexpected character";

struct Scanner<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Scanner<'_> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        self.at += usize::from(found);
        found
    }

    fn skip_blanks(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// At the end of the text every complaint is that it ended.
    fn fail<T>(&self, message: &'static str) -> Result<T, Complaint> {
        self.fail_at(message, self.at)
    }

    fn fail_at<T>(&self, message: &'static str, position: usize) -> Result<T, Complaint> {
        if position >= self.bytes.len() {
            Err((END_OF_DATA, self.bytes.len()))
        } else {
            Err((message, position))
        }
    }

    /// Containers that are open, innermost last; a loop, since text may nest deeper than a stack.
    fn document(&mut self) -> Result<(), Complaint> {
        let mut open: Vec<u8> = Vec::new();
        loop {
            self.skip_blanks();
            match self.peek() {
                Some(bracket @ (b'[' | b'{')) => {
                    self.at += 1;
                    self.skip_blanks();
                    if !self.take(closing(bracket)) {
                        open.push(bracket);
                        if bracket == b'{' {
                            self.key()?;
                        }
                        continue;
                    }
                }
                _ => self.scalar()?,
            }
            if !self.close(&mut open)? {
                break;
            }
        }
        self.skip_blanks();
        if self.at < self.bytes.len() {
            self.fail("unexpected content after document")
        } else {
            Ok(())
        }
    }

    /// After a value: closes what closes; whether another value follows.
    fn close(&mut self, open: &mut Vec<u8>) -> Result<bool, Complaint> {
        while let Some(bracket) = open.last().copied() {
            self.skip_blanks();
            let comma = self.at;
            if self.take(b',') {
                self.skip_blanks();
                if self.peek() == Some(closing(bracket)) {
                    return self.fail_at("trailing comma is not allowed", comma);
                }
                if bracket == b'{' {
                    self.key()?;
                }
                return Ok(true);
            }
            if !self.take(closing(bracket)) {
                return self.fail(UNEXPECTED);
            }
            open.pop();
        }
        Ok(false)
    }

    fn key(&mut self) -> Result<(), Complaint> {
        self.skip_blanks();
        if self.peek() != Some(b'"') {
            return self.fail(UNEXPECTED);
        }
        self.string()?;
        self.skip_blanks();
        if self.take(b':') { Ok(()) } else { self.fail(UNEXPECTED) }
    }

    fn scalar(&mut self) -> Result<(), Complaint> {
        match self.peek() {
            Some(b'"') => self.string(),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b't') => self.literal("true"),
            Some(b'f') => self.literal("false"),
            Some(b'n') => self.literal("null"),
            _ => self.fail(UNEXPECTED),
        }
    }

    fn literal(&mut self, word: &str) -> Result<(), Complaint> {
        let rest = self.bytes.get(self.at..).unwrap_or_default();
        if rest.starts_with(word.as_bytes()) {
            self.at += word.len();
            return Ok(());
        }
        if word.as_bytes().starts_with(rest) {
            Err((END_OF_DATA, self.bytes.len()))
        } else {
            self.fail("invalid literal")
        }
    }

    fn digits(&mut self, missing: &'static str) -> Result<(), Complaint> {
        if !self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            return self.fail(missing);
        }
        while self.peek().is_some_and(|byte| byte.is_ascii_digit()) {
            self.at += 1;
        }
        Ok(())
    }

    fn number(&mut self) -> Result<(), Complaint> {
        let start = self.at;
        self.take(b'-');
        let first = self.at;
        self.digits("no digit after minus sign")?;
        if self.bytes.get(first) == Some(&b'0') && self.at > first + 1 {
            return self.fail_at("number with leading zero is not allowed", first);
        }
        if self.take(b'.') {
            self.digits("no digit after decimal point")?;
        }
        if self.take(b'e') || self.take(b'E') {
            let _ = self.take(b'+') || self.take(b'-');
            self.digits("no digit after exponent sign")?;
        }
        let text = self.bytes.get(start..self.at).and_then(|digits| std::str::from_utf8(digits).ok());
        match text.and_then(|digits| digits.parse::<f64>().ok()) {
            Some(number) if number.is_infinite() => self.fail_at("number is infinity when parsed as double", start),
            _ => Ok(()),
        }
    }

    fn string(&mut self) -> Result<(), Complaint> {
        self.at += 1;
        loop {
            match self.peek() {
                Some(b'"') => {
                    self.at += 1;
                    return Ok(());
                }
                Some(b'\\') => self.escape()?,
                Some(byte) if byte >= b' ' => self.at += 1,
                _ => return self.fail("unexpected control character in string"),
            }
        }
    }

    fn escape(&mut self) -> Result<(), Complaint> {
        let start = self.at;
        match self.bytes.get(start + 1) {
            Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => self.at += 2,
            Some(b'u') => match self.code_unit(start) {
                Some(0xd800..=0xdbff) => {
                    self.at += 6;
                    if !matches!(self.code_unit(self.at), Some(0xdc00..=0xdfff)) {
                        return self.fail("no low surrogate in string");
                    }
                    self.at += 6;
                }
                Some(0xdc00..=0xdfff) => return self.fail("invalid high surrogate in string"),
                Some(_) => self.at += 6,
                None => return self.fail("invalid escaped sequence in string"),
            },
            _ => return self.fail_at("invalid escaped character in string", start + 1),
        }
        Ok(())
    }

    /// The value of `\uXXXX` at a place.
    fn code_unit(&self, at: usize) -> Option<u32> {
        let digits = self.bytes.get(at..at + 6)?.strip_prefix(b"\\u")?;
        let digits = std::str::from_utf8(digits)
            .ok()
            .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))?;
        u32::from_str_radix(digits, 16).ok()
    }
}

fn closing(bracket: u8) -> u8 {
    if bracket == b'[' { b']' } else { b'}' }
}

#[cfg(test)]
mod tests {
    use super::parse;

    #[test]
    fn messages_are_those_of_the_reference() {
        let cases = [
            ("not json", "invalid literal: line 1 column 1 (char 0)"),
            ("zzz", "unexpected character: line 1 column 1 (char 0)"),
            ("", "Input is a zero-length, empty document: line 1 column 1 (char 0)"),
            ("  ", "input data is empty: line 1 column 1 (char 0)"),
            ("[1,", "unexpected end of data: line 1 column 4 (char 3)"),
            ("[1,]", "trailing comma is not allowed: line 1 column 3 (char 2)"),
            ("{\"a\":1,}", "trailing comma is not allowed: line 1 column 7 (char 6)"),
            ("{'a': 1}", "unexpected character: line 1 column 2 (char 1)"),
            ("[1 2]", "unexpected character: line 1 column 4 (char 3)"),
            ("{\"a\" 1}", "unexpected character: line 1 column 6 (char 5)"),
            ("{\"a\":1]", "unexpected character: line 1 column 7 (char 6)"),
            ("nul", "unexpected end of data: line 1 column 4 (char 3)"),
            ("[tru]", "invalid literal: line 1 column 2 (char 1)"),
            ("\n\nzz", "unexpected character: line 3 column 1 (char 2)"),
            ("12abc", "unexpected content after document: line 1 column 3 (char 2)"),
            ("-01", "number with leading zero is not allowed: line 1 column 2 (char 1)"),
            ("1.x", "no digit after decimal point: line 1 column 3 (char 2)"),
            ("1e999", "number is infinity when parsed as double: line 1 column 1 (char 0)"),
            ("\"a\nb\"", "unexpected control character in string: line 1 column 3 (char 2)"),
            ("\"\\q\"", "invalid escaped character in string: line 1 column 3 (char 2)"),
            ("\"\\ud800x\"", "no low surrogate in string: line 1 column 8 (char 7)"),
            ("\"abc", "unexpected end of data: line 1 column 5 (char 4)"),
        ];
        for (text, message) in cases {
            assert_eq!(parse(text).unwrap_err(), message, "{text}");
        }
    }

    #[test]
    fn deep_text_is_an_error_not_a_crash() {
        assert!(parse(&"[".repeat(1_000_000)).is_err());
        assert!(parse(&format!("{}{}", "[".repeat(500), "]".repeat(500))).is_err());
    }
}
