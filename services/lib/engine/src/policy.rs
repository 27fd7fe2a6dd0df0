//! How often and for how long a node may be tried, as its graph says it: `metadata.execution` of the node.
//!
//! ```json
//! {"execution": {"retry": {"max_attempts": 3, "initial_interval_ms": 500, "multiplier": 2.0, "max_interval_ms": 30000}, "timeout_seconds": 60}}
//! ```
//!
//! A graph that says nothing gets what the reference does: one attempt.

use std::time::Duration;

use model::{Map, NodeModel};
use serde_json::Value;

use crate::error::GraphError;

const KEY: &str = "execution";
const MAX_ATTEMPTS: f64 = 20.0;
const HOUR_MS: f64 = 3_600_000.0;
const DAY_SECONDS: f64 = 86_400.0;

/// What a node's graph says about its execution.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct NodePolicy {
    pub retry: RetryPolicy,
    /// From start to end of one attempt. None: the executor's own limit, which also bounds this one.
    pub timeout: Option<Duration>,
}

/// Attempts and the pauses between them: the first is `initial_interval`, each further one `multiplier` times as long, at most
/// `max_interval`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct RetryPolicy {
    /// The first one included.
    pub max_attempts: u32,
    pub initial_interval: Duration,
    pub multiplier: f64,
    pub max_interval: Duration,
}

impl Default for RetryPolicy {
    fn default() -> Self {
        Self {
            max_attempts: 1,
            initial_interval: Duration::from_secs(1),
            multiplier: 2.0,
            max_interval: Duration::from_secs(60),
        }
    }
}

impl NodePolicy {
    /// # Errors
    /// [`GraphError::Field`] that names the node and the field when a value is none, is out of its bounds, or is unknown.
    pub fn of(node: &NodeModel) -> Result<Self, GraphError> {
        Self::parse(&node.metadata).map_err(|(field, message)| GraphError::Field {
            node: node.id,
            field: format!("metadata.{field}"),
            message,
        })
    }

    fn parse(metadata: &Map) -> Result<Self, Misfit> {
        let mut policy = Self::default();
        let Some(execution) = section(metadata, "", KEY, &["retry", "timeout_seconds"])? else {
            return Ok(policy);
        };
        if let Some(seconds) = number(execution, KEY, "timeout_seconds", 0.001, DAY_SECONDS)? {
            policy.timeout = Some(Duration::from_secs_f64(seconds));
        }
        let known = ["max_attempts", "initial_interval_ms", "multiplier", "max_interval_ms"];
        let Some(retry) = section(execution, "execution.", "retry", &known)? else {
            return Ok(policy);
        };
        let within = "execution.retry";
        let milliseconds = |number: f64| Duration::from_secs_f64(number / 1000.0);
        if let Some(attempts) = number(retry, within, "max_attempts", 1.0, MAX_ATTEMPTS)? {
            if attempts.fract() != 0.0 {
                return Err((format!("{within}.max_attempts"), format!("{attempts} is no whole number")));
            }
            policy.retry.max_attempts = attempts as u32;
        }
        if let Some(interval) = number(retry, within, "initial_interval_ms", 1.0, HOUR_MS)? {
            policy.retry.initial_interval = milliseconds(interval);
        }
        if let Some(multiplier) = number(retry, within, "multiplier", 1.0, 10.0)? {
            policy.retry.multiplier = multiplier;
        }
        if let Some(interval) = number(retry, within, "max_interval_ms", 1.0, HOUR_MS)? {
            policy.retry.max_interval = milliseconds(interval);
        }
        policy.retry.max_interval = policy.retry.max_interval.max(policy.retry.initial_interval);
        Ok(policy)
    }
}

/// Field and message.
type Misfit = (String, String);

/// An object that may be absent or null, with no keys but those that are known: a misspelt one would silently mean the default.
fn section<'a>(of: &'a Map, path: &str, key: &str, known: &[&str]) -> Result<Option<&'a Map>, Misfit> {
    let object = match of.get(key) {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::Object(object)) => object,
        Some(other) => return Err((format!("{path}{key}"), format!("{other} is no object"))),
    };
    match object.keys().find(|name| !known.contains(&name.as_str())) {
        Some(unknown) => Err((format!("{path}{key}.{unknown}"), format!("unknown; known are {}", known.join(", ")))),
        None => Ok(Some(object)),
    }
}

fn number(of: &Map, path: &str, key: &str, least: f64, most: f64) -> Result<Option<f64>, Misfit> {
    match of.get(key) {
        None | Some(Value::Null) => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) if (least..=most).contains(&number) => Ok(Some(number)),
            _ => Err((format!("{path}.{key}"), format!("{value} is no number from {least} to {most}"))),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn parse(execution: Value) -> Result<NodePolicy, Misfit> {
        NodePolicy::parse(json!({ "position": {"x": 1}, "execution": execution }).as_object().unwrap())
    }

    #[test]
    fn a_graph_that_says_nothing_gets_one_attempt() {
        assert_eq!(NodePolicy::parse(&Map::new()), Ok(NodePolicy::default()));
        for nothing in [
            json!(null),
            json!({}),
            json!({"retry": null}),
            json!({"retry": {}, "timeout_seconds": null}),
        ] {
            let policy = parse(nothing).unwrap();
            assert_eq!((policy.retry.max_attempts, policy.timeout), (1, None));
        }
    }

    #[test]
    fn what_is_said_holds() {
        let said =
            json!({"retry": {"max_attempts": 3, "initial_interval_ms": 500, "multiplier": 1.5, "max_interval_ms": 30000}, "timeout_seconds": 60});
        let retry = RetryPolicy {
            max_attempts: 3,
            initial_interval: Duration::from_millis(500),
            multiplier: 1.5,
            max_interval: Duration::from_secs(30),
        };
        let timeout = Some(Duration::from_secs(60));
        assert_eq!(parse(said), Ok(NodePolicy { retry, timeout }));
        let slow = parse(json!({"retry": {"initial_interval_ms": 90_000}})).unwrap();
        assert_eq!(slow.retry.max_interval, Duration::from_secs(90));
    }

    #[test]
    fn what_is_wrong_is_named() {
        let table = [
            (json!(3), "execution"),
            (json!({"retries": {}}), "execution.retries"),
            (json!({"retry": []}), "execution.retry"),
            (json!({"retry": {"max_attempt": 3}}), "execution.retry.max_attempt"),
            (json!({"retry": {"max_attempts": 0}}), "execution.retry.max_attempts"),
            (json!({"retry": {"max_attempts": 21}}), "execution.retry.max_attempts"),
            (json!({"retry": {"max_attempts": 1.5}}), "execution.retry.max_attempts"),
            (json!({"retry": {"max_attempts": "3"}}), "execution.retry.max_attempts"),
            (json!({"retry": {"initial_interval_ms": -1}}), "execution.retry.initial_interval_ms"),
            (json!({"retry": {"multiplier": 0.5}}), "execution.retry.multiplier"),
            (json!({"retry": {"max_interval_ms": 1e12}}), "execution.retry.max_interval_ms"),
            (json!({"timeout_seconds": 0}), "execution.timeout_seconds"),
            (json!({"timeout_seconds": true}), "execution.timeout_seconds"),
        ];
        for (said, field) in table {
            let (named, message) = parse(said.clone()).unwrap_err();
            assert_eq!(named, field, "{said}");
            assert!(!message.is_empty());
        }
    }
}
