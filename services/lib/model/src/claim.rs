//! Claiming runs and keeping them: the executor's side of the lease (design §6.2–6.3).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::execution::Outputs;
use crate::{
    CredentialsMetaInput, ExecutionContext, ExecutionStatus, GraphExecId, GraphId, Map, NodeExecId, NodeId, NodeInputMasks, StoredStats, Timestamp,
    UserId,
};

/// A run that now belongs to the claiming executor, with everything needed to go on with it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ClaimedRun {
    pub graph_exec_id: GraphExecId,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    /// Fencing token: every write carries it.
    pub epoch: i64,
    /// Position that the next journal entry has.
    pub next_seq: i64,
    pub status: ExecutionStatus,
    pub created_at: Timestamp,
    pub started_at: Option<Timestamp>,
    pub inputs: Map,
    /// Compiled masks: credential references already put on every node that needs them.
    pub nodes_input_masks: NodeInputMasks,
    /// What the run shows of what it was given.
    #[serde(default)]
    pub given: Given,
    pub context: ExecutionContext,
    pub stats: StoredStats,
    pub cancel_requested: bool,
    /// Counts what may let waiting nodes go on: ends of runs that they started, decisions of people.
    #[serde(default)]
    pub news: i64,
    /// W3C `traceparent` of the call that submitted the run.
    #[serde(default)]
    pub traceparent: Option<String>,
    /// Until the run's deadline, by the database's clock at the claim; negative when it has passed. None: no deadline.
    #[serde(default)]
    pub seconds_left: Option<f64>,
    /// All node executions so far in the order in which they were added.
    pub node_executions: Vec<NodeExecutionRecord>,
}

/// What a run was given beside its inputs, as it was given: nothing runs by it, events carry it (internals §3.1).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Given {
    pub preset_id: Option<Uuid>,
    pub credential_inputs: IndexMap<String, CredentialsMetaInput>,
    /// Without the credential references of [`ClaimedRun::nodes_input_masks`].
    pub nodes_input_masks: NodeInputMasks,
}

/// A run as one claim took it: what an executor gives back names the claim, so that a call that arrives late takes nothing from a later one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct HeldRun {
    pub graph_exec_id: GraphExecId,
    pub epoch: i64,
}

impl ClaimedRun {
    /// Which run this is, under which claim.
    pub fn held(&self) -> HeldRun {
        HeldRun {
            graph_exec_id: self.graph_exec_id,
            epoch: self.epoch,
        }
    }
}

/// A run that its executor cannot get on with, and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct GivenUpRun {
    pub held: HeldRun,
    pub reason: String,
}

/// One stored node execution, enough to rebuild the run in memory.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeExecutionRecord {
    pub node_exec_id: NodeExecId,
    pub node_id: NodeId,
    pub status: ExecutionStatus,
    /// Values received so far by raw pin name.
    pub inputs: Map,
    /// The resolved input, present from QUEUED on.
    pub execution_data: Option<Map>,
    pub outputs: Outputs,
    /// Credits that it has cost, with the runs inside it.
    #[serde(default)]
    pub cost: i64,
    pub add_time: Timestamp,
    pub queue_time: Option<Timestamp>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
}

/// Answer to the renewal of an executor's lease.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RenewOutcome {
    /// False when the lease row was gone or taken: everything claimed under it is lost.
    pub alive: bool,
    /// Runs of this owner whose cancel flag is set.
    pub cancelled: Vec<GraphExecId>,
    /// The runs of this owner that have had news, each with its [`news`](ClaimedRun::news).
    #[serde(default)]
    pub news: Vec<(GraphExecId, i64)>,
    /// Every run that this owner holds. One that the executor does not know was claimed by a call whose reply was lost:
    /// it is released.
    #[serde(default)]
    pub owned: Vec<HeldRun>,
}
