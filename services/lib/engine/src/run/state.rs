//! The moving parts of a run.

use std::collections::{BTreeSet, HashMap, VecDeque};

use model::execution::Outputs;
use model::{ExecutionStatus, Map, NodeExecId, Timestamp};
use serde_json::Value;

use crate::plan::NodeIndex;

/// Position of a node execution in its run: the order in which they were added.
pub(super) type ExecIndex = usize;

/// One execution of one node.
#[derive(Debug)]
pub(super) struct Exec {
    pub id: NodeExecId,
    pub node: NodeIndex,
    pub status: ExecutionStatus,
    /// Values received by raw pin name.
    pub inputs: Map,
    /// So many of its node's linked pins, the first ones, have a value: an execution never loses one.
    pub links_served: usize,
    /// The resolved input, from QUEUED on.
    pub execution_data: Option<Map>,
    /// See [`crate::input::Resolved`].
    pub numbered_keys: bool,
    pub outputs: Outputs,
    pub add_time: Timestamp,
    pub queue_time: Option<Timestamp>,
    pub start_time: Option<Timestamp>,
    pub end_time: Option<Timestamp>,
    /// A block of this process is at work on it.
    pub in_flight: bool,
    /// Stands in its node's drain queue.
    pub draining: bool,
    /// Emitted, not yet routed.
    pub unrouted: VecDeque<(String, Value)>,
    /// What an earlier attempt emitted and this one will emit again, by name.
    pub replay: HashMap<String, VecDeque<Value>>,
}

impl Exec {
    pub fn new(id: NodeExecId, node: NodeIndex, at: Timestamp) -> Self {
        Self {
            id,
            node,
            status: ExecutionStatus::Incomplete,
            inputs: Map::new(),
            links_served: 0,
            execution_data: None,
            numbered_keys: false,
            outputs: Outputs::new(),
            add_time: at,
            queue_time: None,
            start_time: None,
            end_time: None,
            in_flight: false,
            draining: false,
            unrouted: VecDeque::new(),
            replay: HashMap::new(),
        }
    }

    /// The resolved input, or what has arrived so far.
    pub fn data(&self) -> &Map {
        self.execution_data.as_ref().unwrap_or(&self.inputs)
    }

    /// Whether an earlier attempt has emitted this value already. A different value ends the replay of its pin.
    pub fn replays(&mut self, name: &str, value: &Value) -> bool {
        let Some(earlier) = self.replay.get_mut(name) else { return false };
        if earlier.front() == Some(value) {
            earlier.pop_front();
            return true;
        }
        self.replay.remove(name);
        false
    }

    /// More output may come.
    pub fn is_open(&self) -> bool {
        matches!(
            self.status,
            ExecutionStatus::Incomplete | ExecutionStatus::Queued | ExecutionStatus::Running
        )
    }
}

/// What a run knows about one node.
#[derive(Debug, Default)]
pub(super) struct NodeState {
    /// Its executions in the order in which they were added.
    pub execs: Vec<ExecIndex>,
    pub incomplete: BTreeSet<ExecIndex>,
    /// Per input name the position in `execs` before which every execution has the name or is complete. Only moves forward:
    /// an execution never loses an input and never becomes incomplete again.
    pub cursors: HashMap<String, usize>,
    /// The execution queued last: where later ones find missing static values.
    pub latest_queued: Option<ExecIndex>,
    /// Started executions whose outputs are not all routed, in start order. Only the first one's are routed.
    pub drain: VecDeque<ExecIndex>,
}
