//! What the platform does for a block of a run, beyond running it.

use std::fmt;

use async_trait::async_trait;
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::library::{LibraryAgent, LibraryAgents};
use model::review::{RepeatAnswer, ReviewResult};
use model::{AgentRun, CredentialsMetaInput, GraphId, Map, NodeInputMasks};
use serde_json::Value;

use crate::block::{BlockContext, Failure};

/// The services behind a run. Every call is made on behalf of one node execution and may be repeated: it has its effect once.
#[async_trait]
pub trait Platform: fmt::Debug + Send + Sync {
    /// Starts the run of another agent and tells what it has come to. While it is going the block ends with [`Failure::Wait`]; it is run
    /// again, and asks again, when there is news.
    async fn run_agent(&self, context: &BlockContext, agent: Agent) -> Result<AgentRun, Failure>;

    /// Asks a person. `None` while nobody has decided: the block ends with [`Failure::Wait`], is run again and asks again.
    async fn review(&self, context: &BlockContext, question: Question) -> Result<Option<ReviewResult>, Failure>;

    /// The secret behind a reference that a credentials input of the block was given. To be asked for when it is needed, and not to be kept.
    async fn credential(&self, context: &BlockContext, reference: &CredentialsMetaInput) -> Result<OpenCredential, Failure>;

    /// What the user keeps under a key.
    async fn recall(&self, context: &BlockContext, key: String) -> Result<Option<Value>, Failure>;

    /// Keeps a value for the user under a key, and tells what is kept there now.
    async fn keep(&self, context: &BlockContext, key: String, value: Value) -> Result<Option<Value>, Failure>;

    /// The user's library and the catalogue, where they can be reached.
    fn shelves(&self) -> Result<&dyn Shelves, Failure> {
        Err(Failure::raised("the library and the catalogue cannot be reached from here"))
    }

    /// Asks a person whether a node that was cut short, whose block must not take effect twice, is run again. An approval is good for one
    /// start.
    async fn ask_to_repeat(&self, context: &BlockContext, input: Map, instructions: String) -> Result<RepeatAnswer, Failure>;
}

/// The agents that a user has, and those that everybody may have.
#[async_trait]
pub trait Shelves: fmt::Debug + Send + Sync {
    /// A page of the user's library, the last changed first; `page` from 1.
    async fn library(&self, context: &BlockContext, search: Option<String>, page: i64, page_size: i64) -> Result<LibraryAgents, Failure>;

    /// Adds what the catalogue offers; what is there already is returned as it is. None when nothing of this id is offered.
    async fn add_to_library(&self, context: &BlockContext, store_listing_version_id: String) -> Result<Option<LibraryAgent>, Failure>;

    async fn search_store(&self, search: StoreSearch) -> Result<StoreAgents, Failure>;

    /// None when the catalogue offers nothing under this name.
    async fn store_agent(&self, creator: String, slug: String) -> Result<Option<StoreAgentDetails>, Failure>;
}

/// What to look for in the catalogue: the best so many.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoreSearch {
    pub query: Option<String>,
    pub category: Option<String>,
    /// `rating`, `runs`, `name` or `updated_at`.
    pub sorted_by: String,
    pub limit: i64,
}

/// What a person is to look at.
#[derive(Debug, Clone, PartialEq)]
pub struct Question {
    pub data: Value,
    pub instructions: String,
    /// Whether the person may change the data.
    pub editable: bool,
}

/// Another agent, and what it is given.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Map,
    /// Values that override inputs of its nodes.
    pub masks: NodeInputMasks,
}

/// Outside a run there is nothing to ask.
#[derive(Debug)]
pub(crate) struct Nowhere;

#[async_trait]
impl Platform for Nowhere {
    async fn run_agent(&self, _context: &BlockContext, _agent: Agent) -> Result<AgentRun, Failure> {
        Err(Failure::raised("an agent can be run by a node of a run only, not directly"))
    }

    /// Nobody hears the question.
    async fn review(&self, _context: &BlockContext, _question: Question) -> Result<Option<ReviewResult>, Failure> {
        Ok(None)
    }

    async fn credential(&self, _context: &BlockContext, _reference: &CredentialsMetaInput) -> Result<OpenCredential, Failure> {
        Err(Failure::raised("credentials are given to a node of a run only"))
    }

    async fn recall(&self, _context: &BlockContext, _key: String) -> Result<Option<Value>, Failure> {
        Err(Failure::raised("what a user keeps can be read by a node of a run only"))
    }

    async fn keep(&self, _context: &BlockContext, _key: String, _value: Value) -> Result<Option<Value>, Failure> {
        Err(Failure::raised("something can be kept by a node of a run only"))
    }

    async fn ask_to_repeat(&self, _context: &BlockContext, _input: Map, _instructions: String) -> Result<RepeatAnswer, Failure> {
        Ok(RepeatAnswer::Waiting)
    }
}
