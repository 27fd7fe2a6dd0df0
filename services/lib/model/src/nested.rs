//! Runs that a node of another run starts (internals §2.14).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{GraphExecId, GraphId, Map, NodeExecId, NodeInputMasks};

/// Asks for the run of another agent on behalf of a node execution. The same node execution always gets the same run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct AgentRequest {
    /// The run that asks.
    pub graph_exec_id: GraphExecId,
    /// Fencing token under which its executor holds it.
    pub epoch: i64,
    pub node_exec_id: NodeExecId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Map,
    pub nodes_input_masks: NodeInputMasks,
}

/// What the run of a nested agent has come to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum AgentRun {
    /// Accepted and not over: there will be news of it.
    Going {
        graph_exec_id: GraphExecId,
    },
    Ended(AgentOutcome),
    /// The run that asks is to end itself: its executor hears so in a moment, and nothing more is to come of the question.
    Cancelled,
}

/// What is left of a nested run that is over, however it ended.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct AgentOutcome {
    /// Name and formatted value of each output node that completed, in the order in which they did (finding 15).
    pub outputs: Vec<(String, Value)>,
    /// In cents.
    pub cost: i64,
    /// Node executions, those of further nested runs included.
    pub node_count: i64,
}
