//! Pin types: the small grammar in which blocks declare what a pin takes.
//!
//! ```text
//! any str short_text long_text file int float bool none opaque
//! list list[T] dict dict[K,V] optional[T] union[A,B,…] literal['a',1,…]
//! ```

use std::fmt;
use std::str::FromStr;

/// Types nested deeper than this are refused.
const MAX_DEPTH: usize = 32;

/// What a pin takes, as far as conversion is concerned (internals §2.5). `FromStr` reads the grammar of this module, `Display` writes it.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum PinType {
    /// Takes any value as it is.
    Any,
    Str,
    /// Text subtypes take text only: nothing is converted to them (finding 2).
    ShortText,
    LongText,
    File,
    Int,
    Float,
    Bool,
    List(Box<PinType>),
    Dict(Box<PinType>, Box<PinType>),
    /// `T` or null.
    Optional(Box<PinType>),
    /// Converts to its first member that is not `None`.
    Union(Vec<PinType>),
    /// The null member of a union.
    None,
    /// One of these texts or numbers, written as in the grammar. Never converted.
    Literal(Vec<Literal>),
    /// Enums, dates, models: checked by the pin's schema, never converted.
    Opaque,
}

/// A member of a literal type.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum Literal {
    Text(String),
    Int(i64),
    Bool(bool),
}

impl PinType {
    pub fn list(element: PinType) -> Self {
        Self::List(Box::new(element))
    }

    pub fn dict(key: PinType, value: PinType) -> Self {
        Self::Dict(Box::new(key), Box::new(value))
    }

    /// `dict[str,any]`, the usual map.
    pub fn object() -> Self {
        Self::dict(Self::Str, Self::Any)
    }

    pub fn optional(inner: PinType) -> Self {
        Self::Optional(Box::new(inner))
    }

    pub fn union(members: impl IntoIterator<Item = PinType>) -> Self {
        Self::Union(members.into_iter().collect())
    }

    /// A literal of texts.
    pub fn literal<T: Into<String>>(texts: impl IntoIterator<Item = T>) -> Self {
        Self::Literal(texts.into_iter().map(|text| Literal::Text(text.into())).collect())
    }

    /// Whether null is a value of this type.
    pub fn takes_null(&self) -> bool {
        match self {
            Self::Any | Self::None | Self::Optional(_) => true,
            Self::Union(members) => members.iter().any(Self::takes_null),
            _ => false,
        }
    }
}

/// A type text outside the grammar.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{text:?} is no pin type: {reason} at byte {position}")]
pub struct PinTypeError {
    text: String,
    position: usize,
    reason: &'static str,
}

impl FromStr for PinType {
    type Err = PinTypeError;

    fn from_str(text: &str) -> Result<Self, PinTypeError> {
        let mut parser = Parser { text, position: 0 };
        let parsed = parser.pin_type(0).and_then(|ty| match parser.rest().is_empty() {
            true => Ok(ty),
            false => Err("unexpected text"),
        });
        parsed.map_err(|reason| PinTypeError {
            text: text.to_owned(),
            position: parser.position,
            reason,
        })
    }
}

struct Parser<'a> {
    text: &'a str,
    position: usize,
}

impl<'a> Parser<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.position..).unwrap_or_default()
    }

    fn skip_spaces(&mut self) {
        let rest = self.rest();
        self.position += rest.len() - rest.trim_start().len();
    }

    fn take(&mut self, token: char) -> bool {
        self.skip_spaces();
        let found = self.rest().starts_with(token);
        if found {
            self.position += token.len_utf8();
            self.skip_spaces();
        }
        found
    }

    fn word(&mut self) -> &'a str {
        self.skip_spaces();
        let rest = self.rest();
        let length = rest
            .find(|c: char| !c.is_ascii_alphanumeric() && c != '_' && c != '-')
            .unwrap_or(rest.len());
        self.position += length;
        let word = rest.get(..length).unwrap_or_default();
        self.skip_spaces();
        word
    }

    fn pin_type(&mut self, depth: usize) -> Result<PinType, &'static str> {
        if depth > MAX_DEPTH {
            return Err("nested too deeply");
        }
        let scalar = match self.word() {
            "any" => PinType::Any,
            "str" => PinType::Str,
            "short_text" => PinType::ShortText,
            "long_text" => PinType::LongText,
            "file" => PinType::File,
            "int" => PinType::Int,
            "float" => PinType::Float,
            "bool" => PinType::Bool,
            "none" => PinType::None,
            "opaque" => PinType::Opaque,
            "literal" => return self.literal(),
            "list" => {
                return match self.arguments(depth)?.as_mut_slice() {
                    [] => Ok(PinType::list(PinType::Any)),
                    [element] => Ok(PinType::list(element.clone())),
                    _ => Err("list takes one type"),
                };
            }
            "dict" => {
                return match self.arguments(depth)?.as_slice() {
                    [] => Ok(PinType::dict(PinType::Any, PinType::Any)),
                    [key, value] => Ok(PinType::dict(key.clone(), value.clone())),
                    _ => Err("dict takes two types"),
                };
            }
            "optional" => {
                return match self.arguments(depth)?.as_slice() {
                    [inner] => Ok(PinType::optional(inner.clone())),
                    _ => Err("optional takes one type"),
                };
            }
            "union" => {
                let members = self.arguments(depth)?;
                return if members.is_empty() {
                    Err("union takes types")
                } else {
                    Ok(PinType::Union(members))
                };
            }
            _ => return Err("unknown type"),
        };
        Ok(scalar)
    }

    /// `[A, B]`, or nothing at all.
    fn arguments(&mut self, depth: usize) -> Result<Vec<PinType>, &'static str> {
        let mut arguments = Vec::new();
        if !self.take('[') {
            return Ok(arguments);
        }
        loop {
            arguments.push(self.pin_type(depth + 1)?);
            if self.take(']') {
                return Ok(arguments);
            }
            if !self.take(',') {
                return Err("expected , or ]");
            }
        }
    }

    fn literal(&mut self) -> Result<PinType, &'static str> {
        let mut members = Vec::new();
        if !self.take('[') {
            return Err("literal takes values");
        }
        loop {
            members.push(self.literal_member()?);
            if self.take(']') {
                return Ok(PinType::Literal(members));
            }
            if !self.take(',') {
                return Err("expected , or ]");
            }
        }
    }

    fn literal_member(&mut self) -> Result<Literal, &'static str> {
        self.skip_spaces();
        if let Some(quote @ ('\'' | '"')) = self.rest().chars().next() {
            self.position += 1;
            return self.quoted(quote);
        }
        match self.word() {
            "true" | "True" => Ok(Literal::Bool(true)),
            "false" | "False" => Ok(Literal::Bool(false)),
            number => number.parse().map(Literal::Int).map_err(|_| "expected a quoted text or a number"),
        }
    }

    fn quoted(&mut self, quote: char) -> Result<Literal, &'static str> {
        let mut content = String::new();
        let mut escaped = false;
        for c in self.rest().chars() {
            self.position += c.len_utf8();
            match c {
                _ if escaped => {
                    content.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                _ if c == quote => return Ok(Literal::Text(content)),
                _ => content.push(c),
            }
        }
        Err("text without its closing quote")
    }
}

impl fmt::Display for PinType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Any => f.write_str("any"),
            Self::Str => f.write_str("str"),
            Self::ShortText => f.write_str("short_text"),
            Self::LongText => f.write_str("long_text"),
            Self::File => f.write_str("file"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Bool => f.write_str("bool"),
            Self::None => f.write_str("none"),
            Self::Opaque => f.write_str("opaque"),
            Self::List(element) => write!(f, "list[{element}]"),
            Self::Dict(key, value) => write!(f, "dict[{key},{value}]"),
            Self::Optional(inner) => write!(f, "optional[{inner}]"),
            Self::Union(members) => write_joined(f, "union", members),
            Self::Literal(members) => write_joined(f, "literal", members),
        }
    }
}

fn write_joined<T: fmt::Display>(f: &mut fmt::Formatter<'_>, name: &str, members: &[T]) -> fmt::Result {
    write!(f, "{name}[")?;
    for (position, member) in members.iter().enumerate() {
        let comma = if position == 0 { "" } else { "," };
        write!(f, "{comma}{member}")?;
    }
    f.write_str("]")
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => write!(f, "'{}'", text.replace('\\', "\\\\").replace('\'', "\\'")),
            Self::Int(number) => write!(f, "{number}"),
            Self::Bool(flag) => write!(f, "{flag}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::{Literal, PinType};

    #[test]
    fn every_form_of_the_grammar_survives_text() {
        for text in [
            "any",
            "short_text",
            "list[any]",
            "dict[str,list[int]]",
            "optional[dict[str,str]]",
            "union[int,list[int],none]",
            "literal['a','b\\'c',1,true]",
        ] {
            assert_eq!(text.parse::<PinType>().unwrap().to_string(), text);
        }
        assert_eq!("list".parse(), Ok(PinType::list(PinType::Any)));
        assert_eq!(" dict [ str , int ] ".parse(), Ok(PinType::dict(PinType::Str, PinType::Int)));
        assert_eq!("literal[-1]".parse(), Ok(PinType::Literal(vec![Literal::Int(-1)])));
    }

    #[test]
    fn what_is_no_type_is_refused() {
        let deep = format!("{}int{}", "list[".repeat(100), "]".repeat(100));
        for text in [
            "",
            "strr",
            "list[",
            "list[int",
            "dict[int]",
            "optional",
            "union[]",
            "int]",
            "literal['a",
            "literal[x]",
            &deep,
        ] {
            assert!(text.parse::<PinType>().is_err(), "{text}");
        }
    }
}
