//! Submission and progress as the operator sees them (design §5): our own RPC beside the contract's.

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::execution::Outputs;
use crate::{
    BlockId, CredentialsMetaInput, ExecutionStats, ExecutionStatus, Graph, GraphExecId, GraphId, Map, NodeExecId, NodeId, Timestamp, UserId,
};

/// Which graph a submission means.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum GraphSource {
    /// A stored graph; the newest version when none is given.
    Stored { id: GraphId, version: Option<i32> },
    /// Stored once per content under an id derived from platform, owner and content (design §4).
    Inline { graph: Box<Graph> },
    /// That of a finished run of the same owner, with its inputs and credentials: the new run goes on where that one failed. Inputs and
    /// credentials of the request are ignored.
    Retry { graph_exec_id: GraphExecId },
}

/// A run to start. The same `idempotency_key` always answers with the same execution.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct SubmitRequest {
    pub idempotency_key: String,
    /// UID of the AutoGPTPlatform object: the namespace of inline graph ids.
    pub platform_uid: String,
    /// The platform's service user when absent.
    pub owner: Option<UserId>,
    pub graph: GraphSource,
    #[serde(default)]
    pub inputs: Map,
    /// Inputs kept in the row of this REST schedule instead of in the object.
    #[serde(default)]
    pub inputs_from_schedule: Option<uuid::Uuid>,
    #[serde(default)]
    pub credentials: IndexMap<String, CredentialsMetaInput>,
    /// When the run is ended if it is not over by then.
    #[serde(default)]
    pub deadline: Option<Timestamp>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Submitted {
    pub graph_exec_id: GraphExecId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub status: ExecutionStatus,
    /// False when the key had been used before.
    pub created: bool,
}

/// Where a reader of the progress stream stands; opaque to it. The default is the beginning.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ProgressCursor(pub String);

/// The present state of one run that was submitted with an idempotency key.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct RunProgress {
    pub graph_exec_id: GraphExecId,
    pub idempotency_key: String,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub status: ExecutionStatus,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    pub stats: Option<ExecutionStats>,
    /// Node executions by status.
    pub node_counts: IndexMap<String, i64>,
    /// Present when the run is terminal.
    pub outputs: Option<Outputs>,
    /// Present when somebody asked for this run and it is not terminal; never in the stream.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub look: Option<Look>,
}

/// What a run under way has to show.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Look {
    /// The node executions that started or ended last, at most 10, the newest last.
    pub nodes: Vec<NodeProgress>,
    /// What the output blocks have received so far.
    pub outputs: Outputs,
    /// Whether `outputs` is not everything: a look shows about 64 KiB.
    pub is_cut: bool,
}

/// One node execution that has started.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeProgress {
    pub node_exec_id: NodeExecId,
    pub node_id: NodeId,
    pub block_id: BlockId,
    /// What the graph calls the node, else its block.
    pub name: Option<String>,
    pub status: ExecutionStatus,
    pub started_at: Option<Timestamp>,
    pub ended_at: Option<Timestamp>,
    /// Why it failed, at most 500 characters.
    pub error: Option<String>,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ProgressPage {
    pub cursor: ProgressCursor,
    pub runs: Vec<RunProgress>,
}
