//! Why a graph is refused.

use indexmap::IndexMap;
use model::NodeId;

/// Node id → field → message (internals §2.3). The frontend paints the fields.
pub type NodeErrors = IndexMap<NodeId, IndexMap<String, String>>;

/// A graph that cannot be saved or run. Every case is the caller's to mend: a 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error("Invalid link {link}: node {node:?} is not in this graph")]
    UnknownNode { link: String, node: String },
    #[error("Invalid block {block:?} of node {node:?}: no such block is installed")]
    UnknownBlock { node: String, block: String },
    #[error("Invalid link {link}: block {block} has no {side} pin {pin:?}")]
    UnknownPin {
        link: String,
        block: &'static str,
        side: Side,
        pin: String,
    },
    /// The first thing that keeps a graph from being saved.
    #[error("{message} (field `{field}` of node {node})")]
    Field { node: NodeId, field: String, message: String },
    #[error("No starting nodes found for the graph, make sure an AgentInput or blocks with no inbound links are present as starting nodes.")]
    NoStartingNode,
    /// A starting node whose input does not fit its block.
    #[error("{message}")]
    StartingInput { node: NodeId, message: String },
    #[error("The graph is nested more than {limit} levels deep or holds a value that is")]
    TooDeep { limit: usize },
}

/// The end of a link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Side {
    Output,
    Input,
}

impl std::fmt::Display for Side {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Output => "output",
            Self::Input => "input",
        })
    }
}

/// `Graph validation failed: {n} issues on {m} nodes` (internals §2.2 step 4).
pub fn summary(errors: &NodeErrors) -> String {
    let issues: usize = errors.values().map(IndexMap::len).sum();
    format!("Graph validation failed: {issues} issues on {} nodes", errors.len())
}
