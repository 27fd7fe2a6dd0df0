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

/// The events for `entries`, which begin at `first_seq`: the latest record of each node execution once, and the run
/// itself when its status changed or a node ended.
///
/// The records show the run as it is now, so this is called right after the entries were taken, and the caller never
/// lets a stretch reach across a change of the run's status.
pub fn describe(run: &Run, entries: &[JournalEntry], first_seq: i64) -> Vec<(i64, ExecutionEvent)> {
    let mut last_of_node: HashMap<NodeExecId, i64> = HashMap::new();
    let mut run_changed = None;
    let mut node_ended = None;
    for (seq, entry) in (first_seq..).zip(entries) {
        match entry {
            // A run that is suspended looks as before.
            JournalEntry::Suspended { .. } => {}
            JournalEntry::RunStatus { .. } => run_changed = Some(seq),
            JournalEntry::NodeStatus { node_exec_id, status, .. } => {
                last_of_node.insert(*node_exec_id, seq);
                if status.is_terminal() {
                    node_ended = Some(seq);
                }
            }
            JournalEntry::NodeCreated { node_exec_id, .. }
            | JournalEntry::NodeInput { node_exec_id, .. }
            | JournalEntry::NodeOutput { node_exec_id, .. } => {
                last_of_node.insert(*node_exec_id, seq);
            }
        }
    }
    let mut events: Vec<(i64, ExecutionEvent)> = last_of_node
        .into_iter()
        .filter_map(|(node, seq)| Some((seq, ExecutionEvent::NodeExecutionUpdate(run.node_execution(node)?))))
        .collect();
    if let Some(seq) = run_changed.or(node_ended) {
        events.push((seq, ExecutionEvent::GraphExecutionUpdate(run.graph_execution())));
    }
    // Stable: the run's own event comes after that of the node whose end it reports.
    events.sort_by_key(|(seq, _)| *seq);
    events
}
