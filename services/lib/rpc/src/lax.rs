//! Lax reading of JSON (internals §1.1): `"2"` is accepted for a number, `"true"` or `1` for a boolean, `2.0` for an
//! integer. Text is never made from anything else.

use serde::de::value::StrDeserializer;
use serde::de::{DeserializeOwned, DeserializeSeed, Deserializer, EnumAccess, Error, IntoDeserializer, MapAccess, SeqAccess, VariantAccess, Visitor};
use serde_json::Value;

/// Where in a value something is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Segment {
    Key(String),
    Index(usize),
}

impl Segment {
    pub fn to_json(&self) -> Value {
        match self {
            Self::Key(key) => Value::from(key.as_str()),
            Self::Index(index) => Value::from(*index),
        }
    }

    pub fn within<'a>(&self, value: &'a Value) -> Option<&'a Value> {
        match self {
            Self::Key(key) => value.get(key),
            Self::Index(index) => value.get(index),
        }
    }
}

/// A problem, with its place from the outside in and the name that pydantic gives to its kind.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct LaxError {
    pub kind: &'static str,
    pub message: String,
    pub path: Vec<Segment>,
}

impl LaxError {
    fn new(kind: &'static str, message: &str) -> Self {
        Self {
            kind,
            message: message.to_owned(),
            path: Vec::new(),
        }
    }

    fn inside(mut self, segment: Segment) -> Self {
        self.path.insert(0, segment);
        self
    }
}

impl Error for LaxError {
    fn custom<T: std::fmt::Display>(message: T) -> Self {
        Self::new("value_error", &message.to_string())
    }

    fn missing_field(field: &'static str) -> Self {
        Self::new("missing", "Field required").inside(Segment::Key(field.to_owned()))
    }

    fn unknown_variant(variant: &str, expected: &'static [&'static str]) -> Self {
        let expected: Vec<String> = expected.iter().map(|name| format!("'{name}'")).collect();
        let _ = variant;
        Self::new("enum", &format!("Input should be {}", expected.join(", ")))
    }
}

pub fn from_value<T: DeserializeOwned>(value: &Value) -> Result<T, LaxError> {
    T::deserialize(Lax(value))
}

struct Lax<'de>(&'de Value);

impl Lax<'_> {
    fn integer(&self) -> Result<i128, LaxError> {
        let unparsable = || LaxError::new("int_parsing", "Input should be a valid integer, unable to parse string as an integer");
        match self.0 {
            Value::Number(number) => {
                if let Some(integer) = number.as_i64() {
                    return Ok(i128::from(integer));
                }
                if let Some(integer) = number.as_u64() {
                    return Ok(i128::from(integer));
                }
                whole(number.as_f64().unwrap_or(f64::NAN))
                    .ok_or_else(|| LaxError::new("int_from_float", "Input should be a valid integer, got a number with a fractional part"))
            }
            Value::Bool(truth) => Ok(i128::from(*truth)),
            Value::String(text) => {
                let text = text.trim();
                text.parse().ok().or_else(|| text.parse().ok().and_then(whole)).ok_or_else(unparsable)
            }
            _ => Err(LaxError::new("int_type", "Input should be a valid integer")),
        }
    }

    fn float(&self) -> Result<f64, LaxError> {
        match self.0 {
            Value::Number(number) => Ok(number.as_f64().unwrap_or(f64::NAN)),
            Value::Bool(truth) => Ok(f64::from(u8::from(*truth))),
            Value::String(text) => text
                .trim()
                .parse()
                .map_err(|_| LaxError::new("float_parsing", "Input should be a valid number, unable to parse string as a number")),
            _ => Err(LaxError::new("float_type", "Input should be a valid number")),
        }
    }

    fn boolean(&self) -> Result<bool, LaxError> {
        let unparsable = || LaxError::new("bool_parsing", "Input should be a valid boolean, unable to interpret input");
        match self.0 {
            Value::Bool(truth) => Ok(*truth),
            Value::Number(number) => match number.as_f64() {
                Some(0.0) => Ok(false),
                Some(1.0) => Ok(true),
                _ => Err(unparsable()),
            },
            Value::String(text) => match text.to_ascii_lowercase().as_str() {
                "true" | "t" | "yes" | "y" | "on" | "1" => Ok(true),
                "false" | "f" | "no" | "n" | "off" | "0" => Ok(false),
                _ => Err(unparsable()),
            },
            _ => Err(LaxError::new("bool_type", "Input should be a valid boolean")),
        }
    }

    fn text(&self) -> Result<&str, LaxError> {
        self.0
            .as_str()
            .ok_or_else(|| LaxError::new("string_type", "Input should be a valid string"))
    }
}

/// A float without fraction as an integer, as far as floats are exact.
fn whole(number: f64) -> Option<i128> {
    (number.fract() == 0.0 && number.abs() <= 9_007_199_254_740_992.0).then_some(number as i128)
}

macro_rules! integers {
    ($($method:ident => $visit:ident: $type:ty),* $(,)?) => {
        $(
            fn $method<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
                let integer = self.integer()?;
                let integer = <$type>::try_from(integer)
                    .map_err(|_| LaxError::new("int_parsing_size", concat!("Input does not fit into ", stringify!($type))))?;
                visitor.$visit(integer)
            }
        )*
    };
}

impl<'de> Deserializer<'de> for Lax<'de> {
    type Error = LaxError;

    integers! {
        deserialize_i8 => visit_i8: i8, deserialize_i16 => visit_i16: i16, deserialize_i32 => visit_i32: i32, deserialize_i64 => visit_i64: i64,
        deserialize_u8 => visit_u8: u8, deserialize_u16 => visit_u16: u16, deserialize_u32 => visit_u32: u32, deserialize_u64 => visit_u64: u64,
    }

    fn deserialize_any<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        match self.0 {
            Value::Null => visitor.visit_unit(),
            Value::Bool(truth) => visitor.visit_bool(*truth),
            Value::Number(number) => match (number.as_i64(), number.as_u64()) {
                (Some(integer), _) => visitor.visit_i64(integer),
                (None, Some(integer)) => visitor.visit_u64(integer),
                (None, None) => visitor.visit_f64(number.as_f64().unwrap_or(f64::NAN)),
            },
            Value::String(text) => visitor.visit_borrowed_str(text),
            Value::Array(items) => visitor.visit_seq(Items(items.iter().enumerate(), items.len())),
            Value::Object(map) => visitor.visit_map(Fields {
                rest: map.iter(),
                current: None,
            }),
        }
    }

    fn deserialize_bool<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        visitor.visit_bool(self.boolean()?)
    }

    fn deserialize_f32<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_f64<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        visitor.visit_f64(self.float()?)
    }

    fn deserialize_str<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        self.text()?;
        self.deserialize_any(visitor)
    }

    fn deserialize_string<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        self.deserialize_str(visitor)
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        if self.0.is_null() {
            visitor.visit_none()
        } else {
            visitor.visit_some(self)
        }
    }

    fn deserialize_newtype_struct<V: Visitor<'de>>(self, _: &'static str, visitor: V) -> Result<V::Value, LaxError> {
        visitor.visit_newtype_struct(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        if self.0.is_array() {
            self.deserialize_any(visitor)
        } else {
            Err(LaxError::new("list_type", "Input should be a valid list"))
        }
    }

    fn deserialize_map<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, LaxError> {
        if self.0.is_object() {
            self.deserialize_any(visitor)
        } else {
            Err(LaxError::new("dict_type", "Input should be a valid dictionary"))
        }
    }

    fn deserialize_struct<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, LaxError> {
        self.deserialize_map(visitor)
    }

    fn deserialize_enum<V: Visitor<'de>>(self, _: &'static str, _: &'static [&'static str], visitor: V) -> Result<V::Value, LaxError> {
        match self.0 {
            Value::String(name) => visitor.visit_enum(name.as_str().into_deserializer()),
            Value::Object(map) if map.len() == 1 => match map.iter().next() {
                Some((name, value)) => visitor.visit_enum(Variant { name, value }),
                None => Err(LaxError::new("enum", "Input should be one of the known values")),
            },
            _ => Err(LaxError::new("enum", "Input should be one of the known values")),
        }
    }

    serde::forward_to_deserialize_any! { i128 u128 char bytes byte_buf unit unit_struct tuple tuple_struct identifier ignored_any }
}

struct Items<'de>(std::iter::Enumerate<std::slice::Iter<'de, Value>>, usize);

impl<'de> SeqAccess<'de> for Items<'de> {
    type Error = LaxError;

    fn next_element_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<Option<T::Value>, LaxError> {
        let Some((index, item)) = self.0.next() else { return Ok(None) };
        seed.deserialize(Lax(item)).map(Some).map_err(|error| error.inside(Segment::Index(index)))
    }

    fn size_hint(&self) -> Option<usize> {
        Some(self.1)
    }
}

struct Fields<'de> {
    rest: serde_json::map::Iter<'de>,
    current: Option<(&'de str, &'de Value)>,
}

impl<'de> MapAccess<'de> for Fields<'de> {
    type Error = LaxError;

    fn next_key_seed<K: DeserializeSeed<'de>>(&mut self, seed: K) -> Result<Option<K::Value>, LaxError> {
        let Some((name, value)) = self.rest.next() else { return Ok(None) };
        self.current = Some((name, value));
        let key: StrDeserializer<'de, LaxError> = name.as_str().into_deserializer();
        seed.deserialize(key).map(Some).map_err(|error| error.inside(Segment::Key(name.clone())))
    }

    fn next_value_seed<T: DeserializeSeed<'de>>(&mut self, seed: T) -> Result<T::Value, LaxError> {
        let Some((name, value)) = self.current.take() else {
            return Err(LaxError::new("value_error", "a value before its key"));
        };
        seed.deserialize(Lax(value)).map_err(|error| error.inside(Segment::Key(name.to_owned())))
    }
}

struct Variant<'de> {
    name: &'de str,
    value: &'de Value,
}

impl<'de> EnumAccess<'de> for Variant<'de> {
    type Error = LaxError;
    type Variant = Self;

    fn variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<(T::Value, Self), LaxError> {
        let name: StrDeserializer<'de, LaxError> = self.name.into_deserializer();
        Ok((seed.deserialize(name)?, self))
    }
}

impl<'de> VariantAccess<'de> for Variant<'de> {
    type Error = LaxError;

    fn unit_variant(self) -> Result<(), LaxError> {
        Ok(())
    }

    fn newtype_variant_seed<T: DeserializeSeed<'de>>(self, seed: T) -> Result<T::Value, LaxError> {
        seed.deserialize(Lax(self.value))
            .map_err(|error| error.inside(Segment::Key(self.name.to_owned())))
    }

    fn tuple_variant<V: Visitor<'de>>(self, _: usize, visitor: V) -> Result<V::Value, LaxError> {
        Lax(self.value).deserialize_seq(visitor)
    }

    fn struct_variant<V: Visitor<'de>>(self, _: &'static [&'static str], visitor: V) -> Result<V::Value, LaxError> {
        Lax(self.value).deserialize_map(visitor)
    }
}
