//! The way of an output from a block to whoever runs it.

use engine::block::{BlockDescriptor, BlockKind};
use model::NodeStats;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::block::Failure;
use crate::checks::PinChecks;

/// The pin on which a block reports a failure: a value here ends the execution.
const ERROR_PIN: &str = "error";

/// One output of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    pub pin: String,
    pub value: PinValue,
}

/// The value of an output. Almost always JSON; arithmetic may leave what JSON cannot say (finding 9).
#[derive(Debug, Clone, PartialEq)]
pub enum PinValue {
    Json(Value),
    /// Infinity or not-a-number.
    NonFinite(f64),
}

/// The text with which a node ends FAILED when its output is infinite or not a number (finding 9).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("Out of range float values are not JSON compliant")]
pub struct NotJson;

impl PinValue {
    /// The value as a graph stores it. An error ends the node FAILED with the error's text.
    pub fn into_json(self) -> Result<Value, NotJson> {
        match self {
            Self::Json(value) => Ok(value),
            Self::NonFinite(_) => Err(NotJson),
        }
    }

    /// The value as direct execution answers it: null for what JSON cannot say.
    pub fn into_json_or_null(self) -> Value {
        self.into_json().unwrap_or(Value::Null)
    }
}

impl From<Value> for PinValue {
    fn from(value: Value) -> Self {
        Self::Json(value)
    }
}

impl From<f64> for PinValue {
    fn from(number: f64) -> Self {
        match serde_json::Number::from_f64(number) {
            Some(finite) => Self::Json(Value::Number(finite)),
            None => Self::NonFinite(number),
        }
    }
}

impl From<bool> for PinValue {
    fn from(flag: bool) -> Self {
        Self::Json(Value::Bool(flag))
    }
}

impl From<String> for PinValue {
    fn from(text: String) -> Self {
        Self::Json(Value::String(text))
    }
}

impl From<&str> for PinValue {
    fn from(text: &str) -> Self {
        Self::Json(Value::from(text))
    }
}

impl From<usize> for PinValue {
    fn from(number: usize) -> Self {
        Self::Json(Value::from(number))
    }
}

impl From<i64> for PinValue {
    fn from(number: i64) -> Self {
        Self::Json(Value::from(number))
    }
}

impl From<Vec<Value>> for PinValue {
    fn from(items: Vec<Value>) -> Self {
        Self::Json(Value::Array(items))
    }
}

impl From<model::Map> for PinValue {
    fn from(map: model::Map) -> Self {
        Self::Json(Value::Object(map))
    }
}

/// Takes a block's outputs, checks them and hands them on, waiting when the receiver is behind.
pub struct Emitter<'a> {
    /// Only Standard blocks have their outputs checked (internals §2.10).
    checks: Option<&'a PinChecks>,
    sink: &'a mpsc::Sender<Emitted>,
    /// What the execution has cost, as far as its block knows: tokens, calls, nested runs.
    pub stats: NodeStats,
}

impl<'a> Emitter<'a> {
    pub(crate) fn new(descriptor: &BlockDescriptor, checks: &'a PinChecks, sink: &'a mpsc::Sender<Emitted>) -> Self {
        let checks = (descriptor.kind == BlockKind::Standard).then_some(checks);
        Self {
            checks,
            sink,
            stats: NodeStats::default(),
        }
    }

    /// Sends one output. A block passes every error on with `?`: it means that the execution is over.
    pub async fn emit(&mut self, pin: &str, value: impl Into<PinValue>) -> Result<(), Failure> {
        let value = value.into();
        if pin == ERROR_PIN {
            return Err(Failure::Reported(match value {
                PinValue::Json(Value::String(text)) => text,
                PinValue::Json(other) => other.to_string(),
                PinValue::NonFinite(number) => number.to_string(),
            }));
        }
        if let Some(checks) = self.checks {
            let tested = checks.test_output(pin, &value);
            tested.map_err(|misfit| Failure::Output(format!("output `{pin}` does not fit its schema: {misfit}")))?;
        }
        let emitted = Emitted { pin: pin.to_owned(), value };
        self.sink.send(emitted).await.map_err(|_| Failure::Closed)
    }
}
