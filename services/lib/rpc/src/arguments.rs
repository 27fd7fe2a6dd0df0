//! Reading the arguments of a call: unknown ones are ignored, missing and unusable ones answer 422 with the place and
//! the reason (internals §1.1).

use std::collections::HashMap;

use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde::de::DeserializeOwned;
use serde::de::value::Error as PlainError;
use serde_json::value::RawValue;
use serde_json::{Value, json};

use crate::lax::{self, Segment};

/// The arguments of one call, taken out one by one; problems are collected.
pub struct Arguments<'body> {
    fields: HashMap<String, &'body RawValue>,
    body: &'body [u8],
    problems: Vec<Value>,
}

impl<'body> Arguments<'body> {
    /// `expected` is empty for a method without arguments: its body is not looked at.
    #[allow(clippy::result_large_err)] // the refusal is the answer itself
    pub fn parse(body: &'body [u8], expected: &[&str]) -> Result<Self, Response> {
        let mut arguments = Self {
            fields: HashMap::new(),
            body,
            problems: Vec::new(),
        };
        if expected.is_empty() {
            return Ok(arguments);
        }
        if body.is_empty() {
            return Err(refuse(vec![problem("missing", &[], "Field required", Value::Null)]));
        }
        match serde_json::from_slice(body) {
            Ok(fields) => {
                arguments.fields = fields;
                Ok(arguments)
            }
            Err(error) if error.is_data() => {
                let input = serde_json::from_slice(body).unwrap_or_default();
                let text = "Input should be a valid dictionary or object to extract fields from";
                Err(refuse(vec![problem("model_attributes_type", &[], text, input)]))
            }
            Err(error) => {
                let mut problem = problem("json_invalid", &[Segment::Index(error.column())], "JSON decode error", json!({}));
                problem["ctx"] = json!({"error": error.to_string()});
                Err(refuse(vec![problem]))
            }
        }
    }

    /// The named argument; `default` supplies one that is absent, or nothing when it is required.
    pub fn take<T: DeserializeOwned>(&mut self, name: &str, default: impl FnOnce() -> Option<T>) -> Option<T> {
        let at = || Segment::Key(name.to_owned());
        let Some(raw) = self.fields.get(name) else {
            let value = default();
            if value.is_none() {
                let body = serde_json::from_slice(self.body).unwrap_or_default();
                self.problems.push(problem("missing", &[at()], "Field required", body));
            }
            return value;
        };
        // Strict first: it is fast, and it is what our own clients send.
        if let Ok(value) = serde_json::from_str(raw.get()) {
            return Some(value);
        }
        let value: Value = serde_json::from_str(raw.get()).unwrap_or_default();
        match lax::from_value(&value) {
            Ok(value) => Some(value),
            Err(error) => {
                let path: Vec<Segment> = std::iter::once(at()).chain(error.path).collect();
                let input = path
                    .iter()
                    .skip(1)
                    .try_fold(&value, |inner, segment| segment.within(inner))
                    .cloned()
                    .unwrap_or(Value::Null);
                self.problems.push(problem(error.kind, &path, &error.message, input));
                None
            }
        }
    }

    #[allow(clippy::result_large_err)]
    pub fn finish(self) -> Result<(), Response> {
        if self.problems.is_empty() { Ok(()) } else { Err(refuse(self.problems)) }
    }
}

/// The value of an argument that is not there: `None` for an `Option`, nothing for every other type.
pub fn absent<T: DeserializeOwned>() -> Option<T> {
    T::deserialize(Missing).ok()
}

struct Missing;

impl<'de> serde::Deserializer<'de> for Missing {
    type Error = PlainError;

    fn deserialize_any<V: serde::de::Visitor<'de>>(self, _: V) -> Result<V::Value, PlainError> {
        Err(serde::de::Error::custom("missing"))
    }

    fn deserialize_option<V: serde::de::Visitor<'de>>(self, visitor: V) -> Result<V::Value, PlainError> {
        visitor.visit_none()
    }

    serde::forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit unit_struct newtype_struct
        seq tuple tuple_struct map struct enum identifier ignored_any
    }
}

fn problem(kind: &str, path: &[Segment], message: &str, input: Value) -> Value {
    let location: Vec<Value> = std::iter::once(Value::from("body")).chain(path.iter().map(Segment::to_json)).collect();
    json!({"type": kind, "loc": location, "msg": message, "input": input})
}

fn refuse(problems: Vec<Value>) -> Response {
    (StatusCode::UNPROCESSABLE_ENTITY, Json(json!({"detail": problems}))).into_response()
}
