//! What a finished run leaves to a run that retries it.

use serde_json::Value;

use crate::{Map, NodeId};

/// The node executions of a finished run that completed, and what they emitted.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct RunHistory {
    /// In the order in which they started.
    pub completed: Vec<CompletedNode>,
    /// In the order in which the values were emitted, over all of them.
    pub emitted: Vec<Emitted>,
}

/// A node execution that completed.
#[derive(Debug, Clone, PartialEq)]
pub struct CompletedNode {
    pub node_id: NodeId,
    /// The resolved input.
    pub input: Map,
}

/// A value that a node execution emitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Emitted {
    /// Place in [`RunHistory::completed`].
    pub node: usize,
    pub name: String,
    pub value: Value,
}
