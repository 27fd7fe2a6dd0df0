//! The journal: every change of a run's state, in order, as the executor hands it to the database manager (design §6.5).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{ExecutionStatus, GraphExecId, Map, NodeExecId, NodeId, NodeStats, StoredStats, Timestamp};

/// One change. The position of an entry in its run is `first_seq` of its batch plus its index.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum JournalEntry {
    /// The run itself changes status. `stats` replaces what is stored.
    RunStatus {
        status: ExecutionStatus,
        stats: Option<StoredStats>,
        at: Timestamp,
    },
    /// The run waits for runs that its nodes have started and for nothing else: it stays RUNNING, but nobody works on it until one of them
    /// has ended. `stats` replaces what is stored.
    Suspended { stats: StoredStats, at: Timestamp },
    /// Nodes have ended, and the run's watchers are told what that means for the run: the position of that event. No row changes.
    Progressed,
    /// A node execution comes into being, INCOMPLETE.
    NodeCreated {
        node_exec_id: NodeExecId,
        node_id: NodeId,
        at: Timestamp,
    },
    /// A value arrives at an input pin (raw name, dynamic suffix included).
    NodeInput {
        node_exec_id: NodeExecId,
        name: String,
        value: Value,
        at: Timestamp,
    },
    /// A node execution changes status. `execution_data` (the resolved input) comes with QUEUED, `stats` with the end.
    NodeStatus {
        node_exec_id: NodeExecId,
        status: ExecutionStatus,
        execution_data: Option<Map>,
        stats: Option<NodeStats>,
        at: Timestamp,
    },
    /// A node execution emits a value.
    NodeOutput {
        node_exec_id: NodeExecId,
        name: String,
        value: Value,
        at: Timestamp,
    },
}

/// Consecutive entries of one run, written by the owner of `epoch`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct JournalBatch {
    pub graph_exec_id: GraphExecId,
    pub epoch: i64,
    /// Position of the first entry; the first entry of a run has position 1.
    pub first_seq: i64,
    /// The [`news`](crate::ClaimedRun::news) that the executor has looked into. A run that is parked (suspended, or in REVIEW) while there is
    /// later news goes straight back to the queue.
    #[serde(default)]
    pub news_seen: i64,
    pub entries: Vec<JournalEntry>,
}

/// What became of a batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum AppendOutcome {
    /// Durable now, or already before (the same range sent twice). `cancel_requested` is the flag in the row, `news` its counter.
    Applied {
        next_seq: i64,
        cancel_requested: bool,
        #[serde(default)]
        news: i64,
    },
    /// There is a gap: the database expects `expected_seq`.
    Retry { expected_seq: i64 },
    /// Another owner has the run, or it is over: stop working on it and write nothing more.
    Stale,
    /// These entries can never be applied; the run has been set FAILED with this reason.
    Rejected { reason: String },
}
