//! Python's view of JSON values, as far as the contract shows it: truth, equality, order, text forms and number parsing.

mod attribute;
mod number;
mod order;
mod text;

use serde_json::Value;

pub(crate) use engine::text::{parse_float, strip};

pub(crate) use attribute::{Attribute, attribute};
pub(crate) use number::{float_text, integer};
pub(crate) use order::{Unordered, compare, equal, position};
pub(crate) use text::{quote, repr, str_of, words};

/// `bool(value)`.
pub(crate) fn truthy(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(flag) => *flag,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(map) => !map.is_empty(),
    }
}

/// `len(value)`; `None` for what has no length.
pub(crate) fn length(value: &Value) -> Option<usize> {
    match value {
        Value::String(text) => Some(text.chars().count()),
        Value::Array(items) => Some(items.len()),
        Value::Object(map) => Some(map.len()),
        _ => None,
    }
}

/// The element that `index` names in a list of this length; negative ones count from the end.
pub(crate) fn element_index(index: i64, length: usize) -> Option<usize> {
    let length = i64::try_from(length).ok()?;
    let from_start = if index < 0 { index.checked_add(length)? } else { index };
    (0..length).contains(&from_start).then(|| usize::try_from(from_start).ok()).flatten()
}

/// The place that `index` names as a slice bound: never out of range.
pub(crate) fn slice_bound(index: i64, length: usize) -> usize {
    let bound = i64::try_from(length).unwrap_or(i64::MAX);
    let from_start = if index < 0 {
        index.saturating_add(bound).max(0)
    } else {
        index.min(bound)
    };
    usize::try_from(from_start).unwrap_or(length)
}

/// Python's name for the type of a value.
pub(crate) fn type_name(value: &Value) -> &'static str {
    match value {
        Value::Null => "NoneType",
        Value::Bool(_) => "bool",
        Value::Number(number) if number.is_f64() => "float",
        Value::Number(_) => "int",
        Value::String(_) => "str",
        Value::Array(_) => "list",
        Value::Object(_) => "dict",
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{element_index, slice_bound, truthy};

    #[test]
    fn empty_values_are_false() {
        for value in [
            json!(null),
            json!(false),
            json!(0),
            json!(0.0),
            json!(-0.0),
            json!(""),
            json!([]),
            json!({}),
        ] {
            assert!(!truthy(&value), "{value}");
        }
        for value in [json!(true), json!(-1), json!(0.1), json!(" "), json!([0]), json!({ "a": null })] {
            assert!(truthy(&value), "{value}");
        }
    }

    #[test]
    fn negative_indexes_count_from_the_end() {
        assert_eq!((element_index(-1, 3), element_index(-4, 3), element_index(3, 3)), (Some(2), None, None));
        assert_eq!((slice_bound(-1, 3), slice_bound(-9, 3), slice_bound(9, 3)), (2, 0, 3));
        assert_eq!((element_index(i64::MIN, 3), slice_bound(i64::MIN, 3)), (None, 0));
    }
}
