//! Values between JSON and storage: what conversion yields, and the form in which values are stored.

use indexmap::IndexMap;
use model::Map;
use serde_json::{Number, Value};

/// Values nested deeper than this are neither stored nor passed on. JSON readers on the way stop at 128 levels, the envelope included.
pub const MAX_DEPTH: usize = 100;

/// A converted value. Text such as `inf` becomes a number that JSON cannot hold (findings 1, 3 and 9), so such a value may exist, but cannot be stored.
#[derive(Debug, Clone, PartialEq)]
pub enum Converted {
    Value(Value),
    /// `inf`, `-inf` or `nan`.
    NonFinite(f64),
    /// A list with something not finite inside.
    List(Vec<Converted>),
    /// A map with something not finite inside.
    Map(IndexMap<String, Converted>),
}

impl Converted {
    pub fn float(number: f64) -> Self {
        match Number::from_f64(number) {
            Some(finite) => Self::Value(Value::Number(finite)),
            None => Self::NonFinite(number),
        }
    }

    pub fn list(items: Vec<Converted>) -> Self {
        if !items.iter().all(|item| matches!(item, Self::Value(_))) {
            return Self::List(items);
        }
        Self::Value(Value::Array(items.into_iter().filter_map(Self::into_value).collect()))
    }

    pub fn map(entries: IndexMap<String, Converted>) -> Self {
        if !entries.values().all(|item| matches!(item, Self::Value(_))) {
            return Self::Map(entries);
        }
        let object = entries.into_iter().filter_map(|(key, item)| Some((key, item.into_value()?)));
        Self::Value(Value::Object(object.collect()))
    }

    /// The value, unless something in it is not finite.
    pub fn into_value(self) -> Option<Value> {
        match self {
            Self::Value(value) => Some(value),
            _ => None,
        }
    }
}

/// Why a value cannot be stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum StorageError {
    #[error("Out of range float values are not JSON compliant")]
    NonFinite,
    #[error("The value is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

/// The value as it comes back from storage: control characters gone, keys in storage order (finding 16). It will stand in a map,
/// which counts as the first level.
pub fn storable(value: Value) -> Result<Value, StorageError> {
    store(value, 1, true)
}

/// [`storable`] for every value of a map, whose own keys are put in storage order too.
pub fn storable_map(map: Map) -> Result<Map, StorageError> {
    match store(Value::Object(map), 0, true)? {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The map without control characters, keys in the order in which they are.
pub fn clean_map(map: Map) -> Result<Map, StorageError> {
    match store(Value::Object(map), 0, false)? {
        Value::Object(map) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// Text without the characters that storage drops: 00–08, 0b, 0c, 0e–1f, 7f.
pub fn storable_text(text: String) -> String {
    if text.chars().any(is_dropped) {
        return text.chars().filter(|c| !is_dropped(*c)).collect();
    }
    text
}

fn is_dropped(c: char) -> bool {
    matches!(c, '\0'..='\u{8}' | '\u{b}' | '\u{c}' | '\u{e}'..='\u{1f}' | '\u{7f}')
}

fn store(value: Value, depth: usize, sort: bool) -> Result<Value, StorageError> {
    if depth > MAX_DEPTH {
        return Err(StorageError::TooDeep);
    }
    Ok(match value {
        Value::String(text) => Value::String(storable_text(text)),
        Value::Array(items) => {
            let stored: Result<Vec<Value>, _> = items.into_iter().map(|item| store(item, depth + 1, sort)).collect();
            Value::Array(stored?)
        }
        Value::Object(map) => {
            let mut entries = Vec::with_capacity(map.len());
            for (key, item) in map {
                entries.push((storable_text(key), store(item, depth + 1, sort)?));
            }
            if sort {
                entries.sort_by(|(a, _), (b, _)| a.len().cmp(&b.len()).then_with(|| a.cmp(b)));
            }
            Value::Object(entries.into_iter().collect())
        }
        scalar => scalar,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn stored_objects_show_short_keys_first_and_no_control_characters() {
        let stored = storable(json!({"bb": 1, "a": {"é": "\u{0}x\ty\u{7f}", "z": 2}, "Z\u{1}": []})).unwrap();
        assert_eq!(stored.to_string(), r#"{"Z":[],"a":{"z":2,"é":"x\ty"},"bb":1}"#);
    }

    #[test]
    fn too_deep_a_value_is_refused() {
        let nested = |depth| (0..depth).fold(json!(1), |inner, _| json!([inner]));
        assert!(storable(nested(MAX_DEPTH - 1)).is_ok());
        assert_eq!(storable(nested(MAX_DEPTH)), Err(StorageError::TooDeep));
    }
}
