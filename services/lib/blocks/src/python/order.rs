//! Python's `==` and `<` on JSON values.

use std::cmp::Ordering;

use serde_json::Value;

use super::number::Numeric;
use super::type_name;

/// `left == right`: `1 == 1.0 == True`, containers by element, never an error.
pub(crate) fn equal(left: &Value, right: &Value) -> bool {
    if let (Some(left), Some(right)) = (Numeric::of(left), Numeric::of(right)) {
        return left.compare(right) == Some(Ordering::Equal);
    }
    match (left, right) {
        (Value::Array(left), Value::Array(right)) => left.len() == right.len() && left.iter().zip(right).all(|(left, right)| equal(left, right)),
        (Value::Object(left), Value::Object(right)) => {
            left.len() == right.len() && left.iter().all(|(key, value)| right.get(key).is_some_and(|other| equal(value, other)))
        }
        _ => left == right,
    }
}

/// The index of the first equal element.
pub(crate) fn position(items: &[Value], value: &Value) -> Option<usize> {
    items.iter().position(|item| equal(item, value))
}

/// Values of types that Python does not order.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("not supported between instances of '{left}' and '{right}'")]
pub(crate) struct Unordered {
    left: &'static str,
    right: &'static str,
}

/// The order of two values: numbers, texts, and lists element by element.
pub(crate) fn compare(left: &Value, right: &Value) -> Result<Option<Ordering>, Unordered> {
    if let (Some(left), Some(right)) = (Numeric::of(left), Numeric::of(right)) {
        return Ok(left.compare(right));
    }
    match (left, right) {
        // Scalar values in UTF-8 sort as code points do, which is Python's order.
        (Value::String(left), Value::String(right)) => Ok(Some(left.cmp(right))),
        (Value::Array(left), Value::Array(right)) => match left.iter().zip(right).find(|(left, right)| !equal(left, right)) {
            Some((left, right)) => compare(left, right),
            None => Ok(Some(left.len().cmp(&right.len()))),
        },
        _ => Err(Unordered {
            left: type_name(left),
            right: type_name(right),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use serde_json::json;

    use super::{compare, equal};

    #[test]
    fn numbers_and_booleans_are_equal_by_value() {
        assert!(equal(&json!(1), &json!(1.0)) && equal(&json!(1), &json!(true)) && equal(&json!([0]), &json!([false])));
        assert!(equal(&json!({ "a": 1, "b": 2 }), &json!({ "b": 2.0, "a": true })));
        assert!(!equal(&json!("1"), &json!(1)) && !equal(&json!(null), &json!(false)) && !equal(&json!([]), &json!({})));
    }

    #[test]
    fn text_does_not_order_against_numbers() {
        assert!(compare(&json!("a"), &json!(1)).is_err());
        assert!(compare(&json!({}), &json!({})).is_err());
        assert_eq!(compare(&json!([1, 2]), &json!([1, 3])), Ok(Some(Ordering::Less)));
        assert_eq!(compare(&json!([1, "a"]), &json!([2, 5])), Ok(Some(Ordering::Less)));
    }
}
