//! Executions as reads and events return them (rest.md §2.6), and their statistics (internals §2.13).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BlockId, CredentialsMetaInput, ExecutionStatus, GraphExecId, GraphId, Map, NodeExecId, NodeId, Timestamp, UserId, Waiting};

/// Values that override node inputs: node id → pin → value.
pub type NodeInputMasks = IndexMap<NodeId, Map>;

/// `name → values` in the order in which they were produced.
pub type Outputs = IndexMap<String, Vec<Value>>;

/// What a run knows about its surroundings; travels in the run message (internals §2.1).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ExecutionContext {
    #[serde(default = "yes")]
    pub safe_mode: bool,
    #[serde(default = "utc")]
    pub user_timezone: String,
    #[serde(default)]
    pub root_execution_id: Option<GraphExecId>,
    #[serde(default)]
    pub parent_execution_id: Option<GraphExecId>,
}

fn yes() -> bool {
    true
}

fn utc() -> String {
    "UTC".to_owned()
}

impl Default for ExecutionContext {
    fn default() -> Self {
        Self {
            safe_mode: true,
            user_timezone: utc(),
            root_execution_id: None,
            parent_execution_id: None,
        }
    }
}

/// Statistics of a graph execution as stored (internals §2.13). Times in seconds, cost in cents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct StoredStats {
    pub error: Option<String>,
    pub walltime: f64,
    pub cputime: f64,
    pub nodes_walltime: f64,
    pub nodes_cputime: f64,
    pub node_count: i64,
    pub node_error_count: i64,
    pub cost: i64,
    pub activity_status: Option<String>,
    pub correctness_score: Option<f64>,
}

/// The same statistics under the names of the REST contract.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct ExecutionStats {
    pub cost: i64,
    pub duration: f64,
    pub duration_cpu_only: f64,
    pub node_exec_time: f64,
    pub node_exec_time_cpu_only: f64,
    pub node_exec_count: i64,
    pub node_error_count: i64,
    pub error: Option<String>,
    pub activity_status: Option<String>,
    pub correctness_score: Option<f64>,
}

impl From<StoredStats> for ExecutionStats {
    fn from(stored: StoredStats) -> Self {
        Self {
            cost: stored.cost,
            duration: stored.walltime,
            duration_cpu_only: stored.cputime,
            node_exec_time: stored.nodes_walltime,
            node_exec_time_cpu_only: stored.nodes_cputime,
            node_exec_count: stored.node_count,
            node_error_count: stored.node_error_count,
            error: stored.error,
            activity_status: stored.activity_status,
            correctness_score: stored.correctness_score,
        }
    }
}

/// Statistics of one node execution as stored (internals §2.13).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct NodeStats {
    pub error: Option<String>,
    pub walltime: f64,
    pub cputime: f64,
    pub input_size: i64,
    pub output_size: i64,
    pub llm_call_count: i64,
    pub llm_retry_count: i64,
    pub input_token_count: i64,
    pub output_token_count: i64,
    /// Credits for this node itself. Ours; left out while it is zero.
    #[serde(skip_serializing_if = "is_zero")]
    pub cost: i64,
    /// Credits that the runs of other agents inside this node have paid themselves.
    pub extra_cost: i64,
    pub extra_steps: i64,
    /// Attempts after the first. Absent when there was none, as the reference does not know it.
    #[serde(skip_serializing_if = "is_zero")]
    pub retry_count: i64,
}

impl NodeStats {
    /// Adds what a block says it has used. Times and sizes are measured from outside.
    pub fn add_usage(&mut self, told: &Self) {
        self.llm_call_count += told.llm_call_count;
        self.llm_retry_count += told.llm_retry_count;
        self.input_token_count += told.input_token_count;
        self.output_token_count += told.output_token_count;
        self.extra_cost += told.extra_cost;
        self.extra_steps += told.extra_steps;
    }
}

fn is_zero(number: &i64) -> bool {
    *number == 0
}

/// A graph execution without its outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphExecutionMeta {
    pub id: GraphExecId,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Option<Map>,
    /// Null when there are none.
    pub credential_inputs: Option<IndexMap<String, CredentialsMetaInput>>,
    pub nodes_input_masks: Option<NodeInputMasks>,
    pub preset_id: Option<String>,
    pub status: ExecutionStatus,
    /// Creation time until the run starts: never null (rest.md §2.6).
    pub started_at: Timestamp,
    /// Time of the last change: never null (rest.md §2.6).
    pub ended_at: Timestamp,
    pub is_shared: bool,
    pub share_token: Option<String>,
    pub stats: Option<ExecutionStats>,
}

/// A graph execution with inputs (rebuilt from its input nodes when none were stored) and outputs.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphExecution {
    #[serde(flatten)]
    pub meta: GraphExecutionMeta,
    pub outputs: Outputs,
}

/// A graph execution with its node executions, by queue time ascending, at most the newest 1000.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphExecutionWithNodes {
    #[serde(flatten)]
    pub execution: GraphExecution,
    pub node_executions: Vec<NodeExecutionResult>,
    /// `waiting_reason` and `waiting_until`, which the reference does not have: only while the run waits and somebody has looked.
    #[serde(flatten, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
}

/// One execution of one node with everything it received and produced.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeExecutionResult {
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub graph_exec_id: GraphExecId,
    pub node_exec_id: NodeExecId,
    pub node_id: NodeId,
    pub block_id: BlockId,
    pub status: ExecutionStatus,
    pub input_data: Map,
    pub output_data: Outputs,
    pub add_time: Timestamp,
    pub queue_time: Option<Timestamp>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
}
