//! Messages on RabbitMQ (internals §2.1). Unknown keys are ignored by readers.

use serde::{Deserialize, Serialize};

use crate::{ExecutionContext, GraphExecId, GraphId, NodeInputMasks, UserId};

/// Says that there is work. The truth is the row; the fields are kept for readers of the contract.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunMessage {
    pub user_id: UserId,
    pub graph_exec_id: GraphExecId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    #[serde(default)]
    pub nodes_input_masks: Option<NodeInputMasks>,
    #[serde(default)]
    pub execution_context: ExecutionContext,
}

/// Nudges whoever runs this execution to look at its cancel flag.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CancelMessage {
    pub graph_exec_id: GraphExecId,
}
