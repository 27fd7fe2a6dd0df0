//! What a block gets of the platform that is run alone, outside any run (finding 22).

use std::fmt;

use async_trait::async_trait;
use blocks::{Agent, BlockContext, Failure, Platform, Question};
use model::credentials::OpenCredential;
use model::review::{RepeatAnswer, ReviewResult};
use model::{AgentRun, CredentialsMetaInput, Map};
use serde_json::Value;
use store::Store;

/// The user's own store, and nothing that needs a run.
pub struct DirectPlatform {
    store: Store,
}

impl DirectPlatform {
    pub fn new(store: Store) -> Self {
        Self { store }
    }
}

impl fmt::Debug for DirectPlatform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DirectPlatform").finish_non_exhaustive()
    }
}

fn needs_a_run(what: &str) -> Failure {
    Failure::raised(format!("{what} a node of a run only, not a block that is run alone"))
}

fn unavailable(error: store::Error) -> Failure {
    Failure::raised(error.to_string())
}

#[async_trait]
impl Platform for DirectPlatform {
    async fn run_agent(&self, _context: &BlockContext, _agent: Agent) -> Result<AgentRun, Failure> {
        Err(needs_a_run("another agent is run by"))
    }

    async fn review(&self, _context: &BlockContext, _question: Question) -> Result<Option<ReviewResult>, Failure> {
        Ok(None)
    }

    async fn credential(&self, _context: &BlockContext, _reference: &CredentialsMetaInput) -> Result<OpenCredential, Failure> {
        Err(needs_a_run("credentials are opened for"))
    }

    async fn recall(&self, context: &BlockContext, key: String) -> Result<Option<Value>, Failure> {
        self.store.get_kv(context.user_id, &key).await.map_err(unavailable)
    }

    async fn keep(&self, context: &BlockContext, key: String, value: Value) -> Result<Option<Value>, Failure> {
        self.store
            .set_kv(context.user_id, context.node_exec_id, &key, Some(value))
            .await
            .map_err(unavailable)
    }

    async fn ask_to_repeat(&self, _context: &BlockContext, _input: Map, _instructions: String) -> Result<RepeatAnswer, Failure> {
        Err(needs_a_run("a question is asked by"))
    }
}
