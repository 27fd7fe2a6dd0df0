//! Recorded values against seen ones: numbers by value, keys in any order, matchers for what may vary.

use serde_json::Value;

/// `None` when they are the same, else the first difference.
pub fn difference(wanted: &Value, seen: &Value) -> Option<String> {
    if let Some(kind) = wanted.get("$match").and_then(Value::as_str) {
        let text = |key: &str| wanted[key].as_str().unwrap_or_default();
        let fits = match kind {
            "regex" => seen
                .as_str()
                .is_some_and(|seen| regex::Regex::new(&format!("^(?:{})", text("pattern"))).unwrap().is_match(seen)),
            "prefix" => seen.as_str().is_some_and(|seen| seen.starts_with(text("prefix"))),
            "list" => seen.as_array().is_some_and(|items| Some(items.len() as u64) == wanted["length"].as_u64()),
            _ => true,
        };
        return (!fits).then(|| format!("{seen} does not fit {wanted}"));
    }
    match (wanted, seen) {
        (Value::Number(a), Value::Number(b)) => {
            let (a, b) = (a.as_f64()?, b.as_f64()?);
            let same = a == b || (a - b).abs() <= 1e-9 * a.abs().max(b.abs());
            (!same).then(|| format!("wanted {wanted}, saw {seen}"))
        }
        (Value::Array(a), Value::Array(b)) if a.len() == b.len() => a.iter().zip(b).find_map(|(a, b)| difference(a, b)),
        (Value::Object(a), Value::Object(b)) if a.len() == b.len() => a.iter().find_map(|(key, a)| match b.get(key) {
            Some(b) => difference(a, b).map(|text| format!("{key}: {text}")),
            None => Some(format!("{key} is missing")),
        }),
        _ => (wanted != seen).then(|| format!("wanted {wanted}, saw {seen}")),
    }
}
