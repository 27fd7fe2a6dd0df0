//! What blocks of a run ask the platform for, carried to the database manager.

use std::fmt;
use std::future::Future;
use std::sync::Arc;

use async_trait::async_trait;
use blocks::{Agent, BlockContext, Failure, Platform, Question, Shelves, StoreSearch};
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::library::{LibraryAgent, LibraryAgents};
use model::review::{RepeatAnswer, ReviewResult};
use model::{AgentRequest, AgentRun, CredentialsMetaInput, Map};
use rpc::{RpcError, RpcErrorKind};
use runtime::retry::Backoff;
use serde_json::Value;

use crate::ledger::Ledger;

/// The platform as the nodes of one claimed run see it. What a node asks for belongs to its step of the run's trace.
pub struct RunPlatform {
    pub ledger: Arc<dyn Ledger>,
    /// Fencing token of the claim.
    pub epoch: i64,
}

impl fmt::Debug for RunPlatform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("RunPlatform").field("epoch", &self.epoch).finish_non_exhaustive()
    }
}

#[async_trait]
impl Platform for RunPlatform {
    async fn run_agent(&self, context: &BlockContext, agent: Agent) -> Result<AgentRun, Failure> {
        let request = AgentRequest {
            graph_exec_id: context.graph_exec_id,
            epoch: self.epoch,
            node_exec_id: context.node_exec_id,
            graph_id: agent.graph_id,
            graph_version: agent.graph_version,
            inputs: agent.inputs,
            nodes_input_masks: agent.masks,
        };
        match answered(|| self.ledger.run_agent(request.clone())).await? {
            // Any end of the node would let the run go on; its executor stops it in a moment.
            AgentRun::Cancelled => std::future::pending().await,
            answer => Ok(answer),
        }
    }

    async fn review(&self, context: &BlockContext, question: Question) -> Result<Option<ReviewResult>, Failure> {
        answered(|| self.ledger.review(context, question.clone())).await
    }

    async fn credential(&self, context: &BlockContext, reference: &CredentialsMetaInput) -> Result<OpenCredential, Failure> {
        let opened = answered(|| self.ledger.open_credential(context, reference.id.clone())).await?;
        if !opened.fits(reference) {
            return Err(Failure::raised("Invalid credentials: type/provider mismatch"));
        }
        Ok(opened)
    }

    async fn recall(&self, context: &BlockContext, key: String) -> Result<Option<Value>, Failure> {
        answered(|| self.ledger.recall(context, key.clone())).await
    }

    async fn keep(&self, context: &BlockContext, key: String, value: Value) -> Result<Option<Value>, Failure> {
        answered(|| self.ledger.keep(context, key.clone(), value.clone())).await
    }

    fn shelves(&self) -> Result<&dyn Shelves, Failure> {
        Ok(self)
    }

    async fn ask_to_repeat(&self, context: &BlockContext, input: Map, instructions: String) -> Result<RepeatAnswer, Failure> {
        answered(|| self.ledger.ask_to_repeat(context, self.epoch, input.clone(), instructions.clone())).await
    }
}

#[async_trait]
impl Shelves for RunPlatform {
    async fn library(&self, context: &BlockContext, search: Option<String>, page: i64, page_size: i64) -> Result<LibraryAgents, Failure> {
        let asked = answered(|| self.ledger.library(context, search.clone(), page, page_size));
        asked.await
    }

    async fn add_to_library(&self, context: &BlockContext, store_listing_version_id: String) -> Result<Option<LibraryAgent>, Failure> {
        let asked = answered(|| found(self.ledger.add_to_library(context, store_listing_version_id.clone())));
        asked.await
    }

    async fn search_store(&self, search: StoreSearch) -> Result<StoreAgents, Failure> {
        answered(|| self.ledger.search_store(search.clone())).await
    }

    async fn store_agent(&self, creator: String, slug: String) -> Result<Option<StoreAgentDetails>, Failure> {
        let asked = answered(|| found(self.ledger.store_agent(creator.clone(), slug.clone())));
        asked.await
    }
}

/// What is not there is none.
async fn found<T>(answer: impl Future<Output = Result<T, RpcError>>) -> Result<Option<T>, RpcError> {
    match answer.await {
        Ok(found) => Ok(Some(found)),
        Err(error) if error.kind == RpcErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

/// Asks until somebody answers: every question has its effect once. A refusal is the block's failure.
async fn answered<T, F>(mut ask: impl FnMut() -> F) -> Result<T, Failure>
where
    F: Future<Output = Result<T, RpcError>>,
{
    let mut backoff = Backoff::default();
    loop {
        match ask().await {
            Ok(answer) => return Ok(answer),
            Err(error) if error.is_transient() => tokio::time::sleep(backoff.next_delay()).await,
            Err(error) => return Err(Failure::raised(error.to_string())),
        }
    }
}
