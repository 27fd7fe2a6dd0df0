//! Live events: what is told about a stretch of journal (design §6.6).
//!
//! Events are hints. They leave after the commit, in the run's order, and are dropped rather than held when Redis is
//! slow: `seq` and `prev` let a reader see the loss.

use std::collections::HashMap;
use std::sync::Arc;

use engine::run::Run;
use model::{ExecutionEvent, JournalEntry, NodeExecId};

/// An event with its place in the run: the position of the entry it tells about, and that of the event before.
#[derive(Debug)]
pub struct Placed {
    pub event: ExecutionEvent,
    pub seq: i64,
    pub prev: i64,
}

/// Takes events without waiting.
pub type Tell = Arc<dyn Fn(Placed) + Send + Sync>;

/// What the journal says that nobody has been told yet: each node execution and the run once, however often they changed, because what is
/// told is the record as it is by then. A node that gathers a thousand values is shown when a batch leaves, not a thousand times.
///
/// A stretch never reaches across a change of the run's status: whoever changes it calls [`Untold::describe`] before.
#[derive(Debug, Default)]
pub struct Untold {
    /// The last entry about each node execution.
    nodes: HashMap<NodeExecId, i64>,
    /// The last entry about the run.
    run: Option<i64>,
    /// The last entry with which a node ended.
    node_end: Option<i64>,
}

impl Untold {
    /// `entries` begin at position `first_seq`.
    pub fn note(&mut self, entries: &[JournalEntry], first_seq: i64) {
        for (seq, entry) in (first_seq..).zip(entries) {
            match entry {
                // A run that is suspended looks as before.
                JournalEntry::RunStatus { .. } | JournalEntry::Suspended { .. } | JournalEntry::Progressed => self.run = Some(seq),
                JournalEntry::NodeStatus { node_exec_id, status, .. } => {
                    self.nodes.insert(*node_exec_id, seq);
                    if status.is_terminal() {
                        self.node_end = Some(seq);
                    }
                }
                JournalEntry::NodeCreated { node_exec_id, .. }
                | JournalEntry::NodeInput { node_exec_id, .. }
                | JournalEntry::NodeOutput { node_exec_id, .. } => {
                    self.nodes.insert(*node_exec_id, seq);
                }
            }
        }
    }

    /// Whether the run's own event needs an entry of its own ([`JournalEntry::Progressed`]): nodes have ended and no entry after that is about
    /// the run. A reader who counts positions would not miss the second event of one (invariant 12).
    pub fn lacks_place_for_run(&self) -> bool {
        self.node_end > self.run
    }

    /// The events for what was noted since the last call. Each has a position that no other has, and the last entry has one: whoever goes on
    /// with the run knows by the journal's end which event was the last.
    pub fn describe(&mut self, run: &Run) -> Vec<(i64, ExecutionEvent)> {
        let noted = std::mem::take(self);
        let of_node = |(node, seq)| Some((seq, ExecutionEvent::NodeExecutionUpdate(run.node_execution(node)?)));
        let mut events: Vec<(i64, ExecutionEvent)> = noted.nodes.into_iter().filter_map(of_node).collect();
        events.extend(noted.run.map(|seq| (seq, ExecutionEvent::GraphExecutionUpdate(run.graph_execution()))));
        events.sort_by_key(|(seq, _)| *seq);
        events
    }
}
