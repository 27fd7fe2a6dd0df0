//! Server-side apply that writes nothing when nothing changed.
//!
//! What is wanted is compared with what is there: the hash of what was applied last stands in an annotation, and every
//! wanted field must have its wanted value. Fields that nobody asked for (defaults, other managers) are left alone.

use std::fmt::Debug;

use kube::api::{Api, Patch, PatchParams};
use kube::{Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use sha2::{Digest, Sha256};

use crate::runtime::events::MANAGER;

/// Hash of the object as it was applied last.
pub const ANNOTATION_APPLIED: &str = "autogpt.dev/applied";

/// Why an object could not be applied.
#[derive(Debug, thiserror::Error)]
pub enum ApplyError {
    #[error("{what} cannot be written as JSON: {source}")]
    Unwritable { what: String, source: serde_json::Error },
    #[error("{what} was refused: {source}")]
    Refused { what: String, source: Box<kube::Error> },
}

/// What happened to an object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Applied {
    /// It was as wanted.
    Unchanged,
    /// It was not there.
    Created,
    /// It was there, and something else is wanted now.
    Updated,
    /// Somebody else had changed these fields; they are as wanted again.
    Reverted(Vec<String>),
}

/// Makes the object as wanted. `live` is the object as last seen.
pub async fn apply<K>(api: &Api<K>, desired: &K, live: Option<&K>) -> Result<Applied, ApplyError>
where
    K: Resource<DynamicType = ()> + Serialize + DeserializeOwned + Clone + Debug,
{
    let what = format!("{} {}", K::kind(&()), desired.name_any());
    let unwritable = |source| ApplyError::Unwritable { what: what.clone(), source };
    let mut wanted = serde_json::to_value(desired).map_err(unwritable)?;
    let hash = hash(&wanted);
    if let Some(metadata) = wanted.get_mut("metadata").and_then(Value::as_object_mut) {
        let annotations = metadata.entry("annotations").or_insert_with(|| Value::Object(serde_json::Map::new()));
        if let Some(annotations) = annotations.as_object_mut() {
            annotations.insert(ANNOTATION_APPLIED.to_owned(), Value::String(hash.clone()));
        }
    }
    let outcome = match live {
        None => Applied::Created,
        Some(live) => {
            let same_wish = live.annotations().get(ANNOTATION_APPLIED) == Some(&hash);
            let mut drift = Vec::new();
            compare("", &wanted, &serde_json::to_value(live).map_err(unwritable)?, &mut drift);
            match (same_wish, drift.is_empty()) {
                (true, true) => return Ok(Applied::Unchanged),
                (true, false) => Applied::Reverted(drift),
                (false, _) => Applied::Updated,
            }
        }
    };
    api.patch(&desired.name_any(), &PatchParams::apply(MANAGER).force(), &Patch::Apply(&wanted))
        .await
        .map_err(|source| ApplyError::Refused {
            what,
            source: Box::new(source),
        })?;
    Ok(outcome)
}

/// A short hash of a JSON value.
pub fn hash(value: &Value) -> String {
    let digest = Sha256::digest(value.to_string().as_bytes());
    digest.iter().take(8).map(|byte| format!("{byte:02x}")).collect()
}

/// Collects the paths at which `live` lacks what is wanted.
fn compare(path: &str, wanted: &Value, live: &Value, found: &mut Vec<String>) {
    match (wanted, live) {
        (Value::Object(wanted), Value::Object(live)) => {
            for (key, value) in wanted {
                let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                match live.get(key) {
                    Some(live) => compare(&path, value, live, found),
                    None if is_empty(value) => {}
                    None => found.push(path),
                }
            }
        }
        (Value::Array(wanted), Value::Array(live)) => {
            for (index, value) in wanted.iter().enumerate() {
                let path = format!("{path}[{index}]");
                // Lists of named things are merged by name; other managers may add to them.
                let there = match value.get("name") {
                    Some(name) => live.iter().find(|item| item.get("name") == Some(name)),
                    None => live.get(index),
                };
                match there {
                    Some(there) => compare(&path, value, there, found),
                    None => found.push(path),
                }
            }
        }
        (wanted, live) if wanted == live || is_empty(wanted) && is_empty(live) => {}
        (Value::String(wanted), Value::String(live)) if quantity(wanted).is_some() && quantity(wanted) == quantity(live) => {}
        _ => found.push(path.to_owned()),
    }
}

fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::Object(map) => map.is_empty(),
        Value::Array(list) => list.is_empty(),
        _ => false,
    }
}

/// The amount that a quantity means: the API server writes 1000m as 1. Whole numbers of thousandths.
fn quantity(text: &str) -> Option<i128> {
    let end = text.find(|c: char| !c.is_ascii_digit() && c != '.').unwrap_or(text.len());
    let (digits, suffix) = text.split_at(end);
    let (whole, fraction) = digits.split_once('.').unwrap_or((digits, ""));
    let thousandths = format!("{fraction:0<3}");
    let number = whole.parse::<i128>().ok()?.checked_mul(1000)? + thousandths.get(..3)?.parse::<i128>().ok()?;
    let factor: i128 = match suffix {
        "m" => return Some(number / 1000),
        "" => 1,
        "k" => 1000,
        "M" => 1_000_000,
        "G" => 1_000_000_000,
        "T" => 1_000_000_000_000,
        "P" => 1_000_000_000_000_000,
        "Ki" => 1 << 10,
        "Mi" => 1 << 20,
        "Gi" => 1 << 30,
        "Ti" => 1 << 40,
        "Pi" => 1 << 50,
        _ => return None,
    };
    number.checked_mul(factor)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn drift(wanted: Value, live: Value) -> Vec<String> {
        let mut found = Vec::new();
        compare("", &wanted, &live, &mut found);
        found
    }

    #[test]
    fn what_nobody_asked_for_is_no_drift() {
        let wanted = json!({"spec": {"replicas": 1, "list": [], "containers": [{"name": "a", "image": "x"}]}});
        let live = json!({"spec": {"replicas": 1, "strategy": {}, "containers": [{"name": "sidecar"}, {"name": "a", "image": "x", "tty": false}]}, "status": {}});
        assert_eq!(drift(wanted, live), Vec::<String>::new());
    }

    #[test]
    fn a_changed_field_is_named() {
        let wanted = json!({"spec": {"replicas": 1, "containers": [{"name": "a", "image": "x"}], "args": ["a", "b"]}});
        let live = json!({"spec": {"replicas": 3, "containers": [{"name": "a", "image": "y"}], "args": ["a"]}});
        assert_eq!(drift(wanted, live), ["spec.replicas", "spec.containers[0].image", "spec.args[1]"]);
    }

    #[test]
    fn quantities_are_compared_by_amount() {
        for (one, other) in [("1000m", "1"), ("1024Mi", "1Gi"), ("0.5", "500m"), ("1.5Gi", "1536Mi")] {
            assert_eq!(quantity(one), quantity(other), "{one} {other}");
        }
        assert_ne!(quantity("1"), quantity("1m"));
        assert_eq!(quantity("redis:7"), None);
    }
}
