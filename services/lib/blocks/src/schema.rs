//! Checks values against the part of JSON Schema that block pins use.

use std::fmt;

use engine::block::Pin;
use model::Map;
use serde_json::Value;

use crate::python;

/// Where and how a value fails its schema. Values are shortened: the text ends up in outputs and logs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mismatch {
    path: String,
    problem: String,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.path.as_str() {
            "" => f.write_str(&self.problem),
            path => write!(f, "`{path}` {}", self.problem),
        }
    }
}

impl Mismatch {
    fn new(problem: impl Into<String>) -> Self {
        Self {
            path: String::new(),
            problem: problem.into(),
        }
    }

    fn below(mut self, step: &str) -> Self {
        self.path = match self.path.as_str() {
            "" => step.to_owned(),
            rest => format!("{step}.{rest}"),
        };
        self
    }
}

/// Checks a map of inputs. Names that are no pins are ignored.
pub(crate) fn check_pins(pins: &[Pin], input: &Map) -> Result<(), Mismatch> {
    for pin in pins {
        match input.get(pin.name) {
            Some(value) => check(&pin.schema, value).map_err(|mismatch| mismatch.below(pin.name))?,
            None if pin.required => return Err(Mismatch::new(format!("`{}` is a required property", pin.name))),
            None => {}
        }
    }
    Ok(())
}

/// Checks one value. Keywords that only inform (title, default, format …) are ignored.
pub(crate) fn check(schema: &Value, value: &Value) -> Result<(), Mismatch> {
    let Value::Object(schema) = schema else { return Ok(()) };
    if let Some(expected) = schema.get("type").and_then(Value::as_str)
        && !is_type(expected, value)
    {
        return Err(Mismatch::new(format!("is not of type {expected}: {}", shorten(value))));
    }
    if let Some(Value::Array(allowed)) = schema.get("enum")
        && !allowed.contains(value)
    {
        return Err(Mismatch::new(format!(
            "is not one of {}: {}",
            Value::from(allowed.clone()),
            shorten(value)
        )));
    }
    if let Some(constant) = schema.get("const")
        && constant != value
    {
        return Err(Mismatch::new(format!("is not {constant}: {}", shorten(value))));
    }
    check_range(schema, value)?;
    check_alternatives(schema, value)?;
    match value {
        Value::Array(items) => check_items(schema, items),
        Value::Object(map) => check_properties(schema, map),
        _ => Ok(()),
    }
}

fn is_type(expected: &str, value: &Value) -> bool {
    match expected {
        "string" => value.is_string(),
        "boolean" => value.is_boolean(),
        "null" => value.is_null(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        "number" => value.is_number(),
        "integer" => value
            .as_number()
            .is_some_and(|number| !number.is_f64() || number.as_f64().is_some_and(|n| n.fract() == 0.0)),
        _ => true,
    }
}

fn check_range(schema: &Map, value: &Value) -> Result<(), Mismatch> {
    let Some(number) = value.as_f64() else { return Ok(()) };
    if let Some(minimum) = schema.get("minimum").and_then(Value::as_f64)
        && number < minimum
    {
        return Err(Mismatch::new(format!("is less than {minimum}: {number}")));
    }
    if let Some(maximum) = schema.get("maximum").and_then(Value::as_f64)
        && number > maximum
    {
        return Err(Mismatch::new(format!("is greater than {maximum}: {number}")));
    }
    Ok(())
}

fn check_alternatives(schema: &Map, value: &Value) -> Result<(), Mismatch> {
    if let Some(Value::Array(any_of)) = schema.get("anyOf")
        && !any_of.iter().any(|alternative| check(alternative, value).is_ok())
    {
        return Err(Mismatch::new(format!("is none of the possible types: {}", shorten(value))));
    }
    if let Some(Value::Array(one_of)) = schema.get("oneOf")
        && one_of.iter().filter(|alternative| check(alternative, value).is_ok()).count() != 1
    {
        return Err(Mismatch::new(format!(
            "does not fit exactly one of the possible types: {}",
            shorten(value)
        )));
    }
    Ok(())
}

fn check_items(schema: &Map, items: &[Value]) -> Result<(), Mismatch> {
    let Some(element) = schema.get("items") else { return Ok(()) };
    for (index, item) in items.iter().enumerate() {
        check(element, item).map_err(|mismatch| mismatch.below(&index.to_string()))?;
    }
    Ok(())
}

fn check_properties(schema: &Map, map: &Map) -> Result<(), Mismatch> {
    let properties = schema.get("properties").and_then(Value::as_object);
    for name in schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
    {
        if !map.contains_key(name) {
            return Err(Mismatch::new(format!("`{name}` is a required property")));
        }
    }
    for (name, value) in map {
        let of_name = properties.and_then(|properties| properties.get(name));
        let of_any = schema.get("additionalProperties").filter(|rest| rest.is_object());
        if let Some(element) = of_name.or(of_any) {
            check(element, value).map_err(|mismatch| mismatch.below(name))?;
        }
    }
    Ok(())
}

fn shorten(value: &Value) -> String {
    const SHOWN: usize = 100;
    let text = python::repr(value);
    match text.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}…", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::check;

    #[test]
    fn a_whole_float_is_an_integer_and_a_boolean_is_no_number() {
        let integer = json!({ "type": "integer" });
        assert!(check(&integer, &json!(2.0)).is_ok());
        assert!(check(&integer, &json!(2.5)).is_err());
        assert!(check(&integer, &json!(true)).is_err());
    }

    #[test]
    fn a_mismatch_names_its_place() {
        let schema = json!({ "type": "array", "items": { "type": "object", "properties": { "id": { "type": "string" } }, "required": ["id"] } });
        let mismatch = check(&schema, &json!([{ "id": "a" }, { "id": 5 }])).unwrap_err();
        assert_eq!(mismatch.to_string(), "`1.id` is not of type string: 5");
        assert_eq!(check(&schema, &json!([{}])).unwrap_err().to_string(), "`0` `id` is a required property");
    }
}
