//! Why a run or a graph is not accepted.

use engine::error::{GraphError, NodeErrors};
use model::GraphId;

/// Everything but `Store` is the caller's to mend.
#[derive(Debug, thiserror::Error)]
pub enum SubmitError {
    #[error("Graph #{graph_id}{} not found.", version.map(|version| format!(" v{version}")).unwrap_or_default())]
    GraphNotFound { graph_id: GraphId, version: Option<i32> },
    #[error("You do not have access to this version of the graph: it is not yours, and no approved store listing has it")]
    NotAccessible,
    #[error("The graph is not in your library (or was deleted or archived there): add it before running it")]
    NotInLibrary,
    /// `node_errors`: node id → field → text.
    #[error("{message}")]
    Validation { message: String, node_errors: NodeErrors },
    #[error("{0}")]
    Invalid(String),
    #[error("You have no credits left to run an agent.")]
    InsufficientBalance,
    #[error(transparent)]
    Store(#[from] store::Error),
}

impl From<GraphError> for SubmitError {
    fn from(error: GraphError) -> Self {
        Self::Invalid(error.to_string())
    }
}
