//! Live events on Redis and the WebSocket (internals §3.1).

use serde::{Deserialize, Serialize};

use crate::{GraphExecution, NodeExecutionResult};

/// The payload of an event; `event_type` tells the two apart.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "event_type", rename_all = "snake_case")]
#[allow(clippy::large_enum_variant)]
pub enum ExecutionEvent {
    NodeExecutionUpdate(NodeExecutionResult),
    GraphExecutionUpdate(GraphExecution),
}

/// What travels on Redis. `seq` is the run's journal position, `prev` that of the event before: a reader sees a loss.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EventEnvelope {
    pub payload: ExecutionEvent,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub seq: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub prev: Option<i64>,
}
