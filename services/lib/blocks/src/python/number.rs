//! Python's numbers: mixed comparison and text forms.

use std::cmp::Ordering;

use serde_json::Value;

/// A value that counts as a number: booleans do.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum Numeric {
    Int(i128),
    Float(f64),
}

impl Numeric {
    pub(crate) fn of(value: &Value) -> Option<Self> {
        match value {
            Value::Bool(flag) => Some(Self::Int(i128::from(*flag))),
            Value::Number(number) => {
                let whole = number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
                whole.map(Self::Int).or_else(|| number.as_f64().map(Self::Float))
            }
            _ => None,
        }
    }

    /// Exact order of integers and floats; `None` only with not-a-number.
    pub(crate) fn compare(self, other: Self) -> Option<Ordering> {
        match (self, other) {
            (Self::Int(left), Self::Int(right)) => Some(left.cmp(&right)),
            (Self::Float(left), Self::Float(right)) => left.partial_cmp(&right),
            (Self::Int(left), Self::Float(right)) => compare_mixed(left, right),
            (Self::Float(left), Self::Int(right)) => compare_mixed(right, left).map(Ordering::reverse),
        }
    }
}

fn compare_mixed(whole: i128, float: f64) -> Option<Ordering> {
    // Every integer here fits 65 bits, so a float beyond 2^100 decides by its sign.
    if float.is_nan() {
        return None;
    }
    if float.abs() > 1e30 {
        return Some(if float > 0.0 { Ordering::Less } else { Ordering::Greater });
    }
    let floor = float.floor();
    Some(
        whole
            .cmp(&(floor as i128))
            .then(if float > floor { Ordering::Less } else { Ordering::Equal }),
    )
}

/// `int(value)` of a number; what is beyond 64 bits becomes the nearest bound.
pub(crate) fn integer(value: &Value) -> Option<i64> {
    let number = value.as_number()?;
    number
        .as_i64()
        .or_else(|| number.is_u64().then_some(i64::MAX))
        // A float-to-integer cast saturates.
        .or_else(|| number.as_f64().map(|float| float as i64))
}

/// `str(number)`: the shortest digits that read back, with an exponent outside 1e-4..1e16.
pub(crate) fn float_text(number: f64) -> String {
    if number.is_nan() {
        return "nan".to_owned();
    }
    if number.is_infinite() {
        return if number > 0.0 { "inf" } else { "-inf" }.to_owned();
    }
    engine::text::float_text(number)
}

#[cfg(test)]
mod tests {
    use std::cmp::Ordering;

    use serde_json::json;

    use super::{Numeric, float_text};

    #[test]
    fn integers_and_floats_compare_exactly() {
        let compare = |left, right| Numeric::of(&left).unwrap().compare(Numeric::of(&right).unwrap()).unwrap();
        assert_eq!(
            compare(json!(9_007_199_254_740_993_u64), json!(9_007_199_254_740_992.0)),
            Ordering::Greater
        );
        assert_eq!(compare(json!(1), json!(1.5)), Ordering::Less);
        assert_eq!(compare(json!(-1.5), json!(-1)), Ordering::Less);
        assert_eq!(compare(json!(true), json!(1.0)), Ordering::Equal);
        assert_eq!(compare(json!(1e300), json!(u64::MAX)), Ordering::Greater);
    }

    #[test]
    fn floats_print_as_python_prints_them() {
        for (number, text) in [
            (10.0, "10.0"),
            (0.1 + 0.2, "0.30000000000000004"),
            (1e16, "1e+16"),
            (1e-5, "1e-05"),
            (1.5e300, "1.5e+300"),
            (-0.0, "-0.0"),
        ] {
            assert_eq!(float_text(number), text);
        }
    }
}
