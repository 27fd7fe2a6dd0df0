//! Reads backslash escapes, byte by byte: letters beyond ASCII come out as the bytes of their UTF-8 form.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("2570e8fe-8447-43ed-84c7-70d657923231"),
        "TextDecoderBlock",
        "Turns the escape sequences of a text, such as \\n, into the characters they stand for.",
    )
    .categories(&["TEXT"])
    .input(
        required("text", PinType::Str)
            .about("The text with escape sequences.")
            .placeholder("Your entire text block with \\n and \\\" escaped characters"),
    )
    .output(output("decoded_text", PinType::Str).about("The text without escape sequences."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    out.emit("decoded_text", decode(&input.text("text"))?);
    Ok(())
}

fn decode(text: &str) -> Result<String, Failure> {
    let mut decoder = Decoder {
        bytes: text.as_bytes(),
        at: 0,
        decoded: String::new(),
    };
    while let Some(byte) = decoder.next() {
        match byte {
            b'\\' => decoder.escape()?,
            _ => decoder.decoded.push(char::from(byte)),
        }
    }
    Ok(decoder.decoded)
}

struct Decoder<'a> {
    bytes: &'a [u8],
    at: usize,
    decoded: String,
}

impl Decoder<'_> {
    fn next(&mut self) -> Option<u8> {
        let byte = self.bytes.get(self.at).copied();
        self.at += usize::from(byte.is_some());
        byte
    }

    /// Reads what follows a backslash.
    fn escape(&mut self) -> Result<(), Failure> {
        let start = self.at - 1;
        let Some(letter) = self.next() else {
            return Err(self.undecodable(start, "\\ at end of string"));
        };
        let decoded = match letter {
            b'\n' => return Ok(()),
            b'\\' | b'\'' | b'"' => char::from(letter),
            b'a' => '\u{7}',
            b'b' => '\u{8}',
            b'f' => '\u{c}',
            b'n' => '\n',
            b'r' => '\r',
            b't' => '\t',
            b'v' => '\u{b}',
            b'x' => self.hexadecimal(start, 2, "truncated \\xXX escape")?,
            b'u' => self.hexadecimal(start, 4, "truncated \\uXXXX escape")?,
            b'U' => self.hexadecimal(start, 8, "truncated \\UXXXXXXXX escape")?,
            b'0'..=b'7' => self.octal(letter),
            b'N' => return Err(self.undecodable(start, "names of characters are not supported")),
            // An escape that means nothing stays as it is.
            _ => {
                self.decoded.push('\\');
                char::from(letter)
            }
        };
        self.decoded.push(decoded);
        Ok(())
    }

    fn hexadecimal(&mut self, start: usize, digits: usize, truncated: &str) -> Result<char, Failure> {
        let mut code = 0_u32;
        for _ in 0..digits {
            let digit = self.bytes.get(self.at).and_then(|byte| char::from(*byte).to_digit(16));
            let Some(digit) = digit else {
                return Err(self.undecodable(start, truncated));
            };
            self.at += 1;
            code = code.wrapping_mul(16).wrapping_add(digit);
        }
        char::from_u32(code).ok_or_else(|| match code {
            // Half a pair is a character to Python, but no text can carry it.
            0xd800..=0xdfff => Failure::raised("'utf-8' codec can't encode character: surrogates not allowed"),
            _ => self.undecodable(start, "illegal Unicode character"),
        })
    }

    /// One to three digits.
    fn octal(&mut self, first: u8) -> char {
        let mut code = u32::from(first - b'0');
        for _ in 0..2 {
            match self.bytes.get(self.at) {
                Some(digit @ b'0'..=b'7') => code = code * 8 + u32::from(digit - b'0'),
                _ => break,
            }
            self.at += 1;
        }
        char::from_u32(code).unwrap_or_default()
    }

    /// Python's words for the bytes from `start` to here.
    fn undecodable(&self, start: usize, reason: &str) -> Failure {
        let last = self.at - 1;
        let place = if last == start {
            format!("byte 0x5c in position {start}")
        } else {
            format!("bytes in position {start}-{last}")
        };
        Failure::raised(format!("'unicodeescape' codec can't decode {place}: {reason}"))
    }
}

#[cfg(test)]
mod tests {
    use super::decode;

    #[test]
    fn escapes_stand_for_their_characters() {
        let cases = [
            (r"a\nb", "a\nb"),
            (r"\x41\101\0", "AA\0"),
            (r"\q\\", "\\q\\"),
            ("a\\\nb", "ab"),
            ("日", "æ\u{97}¥"),
        ];
        for (text, expected) in cases {
            assert_eq!(decode(text).unwrap(), expected);
        }
    }

    #[test]
    fn an_unfinished_escape_fails() {
        for text in ["\\", r"\x4", r"\u12", r"\U00110000", r"\ud800"] {
            assert!(decode(text).is_err(), "{text}");
        }
    }
}
