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

/// Gives the run's own event a position of its own when nodes have ended and no entry after that is about the run: a reader who counts
/// positions would not miss the second event of one (invariant 12).
pub fn make_place_for_run(entries: &mut Vec<JournalEntry>) {
    let node_ends = |entry: &JournalEntry| matches!(entry, JournalEntry::NodeStatus { status, .. } if status.is_terminal());
    if entries.iter().rposition(node_ends) > entries.iter().rposition(is_about_the_run) {
        entries.push(JournalEntry::Progressed);
    }
}

fn is_about_the_run(entry: &JournalEntry) -> bool {
    match entry {
        JournalEntry::RunStatus { .. } | JournalEntry::Suspended { .. } | JournalEntry::Progressed => true,
        JournalEntry::NodeCreated { .. } | JournalEntry::NodeInput { .. } | JournalEntry::NodeStatus { .. } | JournalEntry::NodeOutput { .. } => {
            false
        }
    }
}

/// The events for `entries`, which begin at `first_seq`: the latest record of each node execution once, and the run itself at each entry
/// about it. Each has a position that no other has, and the last entry has one: whoever goes on with the run knows by the journal's end
/// which event was the last.
///
/// The records show the run as it is now, so this is called right after the entries were taken, and the caller never
/// lets a stretch reach across a change of the run's status.
pub fn describe(run: &Run, entries: &[JournalEntry], first_seq: i64) -> Vec<(i64, ExecutionEvent)> {
    let mut last_of_node: HashMap<NodeExecId, i64> = HashMap::new();
    let mut events = Vec::new();
    for (seq, entry) in (first_seq..).zip(entries) {
        match entry {
            // A run that is suspended looks as before.
            JournalEntry::RunStatus { .. } | JournalEntry::Suspended { .. } | JournalEntry::Progressed => {
                events.push((seq, ExecutionEvent::GraphExecutionUpdate(run.graph_execution())));
            }
            JournalEntry::NodeStatus { node_exec_id, .. }
            | JournalEntry::NodeCreated { node_exec_id, .. }
            | JournalEntry::NodeInput { node_exec_id, .. }
            | JournalEntry::NodeOutput { node_exec_id, .. } => {
                last_of_node.insert(*node_exec_id, seq);
            }
        }
    }
    let of_node = |(node, seq)| Some((seq, ExecutionEvent::NodeExecutionUpdate(run.node_execution(node)?)));
    events.extend(last_of_node.into_iter().filter_map(of_node));
    events.sort_by_key(|(seq, _)| *seq);
    events
}
