//! The part of JSON Schema that pins use, compiled once per block (internals §2.5 step 7 and the block contract of §2.10).
//!
//! Known: `type enum const anyOf oneOf allOf not properties required additionalProperties items prefixItems` and the bounds on
//! numbers, lengths and counts. `format`, `pattern` and annotations are left to the blocks.

use std::fmt::Write;

use indexmap::IndexMap;
use serde_json::{Map, Value};

use crate::value::MAX_DEPTH;

/// A compiled schema.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Check {
    types: Vec<Kind>,
    allowed: Option<Vec<Value>>,
    any_of: Vec<Check>,
    one_of: Vec<Check>,
    all_of: Vec<Check>,
    not: Option<Box<Check>>,
    properties: IndexMap<String, Check>,
    required: Vec<String>,
    additional: Option<Box<Check>>,
    items: Option<Box<Check>>,
    prefix_items: Vec<Check>,
    bounds: Vec<Bound>,
    /// The schema `false`.
    never: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Kind {
    Null,
    Boolean,
    Integer,
    Number,
    Text,
    List,
    Object,
}

const KINDS: [(&str, Kind); 7] = [
    ("null", Kind::Null),
    ("boolean", Kind::Boolean),
    ("integer", Kind::Integer),
    ("number", Kind::Number),
    ("string", Kind::Text),
    ("array", Kind::List),
    ("object", Kind::Object),
];

impl Kind {
    fn fits(self, value: &Value) -> bool {
        match self {
            Self::Null => value.is_null(),
            Self::Boolean => value.is_boolean(),
            Self::Integer => is_integer(value),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::List => value.is_array(),
            Self::Object => value.is_object(),
        }
    }

    fn name(self) -> &'static str {
        KINDS.iter().find(|(_, kind)| *kind == self).map_or("any", |(name, _)| *name)
    }
}

fn is_integer(value: &Value) -> bool {
    value.is_i64() || value.is_u64() || value.as_f64().is_some_and(|number| number.fract() == 0.0)
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum Bound {
    Minimum(f64),
    Maximum(f64),
    ExclusiveMinimum(f64),
    ExclusiveMaximum(f64),
    MinLength(u64),
    MaxLength(u64),
    MinItems(u64),
    MaxItems(u64),
}

impl Bound {
    fn holds(self, value: &Value) -> bool {
        let number = |holds: fn(f64, f64) -> bool, bound| value.as_f64().is_none_or(|number| holds(number, bound));
        let length = || value.as_str().map(|text| text.chars().count() as u64);
        let count = || value.as_array().map(|items| items.len() as u64);
        match self {
            Self::Minimum(bound) => number(|number, bound| number >= bound, bound),
            Self::Maximum(bound) => number(|number, bound| number <= bound, bound),
            Self::ExclusiveMinimum(bound) => number(|number, bound| number > bound, bound),
            Self::ExclusiveMaximum(bound) => number(|number, bound| number < bound, bound),
            Self::MinLength(bound) => length().is_none_or(|length| length >= bound),
            Self::MaxLength(bound) => length().is_none_or(|length| length <= bound),
            Self::MinItems(bound) => count().is_none_or(|count| count >= bound),
            Self::MaxItems(bound) => count().is_none_or(|count| count <= bound),
        }
    }
}

impl Check {
    /// Compiles a schema. What is not understood is not checked.
    pub fn compile(schema: &Value) -> Self {
        Self::compile_at(schema, 0)
    }

    fn compile_at(schema: &Value, depth: usize) -> Self {
        let schema = match schema {
            Value::Object(schema) if depth <= MAX_DEPTH => schema,
            other => {
                return Self {
                    never: *other == Value::Bool(false),
                    ..Self::default()
                };
            }
        };
        let one = |key: &str| {
            schema
                .get(key)
                .filter(|inner| !inner.is_null())
                .map(|inner| Box::new(Self::compile_at(inner, depth + 1)))
        };
        let many = |key: &str| -> Vec<Self> {
            let members = schema.get(key).and_then(Value::as_array);
            members
                .map(|members| members.iter().map(|inner| Self::compile_at(inner, depth + 1)).collect())
                .unwrap_or_default()
        };
        let properties = schema.get("properties").and_then(Value::as_object);
        let required = schema.get("required").and_then(Value::as_array);
        Self {
            types: kinds(schema.get("type")),
            allowed: allowed(schema),
            any_of: many("anyOf"),
            one_of: many("oneOf"),
            all_of: many("allOf"),
            not: one("not"),
            properties: properties
                .map(|properties| {
                    properties
                        .iter()
                        .map(|(name, inner)| (name.clone(), Self::compile_at(inner, depth + 1)))
                        .collect()
                })
                .unwrap_or_default(),
            required: required
                .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
                .unwrap_or_default(),
            additional: one("additionalProperties"),
            items: one("items"),
            prefix_items: many("prefixItems"),
            bounds: bounds(schema),
            never: false,
        }
    }

    /// `Ok`, or where and why the value does not fit.
    pub fn test(&self, value: &Value) -> Result<(), Misfit> {
        self.test_at(value, 0)
    }

    fn test_at(&self, value: &Value, depth: usize) -> Result<(), Misfit> {
        if depth > 2 * MAX_DEPTH {
            return Err(Misfit::new("is nested too deeply".to_owned()));
        }
        let refuse = |reason: String| Err(Misfit::new(format!("{} {reason}", excerpt(value))));
        if self.never {
            return refuse("is not allowed".to_owned());
        }
        if !self.types.is_empty() && !self.types.iter().any(|kind| kind.fits(value)) {
            let names: Vec<_> = self.types.iter().map(|kind| kind.name()).collect();
            return refuse(format!("is not of type {}", names.join(" or ")));
        }
        if let Some(allowed) = &self.allowed
            && !allowed.iter().any(|member| same(member, value))
        {
            return refuse(format!("is not one of {}", excerpt(&Value::Array(allowed.clone()))));
        }
        if let Some(bound) = self.bounds.iter().find(|bound| !bound.holds(value)) {
            return refuse(format!("breaks the bound {bound:?}"));
        }
        self.test_parts(value, depth)?;
        self.test_combinations(value, depth)
    }

    fn test_parts(&self, value: &Value, depth: usize) -> Result<(), Misfit> {
        match value {
            Value::Object(entries) => {
                if let Some(missing) = self.required.iter().find(|name| !entries.contains_key(*name)) {
                    return Err(Misfit::new(format!("{missing:?} is a required property")));
                }
                for (name, entry) in entries {
                    let check = self.properties.get(name).or(self.additional.as_deref());
                    check
                        .map_or(Ok(()), |check| check.test_at(entry, depth + 1))
                        .map_err(|misfit| misfit.below(name))?;
                }
            }
            Value::Array(items) => {
                for (position, item) in items.iter().enumerate() {
                    let check = self.prefix_items.get(position).or(self.items.as_deref());
                    check
                        .map_or(Ok(()), |check| check.test_at(item, depth + 1))
                        .map_err(|misfit| misfit.below(&position.to_string()))?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn test_combinations(&self, value: &Value, depth: usize) -> Result<(), Misfit> {
        let fits = |check: &&Check| check.test_at(value, depth + 1).is_ok();
        for check in &self.all_of {
            check.test_at(value, depth + 1)?;
        }
        if !self.any_of.is_empty() && !self.any_of.iter().any(|check| fits(&check)) {
            return Err(Misfit::new(format!("{} fits none of the allowed forms", excerpt(value))));
        }
        if !self.one_of.is_empty() && self.one_of.iter().filter(fits).count() != 1 {
            return Err(Misfit::new(format!("{} does not fit exactly one of the allowed forms", excerpt(value))));
        }
        if self.not.as_deref().is_some_and(|check| fits(&check)) {
            return Err(Misfit::new(format!("{} has a forbidden form", excerpt(value))));
        }
        Ok(())
    }
}

fn kinds(schema: Option<&Value>) -> Vec<Kind> {
    let kind = |name: &Value| KINDS.iter().find(|(known, _)| name == known).map(|(_, kind)| *kind);
    match schema {
        Some(Value::Array(names)) => names.iter().filter_map(kind).collect(),
        Some(name) => kind(name).into_iter().collect(),
        None => Vec::new(),
    }
}

fn allowed(schema: &Map<String, Value>) -> Option<Vec<Value>> {
    match (schema.get("enum"), schema.get("const")) {
        (Some(Value::Array(members)), _) => Some(members.clone()),
        (_, Some(only)) => Some(vec![only.clone()]),
        _ => None,
    }
}

fn bounds(schema: &Map<String, Value>) -> Vec<Bound> {
    let number = |key: &str| schema.get(key).and_then(Value::as_f64);
    let count = |key: &str| schema.get(key).and_then(Value::as_u64);
    let bounds = [
        number("minimum").map(Bound::Minimum),
        number("maximum").map(Bound::Maximum),
        number("exclusiveMinimum").map(Bound::ExclusiveMinimum),
        number("exclusiveMaximum").map(Bound::ExclusiveMaximum),
        count("minLength").map(Bound::MinLength),
        count("maxLength").map(Bound::MaxLength),
        count("minItems").map(Bound::MinItems),
        count("maxItems").map(Bound::MaxItems),
    ];
    bounds.into_iter().flatten().collect()
}

/// Equal as JSON: 1 and 1.0 are the same number.
fn same(a: &Value, b: &Value) -> bool {
    match (a, b) {
        (Value::Number(a), Value::Number(b)) => a == b || a.as_f64() == b.as_f64(),
        _ => a == b,
    }
}

/// The beginning of a value's text, for messages.
fn excerpt(value: &Value) -> String {
    const LONGEST: usize = 200;
    let mut text = String::new();
    match value {
        Value::Array(items) if items.len() > LONGEST => text.push_str("a long list"),
        Value::Object(entries) if entries.len() > LONGEST => text.push_str("a large object"),
        _ => {
            let _ = write!(text, "{value}");
        }
    }
    if let Some((end, _)) = text.char_indices().nth(LONGEST) {
        text.truncate(end);
        text.push('…');
    }
    text
}

/// Where and why a value does not fit a schema.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Misfit {
    path: Vec<String>,
    reason: String,
}

impl Misfit {
    pub fn new(reason: String) -> Self {
        Self { path: Vec::new(), reason }
    }

    /// The same misfit seen from the container that holds the value under `name`.
    pub fn below(mut self, name: &str) -> Self {
        self.path.push(name.to_owned());
        self
    }
}

impl std::fmt::Display for Misfit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.reason)?;
        if self.path.is_empty() {
            return Ok(());
        }
        f.write_str(" at ")?;
        for (position, name) in self.path.iter().rev().enumerate() {
            let dot = if position == 0 { "" } else { "." };
            write!(f, "{dot}{name}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::Check;
    use serde_json::{Value, json};

    fn fits(schema: &Value, value: &Value) -> bool {
        Check::compile(schema).test(value).is_ok()
    }

    #[test]
    fn types_are_those_of_json_schema() {
        let integer = json!({"type": "integer"});
        assert!(fits(&integer, &json!(1)) && fits(&integer, &json!(1.0)) && fits(&integer, &json!(u64::MAX)));
        assert!(!fits(&integer, &json!(1.5)) && !fits(&integer, &json!(true)) && !fits(&integer, &json!("1")));
        let nullable = json!({"type": ["string", "null"]});
        assert!(fits(&nullable, &Value::Null) && fits(&nullable, &json!("")) && !fits(&nullable, &json!(0)));
        assert!(fits(&json!({}), &json!([1])) && fits(&json!(true), &json!(1)) && !fits(&json!(false), &json!(1)));
    }

    #[test]
    fn members_bounds_and_parts_are_checked() {
        let schema = json!({
            "type": "object",
            "properties": {
                "operation": {"enum": ["Add", 1]},
                "size": {"anyOf": [{"type": "integer", "minimum": 1}, {"type": "null"}]},
                "items": {"type": "array", "items": {"type": "string", "maxLength": 2}, "maxItems": 2},
            },
            "required": ["operation"],
            "additionalProperties": {"type": "number"},
        });
        assert!(fits(&schema, &json!({"operation": 1.0, "size": null, "items": ["é"], "x": 2.5})));
        for wrong in [
            json!({}),
            json!({"operation": "add"}),
            json!({"operation": "Add", "size": 0}),
            json!({"operation": "Add", "items": ["abc"]}),
            json!({"operation": "Add", "items": ["a", "b", "c"]}),
            json!({"operation": "Add", "x": "y"}),
            json!([]),
        ] {
            assert!(!fits(&schema, &wrong), "{wrong}");
        }
    }

    #[test]
    fn a_misfit_says_where() {
        let check = Check::compile(&json!({"properties": {"a": {"items": {"type": "string"}}}}));
        let misfit = check.test(&json!({"a": ["x", 5]})).unwrap_err();
        assert_eq!(misfit.to_string(), "5 is not of type string at a.1");
    }

    #[test]
    fn combinations_hold_together() {
        assert!(fits(&json!({"allOf": [{"minimum": 1}, {"maximum": 2}]}), &json!(1.5)));
        assert!(!fits(&json!({"oneOf": [{"minimum": 1}, {"maximum": 2}]}), &json!(1.5)));
        assert!(!fits(&json!({"not": {"type": "string"}}), &json!("")));
    }
}
