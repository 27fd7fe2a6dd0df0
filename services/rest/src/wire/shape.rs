//! What a request body must look like, and the words in which it is refused.
//!
//! The frontend reads `detail[].loc` and `detail[].msg` of a 422 (rest.md §2.9), so bodies are checked here with every
//! problem found and named as the contract names them, before serde turns them into types. Values are coerced as
//! leniently as the reference does it: `"2"` is an integer, `"yes"` is true.

use std::ops::RangeInclusive;

use serde::Serialize;
use serde_json::{Number, Value, json};

/// More problems than this are not worth reading.
const MAX_PROBLEMS: usize = 200;
/// An echoed `input` that is longer than this is left out.
const MAX_ECHO: usize = 2048;

/// The shape of a value.
#[derive(Debug, Clone, Copy)]
pub enum Shape {
    Text,
    /// In 32 bits, as nearly every integer of the contract's requests is stored.
    Integer,
    /// In 64 bits.
    Long,
    Flag,
    /// One of these texts.
    OneOf(&'static [&'static str]),
    /// Any JSON.
    Any,
    /// An object whose content is nobody's business here.
    Object,
    /// An object with values of one shape.
    MapOf(&'static Shape),
    List(&'static Shape),
    /// An object with these fields; others are ignored.
    Model(&'static [Field]),
    /// The shape, or null.
    Nullable(&'static Shape),
}

#[derive(Debug, Clone, Copy)]
pub struct Field {
    name: &'static str,
    shape: Shape,
    required: bool,
}

impl Field {
    pub const fn required(name: &'static str, shape: Shape) -> Self {
        Self { name, shape, required: true }
    }

    pub const fn optional(name: &'static str, shape: Shape) -> Self {
        Self {
            name,
            shape,
            required: false,
        }
    }
}

/// One step of the way to a problem.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(untagged)]
pub enum Step {
    Name(String),
    Index(usize),
}

/// One entry of a 422 body's `detail`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Problem {
    #[serde(rename = "type")]
    pub kind: &'static str,
    pub loc: Vec<Step>,
    pub msg: String,
    pub input: Value,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ctx: Option<Value>,
}

impl Problem {
    pub fn new(kind: &'static str, loc: &[&str], msg: impl Into<String>, input: Value) -> Self {
        Self {
            kind,
            loc: loc.iter().map(|name| Step::Name((*name).to_owned())).collect(),
            msg: msg.into(),
            input,
            ctx: None,
        }
    }

    pub fn with_context(mut self, ctx: Value) -> Self {
        self.ctx = Some(ctx);
        self
    }
}

/// Checks `value` and gives it back coerced, without the fields that nobody asked for.
///
/// `root` is the beginning of every location: `body`, `query` or `path`.
pub fn check(shape: &Shape, value: Value, root: &[&str]) -> Result<Value, Vec<Problem>> {
    let mut checker = Checker {
        path: root.iter().map(|name| Step::Name((*name).to_owned())).collect(),
        problems: Vec::new(),
    };
    let coerced = checker.check(shape, value);
    if checker.problems.is_empty() {
        Ok(coerced)
    } else {
        Err(checker.problems)
    }
}

struct Checker {
    path: Vec<Step>,
    problems: Vec<Problem>,
}

impl Checker {
    fn check(&mut self, shape: &Shape, value: Value) -> Value {
        match shape {
            Shape::Text => match value {
                Value::String(_) => value,
                other => self.refuse("string_type", "Input should be a valid string", &other),
            },
            Shape::Integer => self.integer(value, i64::from(i32::MIN)..=i64::from(i32::MAX)),
            Shape::Long => self.integer(value, i64::MIN..=i64::MAX),
            Shape::Flag => self.flag(value),
            Shape::OneOf(words) => self.one_of(words, value),
            Shape::Any => value,
            Shape::Object => match value {
                Value::Object(_) => value,
                other => self.refuse("dict_type", "Input should be a valid dictionary", &other),
            },
            Shape::MapOf(inner) => match value {
                Value::Object(map) => {
                    let checked = map.into_iter().map(|(name, value)| {
                        let value = self.inside(Step::Name(name.clone()), |checker| checker.check(inner, value));
                        (name, value)
                    });
                    Value::Object(checked.collect())
                }
                other => self.refuse("dict_type", "Input should be a valid dictionary", &other),
            },
            Shape::List(inner) => match value {
                Value::Array(items) => {
                    let checked = items.into_iter().enumerate();
                    let checked = checked.map(|(index, item)| self.inside(Step::Index(index), |checker| checker.check(inner, item)));
                    Value::Array(checked.collect())
                }
                other => self.refuse("list_type", "Input should be a valid list", &other),
            },
            Shape::Model(fields) => self.model(fields, value),
            Shape::Nullable(inner) if !value.is_null() => self.check(inner, value),
            Shape::Nullable(_) => value,
        }
    }

    fn model(&mut self, fields: &[Field], value: Value) -> Value {
        let Value::Object(mut given) = value else {
            return self.refuse(
                "model_attributes_type",
                "Input should be a valid dictionary or object to extract fields from",
                &value,
            );
        };
        let echo = fields
            .iter()
            .any(|field| field.required && !given.contains_key(field.name))
            .then(|| echo(&Value::Object(given.clone())));
        let mut taken = model::Map::new();
        for field in fields {
            match given.swap_remove(field.name) {
                Some(value) => {
                    let value = self.inside(Step::Name(field.name.to_owned()), |checker| checker.check(&field.shape, value));
                    taken.insert(field.name.to_owned(), value);
                }
                None if field.required => {
                    let input = echo.clone().unwrap_or_default();
                    self.inside(Step::Name(field.name.to_owned()), |checker| {
                        checker.report("missing", "Field required".to_owned(), input);
                    });
                }
                None => {}
            }
        }
        Value::Object(taken)
    }

    fn integer(&mut self, value: Value, range: RangeInclusive<i64>) -> Value {
        const SIZE: &str = "Unable to parse input string as an integer, exceeded maximum size";
        let number = match &value {
            Value::Bool(flag) => Some(i64::from(*flag)),
            Value::Number(number) if number.is_f64() => match number.as_f64().filter(|float| float.fract() == 0.0) {
                Some(float) if float.abs() < 9e15 => Some(float as i64),
                Some(_) => return self.refuse("int_parsing_size", SIZE, &value),
                None => {
                    return self.refuse(
                        "int_from_float",
                        "Input should be a valid integer, got a number with a fractional part",
                        &value,
                    );
                }
            },
            Value::Number(number) => number.as_i64(),
            Value::String(text) => match integer_from_text(text) {
                Some(number) => Some(number),
                None => {
                    return self.refuse(
                        "int_parsing",
                        "Input should be a valid integer, unable to parse string as an integer",
                        &value,
                    );
                }
            },
            _ => return self.refuse("int_type", "Input should be a valid integer", &value),
        };
        match number.filter(|number| range.contains(number)) {
            Some(number) => Value::Number(Number::from(number)),
            None => self.refuse("int_parsing_size", SIZE, &value),
        }
    }

    fn flag(&mut self, value: Value) -> Value {
        match flag_from(&value) {
            Some(flag) => Value::Bool(flag),
            None if value.is_string() || value.is_number() => {
                self.refuse("bool_parsing", "Input should be a valid boolean, unable to interpret input", &value)
            }
            None => self.refuse("bool_type", "Input should be a valid boolean", &value),
        }
    }

    fn one_of(&mut self, words: &[&str], value: Value) -> Value {
        if value.as_str().is_some_and(|text| words.contains(&text)) {
            return value;
        }
        let expected = match words.split_last() {
            Some((last, [])) => format!("'{last}'"),
            Some((last, others)) => format!("'{}' or '{last}'", others.join("', '")),
            None => String::new(),
        };
        self.refuse("literal_error", &format!("Input should be {expected}"), &value)
    }

    fn inside<T>(&mut self, step: Step, check: impl FnOnce(&mut Self) -> T) -> T {
        self.path.push(step);
        let result = check(self);
        self.path.pop();
        result
    }

    fn refuse(&mut self, kind: &'static str, msg: &str, input: &Value) -> Value {
        self.report(kind, msg.to_owned(), echo(input));
        Value::Null
    }

    fn report(&mut self, kind: &'static str, msg: String, input: Value) {
        if self.problems.len() < MAX_PROBLEMS {
            self.problems.push(Problem {
                kind,
                loc: self.path.clone(),
                msg,
                input,
                ctx: None,
            });
        }
    }
}

/// `input` as the answer repeats it. A whole graph would only bury the message.
fn echo(input: &Value) -> Value {
    match input {
        Value::Object(_) | Value::Array(_) | Value::String(_) if input.to_string().len() > MAX_ECHO => json!("…"),
        other => other.clone(),
    }
}

/// An integer as the reference reads it from text: spaces around it, a sign, and `.0` behind it are fine.
pub fn integer_from_text(text: &str) -> Option<i64> {
    let text = text.trim();
    let whole = match text.split_once('.') {
        Some((whole, zeros)) if zeros.bytes().all(|byte| byte == b'0') => whole,
        Some(_) => return None,
        None => text,
    };
    whole.parse().ok()
}

/// A flag as the reference reads it from JSON or a query string.
pub fn flag_from(value: &Value) -> Option<bool> {
    match value {
        Value::Bool(flag) => Some(*flag),
        Value::Number(number) => match number.as_f64() {
            Some(0.0) => Some(false),
            Some(1.0) => Some(true),
            _ => None,
        },
        Value::String(text) => match text.to_ascii_lowercase().as_str() {
            "true" | "t" | "yes" | "y" | "on" | "1" => Some(true),
            "false" | "f" | "no" | "n" | "off" | "0" => Some(false),
            _ => None,
        },
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::{Field, Shape, check};
    use serde_json::{Value, json};

    const ITEM: Shape = Shape::Model(&[Field::required("id", Shape::Text), Field::optional("count", Shape::Integer)]);
    const SHAPE: Shape = Shape::Model(&[
        Field::required("name", Shape::Text),
        Field::optional("on", Shape::Flag),
        Field::optional("items", Shape::List(&ITEM)),
        Field::optional("map", Shape::MapOf(&ITEM)),
        Field::optional("note", Shape::Nullable(&Shape::Text)),
    ]);

    fn problems(value: Value) -> Value {
        let found = check(&SHAPE, value, &["body"]).unwrap_err();
        let brief = found.into_iter().map(|problem| json!([problem.kind, problem.loc]));
        Value::Array(brief.collect())
    }

    #[test]
    fn every_problem_is_named_with_its_place() {
        let value = json!({"on": 3, "items": [{"id": "a"}, {"id": 1, "count": 1.5}, 7], "map": {"k": {}}});
        assert_eq!(
            problems(value),
            json!([
                ["missing", ["body", "name"]],
                ["bool_parsing", ["body", "on"]],
                ["string_type", ["body", "items", 1, "id"]],
                ["int_from_float", ["body", "items", 1, "count"]],
                ["model_attributes_type", ["body", "items", 2]],
                ["missing", ["body", "map", "k", "id"]],
            ])
        );
        assert_eq!(problems(json!([])), json!([["model_attributes_type", ["body"]]]));
        assert_eq!(problems(json!({"name": "x", "items": null})), json!([["list_type", ["body", "items"]]]));
    }

    #[test]
    fn values_are_coerced_and_unknown_fields_dropped() {
        let given = json!({"name": "x", "on": "Yes", "items": [{"id": "a", "count": " 2 "}, {"id": "b", "count": 3.0}], "note": null, "other": 1});
        let taken = json!({"name": "x", "on": true, "items": [{"id": "a", "count": 2}, {"id": "b", "count": 3}], "note": null});
        assert_eq!(check(&SHAPE, given, &["body"]).unwrap(), taken);
    }

    #[test]
    fn integers_that_cannot_be_stored_are_refused() {
        for count in [json!(5_000_000_000_i64), json!(1e300), json!("99999999999"), json!(u64::MAX)] {
            assert_eq!(
                problems(json!({"name": "x", "items": [{"id": "a", "count": count}]}))
                    .as_array()
                    .unwrap()
                    .len(),
                1
            );
        }
    }

    #[test]
    fn a_long_input_is_not_repeated() {
        let found = check(&SHAPE, json!({"name": {"x": "y".repeat(5000)}}), &["body"]).unwrap_err();
        assert_eq!(found[0].input, json!("…"));
    }
}
