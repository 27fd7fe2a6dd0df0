//! One run in memory: what is waiting, ready and in flight, and the journal of every change (internals §2.8–2.11).
//!
//! The caller runs the blocks and says what they emit; this decides where values go and what runs next. Nothing here waits,
//! reads a clock or fails: what cannot be delivered is left undelivered, as the contract wants it.
//!
//! ```text
//! restore → begin → { next_ready → output … → finish } until is_idle → end
//!                   take_journal whenever something should become durable
//! ```
//!
//! The entries of one `take_journal` belong together: an output and the inputs that it became must be appended in one batch,
//! or a successor would route the output a second time or not at all.

mod deliver;
mod replay;
mod restore;
mod state;
mod view;

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use model::{
    BlockId, ExecutionStatus, Given, GraphExecId, GraphId, JournalEntry, Map, NodeExecId, NodeId, NodeInputMasks, NodeStats, StoredStats, Timestamp,
    UserId,
};
use serde_json::Value;

use crate::block::{BlockKind, Effects};
use crate::input::{Dynamic, resolve};
use crate::plan::{Plan, PlanNode};
use crate::policy::NodePolicy;
use crate::value::{StorageError, storable, storable_text};
use state::{Exec, ExecIndex, NodeState};

/// The pin of an agent block that holds what overrides inputs inside the agent.
const MASKS: &str = "nodes_input_masks";

/// A run of one graph, owned by one executor.
pub struct Run {
    plan: Arc<Plan>,
    mint: Box<dyn FnMut() -> NodeExecId + Send>,
    facts: Facts,
    status: ExecutionStatus,
    started_at: Option<Timestamp>,
    changed_at: Timestamp,
    /// The latest time that an executor gave to anything of the run. No time is before it: what is read back in the order of times is read in the
    /// order in which it happened, although clocks differ and are set back.
    latest: Option<Timestamp>,
    /// When this executor took the run up: run time adds up over resumes.
    begun_at: Option<Timestamp>,
    stats: StoredStats,
    execs: Vec<Exec>,
    by_id: HashMap<NodeExecId, ExecIndex>,
    nodes: Vec<NodeState>,
    ready: VecDeque<ExecIndex>,
    in_flight: usize,
    /// Executions that wait for runs which they have started.
    waiting: Vec<ExecIndex>,
    /// Executions that this executor parked for review.
    parked: Vec<ExecIndex>,
    /// Executions of output nodes by queue time.
    outputs: Vec<ExecIndex>,
    /// Executions of webhook nodes by queue time.
    triggers: Vec<ExecIndex>,
    cancelled: bool,
    failure: Option<String>,
    journal: Vec<JournalEntry>,
    next_seq: i64,
}

/// What does not change during a run.
#[derive(Debug, Clone, PartialEq)]
pub struct Facts {
    pub graph_exec_id: GraphExecId,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    /// Fencing token of the claim.
    pub epoch: i64,
    pub created_at: Timestamp,
    pub inputs: Map,
    /// Compiled: what the nodes run by.
    pub nodes_input_masks: NodeInputMasks,
    pub given: Given,
    pub context: model::ExecutionContext,
}

/// A node to start now.
#[derive(Debug, Clone, PartialEq)]
pub struct NodeStart {
    pub node_exec_id: NodeExecId,
    pub node_id: NodeId,
    pub block_id: BlockId,
    pub input: Map,
    pub effects: Effects,
    pub policy: NodePolicy,
    /// The node had been started before: by an executor that did not finish it, or until it was parked for review.
    pub repeated: bool,
}

/// How a block ended.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum NodeResult {
    Completed,
    /// `error` is the full text, as the `error` output shows it.
    Failed {
        error: String,
    },
    Terminated,
    /// Parked until a person decides; the run ends in REVIEW when nothing else is left.
    Review,
    /// Waits for a run that it has started: it stays RUNNING, and is started again when there is news.
    Waiting,
}

/// An output that was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum OutputError {
    /// The node execution is unknown or not running: a late word from a block that was given up.
    #[error("the node execution is not running")]
    NotRunning,
    /// Finish the node as failed with this text.
    #[error(transparent)]
    Storage(#[from] StorageError),
}

impl Run {
    /// Sets the run RUNNING. Node executions that were caught in flight are ready again.
    pub fn begin(&mut self, at: Timestamp) {
        let at = self.after_all(at);
        self.begun_at = Some(at);
        self.started_at = self.started_at.or(Some(at));
        if self.status != ExecutionStatus::Running {
            self.set_status(ExecutionStatus::Running, None, at);
        }
    }

    /// Takes the next ready node execution and sets it RUNNING. `None` when nothing is ready, or the run is being stopped.
    ///
    /// A node whose input turns out not to fit says so in its `error` output and is COMPLETED at once (internals §2.10 step 2).
    pub fn next_ready(&mut self, at: Timestamp) -> Option<NodeStart> {
        let at = self.after_all(at);
        while !self.is_stopping() {
            let index = self.ready.pop_front()?;
            if let Some(start) = self.start(index, at) {
                return Some(start);
            }
        }
        None
    }

    fn start(&mut self, index: ExecIndex, at: Timestamp) -> Option<NodeStart> {
        let plan = Arc::clone(&self.plan);
        let exec = self.execs.get_mut(index)?;
        let node = plan.at(exec.node)?;
        let caught_in_flight = exec.status == ExecutionStatus::Running;
        let parked = exec.status == ExecutionStatus::Review;
        let repeated = caught_in_flight || parked;
        // It was counted when it was parked, and will be again.
        self.stats.node_count -= i64::from(parked);
        let mut data = exec.data().clone();
        let (node_exec_id, numbered_keys) = (exec.id, exec.numbered_keys);
        exec.start_time = Some(at);
        exec.in_flight = true;
        self.in_flight += 1;
        self.enter_drain(index);
        if !caught_in_flight {
            self.set_node_status(index, ExecutionStatus::Running, None, None, at);
        }
        if let Some(mask) = self.facts.nodes_input_masks.get(&node.id) {
            data.extend(mask.clone());
        }
        if numbered_keys {
            let error = format!(
                "raised by {} with message: keys must be text. block_id: {}",
                node.block.name, node.block.id
            );
            self.finish(node_exec_id, NodeResult::Failed { error }, NodeStats::default(), at);
            return None;
        }
        match resolve(node, data, Dynamic::Keep) {
            Ok(resolved) => Some(NodeStart {
                node_exec_id,
                node_id: node.id,
                block_id: node.block.id,
                input: self.block_input(node, resolved.data),
                effects: node.block.effects,
                policy: node.policy,
                repeated,
            }),
            Err(error) => {
                self.emit(index, "error".to_owned(), Value::String(error.to_string()), at);
                self.close(index, ExecutionStatus::Completed, NodeStats::default(), at);
                None
            }
        }
    }

    /// An agent block gets its own settings with the values as `inputs` (internals §2.10 step 3).
    fn block_input(&self, node: &PlanNode, data: Map) -> Map {
        if node.block.kind != BlockKind::Agent {
            return data;
        }
        let mut input = node.input_default.clone();
        input.insert("inputs".to_owned(), Value::Object(data));
        input.insert("user_id".to_owned(), Value::String(self.facts.user_id.to_string()));
        if !self.facts.nodes_input_masks.is_empty() {
            let own = match input.shift_remove(MASKS) {
                Some(Value::Object(own)) => own,
                _ => Map::new(),
            };
            input.insert(MASKS.to_owned(), Value::Object(self.masks_over(own)));
        }
        input
    }

    /// The run's masks over those that an agent block has of its own, pin by pin.
    fn masks_over(&self, mut own: Map) -> Map {
        for (node, mask) in &self.facts.nodes_input_masks {
            match own.entry(node.to_string()).or_insert_with(|| Value::Object(Map::new())) {
                Value::Object(known) => known.extend(mask.clone()),
                other => *other = Value::Object(mask.clone()),
            }
        }
        own
    }

    /// Takes a value that a running block emitted, and routes it.
    ///
    /// # Errors
    /// When the node execution is not in flight, or the value cannot be stored.
    pub fn output(&mut self, node_exec_id: NodeExecId, name: &str, value: Value, at: Timestamp) -> Result<(), OutputError> {
        let index = self.running(node_exec_id).ok_or(OutputError::NotRunning)?;
        let value = storable(value)?;
        let at = self.after_all(at);
        self.emit(index, storable_text(name.to_owned()), value, at);
        Ok(())
    }

    /// Ends a running node execution. A failure is emitted as `error` first. Unknown or ended node executions are ignored.
    pub fn finish(&mut self, node_exec_id: NodeExecId, result: NodeResult, mut stats: NodeStats, at: Timestamp) {
        let Some(index) = self.running(node_exec_id) else { return };
        let at = self.after_all(at);
        let status = match result {
            NodeResult::Completed => ExecutionStatus::Completed,
            NodeResult::Waiting => return self.wait(index),
            NodeResult::Terminated => ExecutionStatus::Terminated,
            NodeResult::Review => {
                self.parked.push(index);
                ExecutionStatus::Review
            }
            NodeResult::Failed { error } => {
                let error = storable_text(error);
                self.emit(index, "error".to_owned(), Value::String(error.clone()), at);
                stats.error = Some(error);
                ExecutionStatus::Failed
            }
        };
        self.close(index, status, stats, at);
    }

    fn wait(&mut self, index: ExecIndex) {
        if let Some(exec) = self.execs.get_mut(index) {
            exec.in_flight = false;
            self.in_flight = self.in_flight.saturating_sub(1);
            self.waiting.push(index);
        }
    }

    /// There is news: the node executions that wait for other runs or for people are ready again, to see whether it concerns them.
    pub fn recheck(&mut self) {
        self.ready.extend(self.waiting.drain(..));
        self.ready.extend(self.parked.drain(..));
    }

    /// Stops the run: nothing more is started or routed. What is in flight still has to be finished.
    pub fn cancel(&mut self, at: Timestamp) {
        self.cancelled = true;
        self.changed_at = self.after_all(at);
    }

    /// Ends the run as FAILED for a reason that is not a node's, for instance an empty balance.
    pub fn fail(&mut self, error: String, at: Timestamp) {
        self.failure.get_or_insert(error);
        self.changed_at = self.after_all(at);
    }

    /// Whether there is nothing left to do but [`Run::end`].
    pub fn is_idle(&self) -> bool {
        self.in_flight == 0 && (self.ready.is_empty() || self.is_stopping())
    }

    /// Whether [`Run::next_ready`] may have something to start.
    pub fn has_ready(&self) -> bool {
        !self.ready.is_empty() && !self.is_stopping()
    }

    fn is_stopping(&self) -> bool {
        self.cancelled || self.failure.is_some()
    }

    /// Closes the run: what still waits or runs takes the final status. Failed nodes do not fail the run (internals §2.8 step 6).
    ///
    /// A run with nodes that wait for other runs is suspended instead and stays RUNNING.
    pub fn end(&mut self, at: Timestamp) -> ExecutionStatus {
        let at = self.after_all(at);
        if self.status.is_terminal() {
            return self.status;
        }
        if !self.waiting.is_empty() && !self.is_stopping() {
            self.suspend(at);
            return self.status;
        }
        let in_review = || self.execs.iter().any(|exec| exec.status == ExecutionStatus::Review);
        let status = match (&self.failure, self.cancelled) {
            (_, true) => ExecutionStatus::Terminated,
            (Some(_), false) => ExecutionStatus::Failed,
            (None, false) if in_review() => ExecutionStatus::Review,
            (None, false) => ExecutionStatus::Completed,
        };
        let left_over = if status == ExecutionStatus::Failed {
            status
        } else {
            ExecutionStatus::Terminated
        };
        for index in 0..self.execs.len() {
            let open = self.execs.get(index).is_some_and(|exec| match exec.status {
                ExecutionStatus::Queued | ExecutionStatus::Running => true,
                // Nobody is asked any more about a run that is over.
                ExecutionStatus::Review => status.is_terminal(),
                _ => false,
            });
            if open {
                let stats = self.failure.clone().map(|error| NodeStats {
                    error: Some(error),
                    ..NodeStats::default()
                });
                self.set_node_status(index, left_over, None, stats, at);
            }
        }
        self.ready.clear();
        self.in_flight = 0;
        self.add_walltime(at);
        self.stats.error.clone_from(&self.failure);
        self.set_status(status, Some(self.stats.clone()), at);
        status
    }

    fn suspend(&mut self, at: Timestamp) {
        self.add_walltime(at);
        let stats = self.stats.clone();
        self.journal.push(JournalEntry::Suspended { stats, at });
    }

    fn after_all(&mut self, at: Timestamp) -> Timestamp {
        let at = self.latest.map_or(at, |latest| latest.max(at));
        self.latest = Some(at);
        at
    }

    fn add_walltime(&mut self, at: Timestamp) {
        if let Some(begun_at) = self.begun_at.take() {
            self.stats.walltime += at.seconds_since(begun_at).max(0.0);
        }
    }

    /// The changes since the last call, to be appended at [`Run::next_seq`] as it was before.
    pub fn take_journal(&mut self) -> Vec<JournalEntry> {
        self.next_seq += i64::try_from(self.journal.len()).unwrap_or(i64::MAX);
        std::mem::take(&mut self.journal)
    }

    /// Position of the first entry that [`Run::take_journal`] will give.
    pub fn next_seq(&self) -> i64 {
        self.next_seq
    }

    /// Adds the processor time of the run to its statistics.
    pub fn add_cputime(&mut self, seconds: f64) {
        self.stats.cputime += seconds;
    }

    fn running(&self, id: NodeExecId) -> Option<ExecIndex> {
        let index = *self.by_id.get(&id)?;
        self.execs.get(index).filter(|exec| exec.in_flight).map(|_| index)
    }

    /// Records an output, and routes it unless an earlier execution of the same node is still running: the outputs of one
    /// node are routed in the order in which its executions started (internals §2.8 step 4d).
    fn emit(&mut self, index: ExecIndex, name: String, value: Value, at: Timestamp) {
        let Some(exec) = self.execs.get_mut(index) else { return };
        if exec.replays(&name, &value) {
            return;
        }
        self.journal.push(JournalEntry::NodeOutput {
            node_exec_id: exec.id,
            name: name.clone(),
            value: value.clone(),
            at,
        });
        exec.outputs.entry(name.clone()).or_default().push(value.clone());
        exec.unrouted.push_back((name, value));
        self.changed_at = at;
        let node = exec.node;
        self.drain(node, at);
    }

    fn close(&mut self, index: ExecIndex, status: ExecutionStatus, stats: NodeStats, at: Timestamp) {
        let Some(exec) = self.execs.get_mut(index) else { return };
        exec.in_flight = false;
        let node = exec.node;
        self.in_flight = self.in_flight.saturating_sub(1);
        self.stats.node_count += 1 + stats.extra_steps;
        self.stats.node_error_count += i64::from(status == ExecutionStatus::Failed);
        // A parked node is charged once, when it has ended.
        if status != ExecutionStatus::Review {
            self.stats.cost += stats.cost + stats.extra_cost;
        }
        self.stats.nodes_walltime += stats.walltime;
        self.stats.nodes_cputime += stats.cputime;
        self.set_node_status(index, status, None, Some(stats), at);
        self.drain(node, at);
    }

    fn set_status(&mut self, status: ExecutionStatus, stats: Option<StoredStats>, at: Timestamp) {
        self.status = status;
        self.changed_at = at;
        self.journal.push(JournalEntry::RunStatus { status, stats, at });
    }

    fn set_node_status(&mut self, index: ExecIndex, status: ExecutionStatus, execution_data: Option<Map>, stats: Option<NodeStats>, at: Timestamp) {
        let Some(exec) = self.execs.get_mut(index) else { return };
        exec.status = status;
        exec.in_flight &= status == ExecutionStatus::Running;
        if matches!(status, ExecutionStatus::Completed | ExecutionStatus::Failed) {
            exec.end_time = Some(at);
        }
        self.changed_at = at;
        self.journal.push(JournalEntry::NodeStatus {
            node_exec_id: exec.id,
            status,
            execution_data,
            stats,
            at,
        });
    }
}
