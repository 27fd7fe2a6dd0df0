//! What is submitted.

use indexmap::IndexMap;
use model::{CredentialsMetaInput, ExecutionContext, GraphExecId, GraphId, Map, NodeInputMasks, Timestamp, UserId};

/// A request for a run.
#[derive(Debug, Clone, Default)]
pub struct SubmitCommand {
    pub user_id: UserId,
    pub graph_id: GraphId,
    /// The highest one when none is given.
    pub graph_version: Option<i32>,
    pub inputs: Map,
    /// By the keys of the graph's `credentials_input_schema`.
    pub credentials: IndexMap<String, CredentialsMetaInput>,
    /// Values that override node inputs.
    pub masks: NodeInputMasks,
    pub preset_id: Option<String>,
    /// Made from the user's settings when none is given.
    pub context: Option<ExecutionContext>,
    /// The same key always answers with the same run. Keys are shared by all users: put a name space in it.
    pub idempotency_key: Option<String>,
    /// When the run is ended if it is not over by then; that of the settings when none is given.
    pub deadline: Option<Timestamp>,
    pub origin: Origin,
}

/// On whose behalf a run is submitted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Origin {
    /// Somebody, through REST.
    #[default]
    User,
    /// A schedule.
    Schedule,
    /// A GraphExecution object.
    Resource,
    /// A node of another run, which its executor holds under `epoch`: the graph needs not be in the user's library.
    Agent { parent: GraphExecId, epoch: i64 },
    /// A run that was given up is driven again: whether the graph may run was judged when it was first submitted.
    Redrive,
}

impl Origin {
    /// One word, for traces.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::User => "user",
            Self::Schedule => "schedule",
            Self::Resource => "resource",
            Self::Agent { .. } => "agent",
            Self::Redrive => "redrive",
        }
    }
}
