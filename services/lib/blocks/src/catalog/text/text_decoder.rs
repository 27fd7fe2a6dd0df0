//! Reads backslash escapes, byte by byte: letters beyond ASCII come out as the bytes of their UTF-8 form.

use std::iter::Peekable;
use std::vec::IntoIter;

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
    out.emit("decoded_text", decode(input.text("text"))?);
    Ok(())
}

type Bytes = Peekable<IntoIter<u8>>;

fn decode(text: String) -> Result<String, Failure> {
    let mut bytes = text.into_bytes().into_iter().peekable();
    let mut decoded = String::new();
    while let Some(byte) = bytes.next() {
        match byte {
            b'\\' => decode_escape(&mut bytes, &mut decoded)?,
            _ => decoded.push(char::from(byte)),
        }
    }
    Ok(decoded)
}

fn decode_escape(bytes: &mut Bytes, decoded: &mut String) -> Result<(), Failure> {
    let letter = bytes.next().ok_or_else(|| undecodable("\\ at end of string"))?;
    let decoded_letter = match letter {
        b'\n' => return Ok(()),
        b'\\' | b'\'' | b'"' => char::from(letter),
        b'a' => '\u{7}',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        b'n' => '\n',
        b'r' => '\r',
        b't' => '\t',
        b'v' => '\u{b}',
        b'x' => hexadecimal(bytes, 2)?,
        b'u' => hexadecimal(bytes, 4)?,
        b'U' => hexadecimal(bytes, 8)?,
        b'0'..=b'7' => octal(letter, bytes),
        b'N' => return Err(undecodable("names of characters are not supported")),
        // An escape that means nothing stays as it is.
        _ => {
            decoded.push('\\');
            char::from(letter)
        }
    };
    decoded.push(decoded_letter);
    Ok(())
}

fn hexadecimal(bytes: &mut Bytes, digits: usize) -> Result<char, Failure> {
    let mut code = 0_u32;
    for _ in 0..digits {
        let digit = bytes.next().and_then(|byte| char::from(byte).to_digit(16));
        let digit = digit.ok_or_else(|| undecodable("truncated escape"))?;
        code = code
            .checked_mul(16)
            .and_then(|code| code.checked_add(digit))
            .ok_or_else(|| undecodable("illegal Unicode character"))?;
    }
    char::from_u32(code).ok_or_else(|| undecodable("illegal Unicode character"))
}

/// One to three digits.
fn octal(first: u8, bytes: &mut Bytes) -> char {
    let mut code = u32::from(first - b'0');
    for _ in 0..2 {
        match bytes.next_if(|byte| (b'0'..=b'7').contains(byte)) {
            Some(digit) => code = code * 8 + u32::from(digit - b'0'),
            None => break,
        }
    }
    char::from_u32(code).unwrap_or_default()
}

fn undecodable(reason: &str) -> Failure {
    Failure::raised(format!("The text cannot be decoded: {reason}"))
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
            assert_eq!(decode(text.to_owned()).unwrap(), expected);
        }
    }

    #[test]
    fn an_unfinished_escape_fails() {
        for text in ["\\", r"\x4", r"\u12", r"\U00110000", r"\ud800"] {
            assert!(decode(text.to_owned()).is_err(), "{text}");
        }
    }
}
