//! What a block is, what it is told about its surroundings, and how it fails.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use engine::block::{BlockDescriptor, Effects};
use model::{BlockId, ExecutionContext, GraphExecId, GraphId, Map, NodeExecId, NodeId, UserId};
use outside::Outside;
use uuid::Uuid;

use crate::checks::PinChecks;
use crate::emit::Emitter;
use crate::platform::{Nowhere, Platform};

/// A block. One instance serves every execution, so it holds no state of a run.
#[async_trait]
pub trait Block: Send + Sync {
    fn descriptor(&self) -> &BlockDescriptor;

    /// The compiled schemas of the descriptor. A block that runs often keeps them.
    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Owned(PinChecks::of(self.descriptor()))
    }

    /// What a crash or a repetition may cost with this input: never more than the descriptor says of the block.
    fn effects(&self, _input: &Map) -> Effects {
        self.descriptor().effects
    }

    /// Turns inputs into outputs. `input` fits the input schema, holds no nulls, and defaults are filled in; an input without a value is absent.
    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure>;
}

/// Where a block runs.
#[derive(Debug, Clone)]
pub struct BlockContext {
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub graph_exec_id: GraphExecId,
    pub node_id: NodeId,
    pub node_exec_id: NodeExecId,
    /// Time zone, safe mode and the run's ancestors.
    pub execution: ExecutionContext,
    pub platform: Arc<dyn Platform>,
    /// The web, models and the run's files.
    pub outside: Outside,
}

impl BlockContext {
    /// The minimal context of a direct execution, outside any graph (finding 22). Nothing of it can wait for a person, so it has no safe mode.
    /// Its files are its own: whoever makes the context drops them afterwards.
    pub fn direct(user_id: UserId, outside: Outside) -> Self {
        Self {
            outside,
            user_id,
            graph_id: Uuid::nil(),
            graph_version: 1,
            graph_exec_id: Uuid::new_v4(),
            node_id: Uuid::nil(),
            node_exec_id: Uuid::nil(),
            execution: ExecutionContext {
                safe_mode: false,
                ..ExecutionContext::default()
            },
            platform: Arc::new(Nowhere),
        }
    }
}

/// How `run` ends without success. `execute` gives it the contract's form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Failure {
    /// Something the block cannot go on with: what the reference raises as an uncaught exception.
    Raised(String),
    /// The block reported it on its `error` pin.
    Reported(String),
    /// An output does not fit its pin.
    Output(String),
    /// Nobody takes the outputs any more: the run was stopped.
    Closed,
    /// No failure: the block can only go on when something else has happened. It is run again from its beginning then.
    Wait(Wait),
}

/// What a block waits for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Wait {
    /// The end of a run that it has started.
    Agent,
    /// The decision of a person.
    Person,
}

impl Failure {
    pub fn raised(message: impl Into<String>) -> Self {
        Self::Raised(message.into())
    }

    pub fn reported(message: impl Into<String>) -> Self {
        Self::Reported(message.into())
    }
}

/// The failure classes of the contract (internals §2.10).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockErrorKind {
    Input,
    Output,
    Execution,
    Unknown,
}

impl BlockErrorKind {
    /// The class name of the contract.
    pub fn name(self) -> &'static str {
        match self {
            Self::Input => "BlockInputError",
            Self::Output => "BlockOutputError",
            Self::Execution => "BlockExecutionError",
            Self::Unknown => "BlockUnknownError",
        }
    }

    /// Whether the block foresaw it. REST answers 400 for these, 500 for the others (rest.md §2.1).
    pub fn is_handled(self) -> bool {
        !matches!(self, Self::Unknown)
    }
}

/// A failed block execution. `to_string()` is the text that the node's `error` output carries.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("raised by {block} with message: {message}. block_id: {block_id}")]
pub struct BlockError {
    pub kind: BlockErrorKind,
    pub block: &'static str,
    pub block_id: BlockId,
    pub message: String,
}

impl BlockError {
    pub(crate) fn new(descriptor: &BlockDescriptor, kind: BlockErrorKind, message: impl Into<String>) -> Self {
        Self {
            kind,
            block: descriptor.name,
            block_id: descriptor.id,
            message: message.into(),
        }
    }

    pub(crate) fn from_failure(descriptor: &BlockDescriptor, failure: Failure) -> Self {
        let (kind, message) = match failure {
            Failure::Raised(message) => (BlockErrorKind::Unknown, message),
            Failure::Reported(message) => (BlockErrorKind::Execution, message),
            Failure::Output(message) => (BlockErrorKind::Output, message),
            Failure::Closed => (BlockErrorKind::Unknown, "the execution was stopped".to_owned()),
            Failure::Wait(_) => (BlockErrorKind::Unknown, "the block waits, which only a node of a run can do".to_owned()),
        };
        Self::new(descriptor, kind, message)
    }
}
