//! What a value becomes when it arrives at a pin of another type (internals §2.5, findings 1–5).

use indexmap::IndexMap;
use serde_json::{Number, Value};

use crate::json::parse_json;
use crate::text::{json_text, parse_float, strip};
use crate::types::PinType;
use crate::value::{Converted, MAX_DEPTH};

/// A value that cannot become the pin's type.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ConversionError {
    /// Text or a number beyond all floats cannot become an integer.
    #[error("Failed to convert value to an integer: cannot convert float infinity to integer")]
    InfiniteInteger,
    #[error("Failed to convert value: it is nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

/// Converts a value to a pin's type. Scalars never fail but for infinite integers; types that are checked elsewhere leave the value alone.
pub fn convert(value: Value, ty: &PinType) -> Result<Converted, ConversionError> {
    convert_at(Converted::Value(value), ty, 0)
}

fn convert_at(value: Converted, ty: &PinType, depth: usize) -> Result<Converted, ConversionError> {
    if depth > MAX_DEPTH {
        return Err(ConversionError::TooDeep);
    }
    match ty {
        PinType::Any | PinType::None | PinType::Literal(_) | PinType::Opaque => Ok(value),
        PinType::ShortText | PinType::LongText | PinType::File => Ok(value),
        PinType::Str => Ok(to_text(value)),
        PinType::Int => to_integer(value),
        PinType::Float => Ok(to_float(value)),
        PinType::Bool => Ok(Converted::Value(Value::Bool(to_bool(&value)))),
        PinType::List(element) => to_list(value, element, depth),
        PinType::Dict(key, element) => to_dict(value, key, element, depth),
        PinType::Optional(_) | PinType::Union(_) if is_null(&value) && ty.takes_null() => Ok(value),
        PinType::Optional(inner) => convert_at(value, inner, depth),
        PinType::Union(members) => match members.iter().find(|member| **member != PinType::None) {
            Some(first) => convert_at(value, first, depth),
            None => Ok(value),
        },
    }
}

fn is_null(value: &Converted) -> bool {
    matches!(value, Converted::Value(Value::Null))
}

fn to_text(value: Converted) -> Converted {
    match value {
        Converted::Value(Value::String(_)) => value,
        other => Converted::Value(Value::String(json_text(&other))),
    }
}

/// Elements of a container; `None` for anything else.
fn length(value: &Converted) -> Option<usize> {
    match value {
        Converted::Value(Value::Array(items)) => Some(items.len()),
        Converted::Value(Value::Object(entries)) => Some(entries.len()),
        Converted::List(items) => Some(items.len()),
        Converted::Map(entries) => Some(entries.len()),
        _ => None,
    }
}

/// Unparsable text is 0, containers are their length.
fn number_of(value: &Converted) -> f64 {
    match value {
        Converted::NonFinite(number) => *number,
        Converted::Value(Value::Bool(flag)) => f64::from(u8::from(*flag)),
        Converted::Value(Value::Number(number)) => number.as_f64().unwrap_or_default(),
        Converted::Value(Value::String(text)) => parse_float(text).unwrap_or_default(),
        other => length(other).unwrap_or_default() as f64,
    }
}

fn to_float(value: Converted) -> Converted {
    match value {
        Converted::Value(Value::Number(ref number)) if number.is_f64() => value,
        other => Converted::float(number_of(&other)),
    }
}

fn to_integer(value: Converted) -> Result<Converted, ConversionError> {
    match &value {
        // A boolean counts as an integer and stays as it is.
        Converted::Value(Value::Bool(_)) => return Ok(value),
        Converted::Value(Value::Number(number)) if !number.is_f64() => return Ok(value),
        _ => {}
    }
    let number = number_of(&value);
    if number.is_infinite() {
        return Err(ConversionError::InfiniteInteger);
    }
    Ok(Converted::Value(Value::Number(whole(number))))
}

/// The number without its fraction; not-a-number is 0. Beyond 64 bits it stays a float without fraction.
fn whole(number: f64) -> Number {
    let truncated = number.trunc();
    if truncated >= i64::MIN as f64 && truncated < i64::MAX as f64 {
        return Number::from(truncated as i64);
    }
    if truncated >= 0.0 && truncated < u64::MAX as f64 {
        return Number::from(truncated as u64);
    }
    Number::from_f64(truncated).unwrap_or_else(|| Number::from(0))
}

fn to_bool(value: &Converted) -> bool {
    match value {
        Converted::Value(Value::Null) => false,
        Converted::Value(Value::Bool(flag)) => *flag,
        Converted::Value(Value::String(text)) => text == "1" || text.to_lowercase() == "true",
        Converted::Value(Value::Number(_)) | Converted::NonFinite(_) => number_of(value) != 0.0,
        other => length(other).is_some_and(|length| length > 0),
    }
}

/// The elements of a list, or the pairs of a map; anything else comes back as `Err`.
fn into_items(value: Converted) -> Result<Vec<Converted>, Converted> {
    match value {
        Converted::Value(Value::Array(items)) => Ok(items.into_iter().map(Converted::Value).collect()),
        Converted::List(items) => Ok(items),
        other => Err(other),
    }
}

fn into_entries(value: Converted) -> Result<Vec<(String, Converted)>, Converted> {
    match value {
        Converted::Value(Value::Object(entries)) => Ok(entries.into_iter().map(|(key, item)| (key, Converted::Value(item))).collect()),
        Converted::Map(entries) => Ok(entries.into_iter().collect()),
        other => Err(other),
    }
}

fn to_list(value: Converted, element: &PinType, depth: usize) -> Result<Converted, ConversionError> {
    let items = match into_items(value) {
        Ok(items) => items,
        Err(Converted::Value(Value::String(text))) => items_of_text(&text),
        Err(other) => match into_entries(other) {
            Ok(entries) => entries.into_iter().map(pair).collect(),
            Err(scalar) => vec![scalar],
        },
    };
    if *element == PinType::Any {
        return Ok(Converted::list(items));
    }
    let converted: Result<Vec<_>, _> = items.into_iter().map(|item| convert_at(item, element, depth + 1)).collect();
    Ok(Converted::list(converted?))
}

fn pair((key, item): (String, Converted)) -> Converted {
    Converted::list(vec![Converted::Value(Value::String(key)), item])
}

/// Text in brackets that is JSON gives its elements; other text is trimmed and wrapped (finding 3).
fn items_of_text(text: &str) -> Vec<Converted> {
    let trimmed = strip(text);
    let bracketed = trimmed.starts_with('[') && trimmed.ends_with(']');
    let parsed = bracketed.then(|| parse_json(trimmed)).flatten().map(into_items);
    match parsed {
        Some(Ok(items)) => items,
        _ => vec![Converted::Value(Value::String(trimmed.to_owned()))],
    }
}

fn to_dict(value: Converted, key_type: &PinType, element: &PinType, depth: usize) -> Result<Converted, ConversionError> {
    let parsed = match value {
        Converted::Value(Value::String(text)) => match parse_json(&text).map(into_entries) {
            Some(Ok(entries)) => Ok(entries),
            Some(Err(other)) => Ok(vec![("value".to_owned(), other)]),
            None => Ok(vec![("value".to_owned(), Converted::Value(Value::String(text)))]),
        },
        other => into_entries(other),
    };
    let entries = match parsed.map_err(into_items) {
        Ok(entries) => entries,
        Err(Ok(items)) => items.into_iter().enumerate().map(|(index, item)| (index.to_string(), item)).collect(),
        Err(Err(scalar)) => vec![("value".to_owned(), scalar)],
    };
    let mut converted = IndexMap::with_capacity(entries.len());
    for (key, item) in entries {
        let item = match element {
            PinType::Any => item,
            _ => convert_at(item, element, depth + 1)?,
        };
        converted.insert(converted_key(key, key_type)?, item);
    }
    Ok(Converted::map(converted))
}

/// Keys are converted like values and are text again afterwards, as JSON wants it.
fn converted_key(key: String, ty: &PinType) -> Result<String, ConversionError> {
    if matches!(ty, PinType::Str | PinType::Any) {
        return Ok(key);
    }
    Ok(match convert_at(Converted::Value(Value::String(key)), ty, 0)? {
        Converted::Value(Value::String(text)) => text,
        other => json_text(&other),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn expected(value: &Value) -> Converted {
        match value {
            Value::Object(map) => match map.get("$float").and_then(Value::as_str) {
                Some(name) => Converted::NonFinite(parse_float(name).unwrap()),
                None => Converted::map(map.iter().map(|(key, item)| (key.clone(), expected(item))).collect()),
            },
            Value::Array(items) => Converted::list(items.iter().map(expected).collect()),
            scalar => Converted::Value(scalar.clone()),
        }
    }

    /// Equal, numbers by value, order of keys free.
    fn same(a: &Converted, b: &Converted) -> bool {
        match (a, b) {
            (Converted::NonFinite(a), Converted::NonFinite(b)) => a == b || (a.is_nan() && b.is_nan()),
            (Converted::List(a), Converted::List(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| same(a, b)),
            (Converted::Map(a), Converted::Map(b)) => a.len() == b.len() && a.iter().all(|(key, a)| b.get(key).is_some_and(|b| same(a, b))),
            (Converted::Value(a), Converted::Value(b)) => crate::testing::same_json(a, b),
            _ => false,
        }
    }

    #[test]
    fn every_recorded_conversion_is_reproduced() {
        let mut wrong = Vec::new();
        let cases = crate::testing::recorded("conversions.jsonl");
        assert_eq!(cases.len(), 648);
        for case in &cases {
            let ty: PinType = case["type"].as_str().unwrap().parse().unwrap();
            let got = convert(case["value"].clone(), &ty);
            let right = match (&got, case.get("expected")) {
                (Ok(got), Some(wanted)) => same(got, &expected(wanted)),
                (Err(_), None) => true,
                _ => false,
            };
            if !right {
                wrong.push(format!("{case} gave {got:?}"));
            }
        }
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn deep_values_are_an_error_not_a_crash() {
        let ty = (0..32).fold(PinType::Int, |inner, _| PinType::list(inner));
        let value = (0..60).fold(json!(1), |inner, _| json!([inner]));
        assert!(convert(value, &ty).is_ok());
    }
}
