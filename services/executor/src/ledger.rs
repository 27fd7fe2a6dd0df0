//! What the executor needs of the database manager, and nothing more: claim, append, renew, release, graphs and credits.
//!
//! The truth about runs is behind this port; everything else in this crate is memory (design §6).

use std::future::Future;
use std::time::Duration;

use async_trait::async_trait;
use blocks::{BlockContext, Question, StoreSearch};
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::library::{LibraryAgent, LibraryAgents, LibrarySort};
use model::review::{RepeatAnswer, ReviewResult};
use model::{
    AgentRequest, AgentRun, AppendOutcome, ClaimedRun, CreditCheck, CreditReservation, GivenUpRun, GraphId, GraphModel, HeldRun, Map, RenewOutcome,
    ReserveOutcome, UserId, WrittenBatch, WrittenEntry,
};
use rpc::services::{DatabaseManager, DatabaseManagerClient};
use rpc::{RpcError, RpcErrorKind};
use serde_json::Value;
use uuid::Uuid;

#[async_trait]
pub trait Ledger: Send + Sync + 'static {
    /// Up to `free_slots` runs that now belong to `owner`.
    async fn claim(&self, owner: Uuid, owner_name: String, free_slots: u32) -> Result<Vec<ClaimedRun>, RpcError>;
    /// One outcome per batch, in their order.
    async fn append(&self, owner: Uuid, batches: &[WrittenBatch]) -> Result<Vec<AppendOutcome>, RpcError>;
    async fn renew(&self, owner: Uuid) -> Result<RenewOutcome, RpcError>;
    /// Puts runs back in the queue at once, for another executor.
    async fn release_runs(&self, owner: Uuid, runs: Vec<HeldRun>) -> Result<(), RpcError>;
    /// Runs that this process cannot get on with: each counts as an attempt.
    async fn give_up_runs(&self, owner: Uuid, runs: Vec<GivenUpRun>) -> Result<(), RpcError>;
    /// Gives up the lease with everything that is still held under it.
    async fn release_lease(&self, owner: Uuid) -> Result<(), RpcError>;
    async fn graph(&self, id: GraphId, version: i32) -> Result<Option<GraphModel>, RpcError>;
    /// The run that a node execution has started, started if need be.
    async fn run_agent(&self, request: AgentRequest) -> Result<AgentRun, RpcError>;
    /// What the user may start a run with.
    async fn check_credits(&self, user_id: UserId) -> Result<CreditCheck, RpcError>;
    /// Holds back what a node costs; once for each, however often it is asked for.
    async fn reserve_credits(&self, reservation: CreditReservation) -> Result<ReserveOutcome, RpcError>;
    /// Asks a person, once per node execution. `None` while nobody has decided.
    async fn review(&self, context: &BlockContext, question: Question) -> Result<Option<ReviewResult>, RpcError>;
    /// A credential of the run's user with its secret.
    async fn open_credential(&self, context: &BlockContext, id: String) -> Result<OpenCredential, RpcError>;
    /// What the run's user keeps under a key.
    async fn recall(&self, context: &BlockContext, key: String) -> Result<Option<Value>, RpcError>;
    /// Keeps a value for the run's user and tells what is kept now.
    async fn keep(&self, context: &BlockContext, key: String, value: Value) -> Result<Option<Value>, RpcError>;
    /// A page of the library of the run's user.
    async fn library(&self, context: &BlockContext, search: Option<String>, page: i64, page_size: i64) -> Result<LibraryAgents, RpcError>;
    /// Adds what the catalogue offers to the library of the run's user.
    async fn add_to_library(&self, context: &BlockContext, store_listing_version_id: String) -> Result<LibraryAgent, RpcError>;
    /// The best of what the catalogue offers.
    async fn search_store(&self, search: StoreSearch) -> Result<StoreAgents, RpcError>;
    async fn store_agent(&self, creator: String, slug: String) -> Result<StoreAgentDetails, RpcError>;
    /// Whether the claim `epoch` may run a node again that was cut short.
    async fn ask_to_repeat(&self, context: &BlockContext, epoch: i64, input: Map, instructions: String) -> Result<RepeatAnswer, RpcError>;
}

/// The database manager over RPC. Every call is tried once and in bounded time: whoever asks knows what a repetition means.
pub struct Remote(DatabaseManagerClient);

/// A call that takes longer is given up: the connection may be dead without anybody having said so.
const ANSWER: Duration = Duration::from_secs(30);
/// So many bytes of a journal may take a second longer: given up too early they would be sent again for ever.
const BYTES_A_SECOND: usize = 1 << 20;

impl Remote {
    pub fn new(client: DatabaseManagerClient) -> Self {
        Self(client)
    }
}

async fn bounded<T>(call: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    within(ANSWER, call).await
}

async fn within<T>(patience: Duration, call: impl Future<Output = Result<T, RpcError>>) -> Result<T, RpcError> {
    let silent = || RpcError::new(RpcErrorKind::Timeout, "the database manager did not answer in time");
    tokio::time::timeout(patience, call).await.unwrap_or_else(|_| Err(silent()))
}

#[async_trait]
impl Ledger for Remote {
    async fn claim(&self, owner: Uuid, owner_name: String, free_slots: u32) -> Result<Vec<ClaimedRun>, RpcError> {
        bounded(self.0.claim(owner, owner_name, free_slots)).await
    }

    async fn append(&self, owner: Uuid, batches: &[WrittenBatch]) -> Result<Vec<AppendOutcome>, RpcError> {
        let bytes: usize = batches.iter().flat_map(|batch| &batch.entries).map(WrittenEntry::size).sum();
        let patience = ANSWER + Duration::from_secs(1) * u32::try_from(bytes / BYTES_A_SECOND).unwrap_or(u32::MAX);
        within(patience, self.0.append_written(owner, batches)).await
    }

    async fn renew(&self, owner: Uuid) -> Result<RenewOutcome, RpcError> {
        bounded(self.0.renew_lease(owner)).await
    }

    async fn release_runs(&self, owner: Uuid, runs: Vec<HeldRun>) -> Result<(), RpcError> {
        bounded(DatabaseManager::release_runs(&self.0, owner, runs)).await.map(|_| ())
    }

    async fn give_up_runs(&self, owner: Uuid, runs: Vec<GivenUpRun>) -> Result<(), RpcError> {
        bounded(DatabaseManager::give_up_runs(&self.0, owner, runs)).await
    }

    async fn release_lease(&self, owner: Uuid) -> Result<(), RpcError> {
        bounded(DatabaseManager::release_lease(&self.0, owner)).await
    }

    async fn graph(&self, id: GraphId, version: i32) -> Result<Option<GraphModel>, RpcError> {
        bounded(self.0.get_graph(id, Some(version), None, false, false, true)).await
    }

    async fn run_agent(&self, request: AgentRequest) -> Result<AgentRun, RpcError> {
        bounded(self.0.run_agent(request)).await
    }

    async fn check_credits(&self, user_id: UserId) -> Result<CreditCheck, RpcError> {
        bounded(self.0.check_credits(user_id)).await
    }

    async fn reserve_credits(&self, reservation: CreditReservation) -> Result<ReserveOutcome, RpcError> {
        bounded(self.0.reserve_credits(reservation)).await
    }

    async fn review(&self, context: &BlockContext, question: Question) -> Result<Option<ReviewResult>, RpcError> {
        let asked = self.0.get_or_create_human_review(
            context.user_id,
            context.node_exec_id,
            context.graph_exec_id,
            context.graph_id,
            context.graph_version,
            question.data,
            Some(question.instructions),
            question.editable,
        );
        bounded(asked).await
    }

    async fn open_credential(&self, context: &BlockContext, id: String) -> Result<OpenCredential, RpcError> {
        bounded(self.0.open_credential(context.user_id, id)).await
    }

    async fn library(&self, context: &BlockContext, search: Option<String>, page: i64, page_size: i64) -> Result<LibraryAgents, RpcError> {
        bounded(
            self.0
                .list_library_agents(context.user_id, search, LibrarySort::UpdatedAt, page, page_size),
        )
        .await
    }

    async fn add_to_library(&self, context: &BlockContext, store_listing_version_id: String) -> Result<LibraryAgent, RpcError> {
        bounded(self.0.add_store_agent_to_library(store_listing_version_id, context.user_id)).await
    }

    async fn search_store(&self, search: StoreSearch) -> Result<StoreAgents, RpcError> {
        let found = self
            .0
            .get_store_agents(Some(search.sorted_by), search.query, search.category, 1, search.limit);
        bounded(found).await
    }

    async fn store_agent(&self, creator: String, slug: String) -> Result<StoreAgentDetails, RpcError> {
        bounded(self.0.get_store_agent_details(creator, slug)).await
    }

    async fn recall(&self, context: &BlockContext, key: String) -> Result<Option<Value>, RpcError> {
        bounded(self.0.get_execution_kv_data(context.user_id, key)).await
    }

    async fn keep(&self, context: &BlockContext, key: String, value: Value) -> Result<Option<Value>, RpcError> {
        bounded(self.0.set_execution_kv_data(context.user_id, context.node_exec_id, key, Some(value))).await
    }

    async fn ask_to_repeat(&self, context: &BlockContext, epoch: i64, input: Map, instructions: String) -> Result<RepeatAnswer, RpcError> {
        let asked = self
            .0
            .ask_to_repeat(context.user_id, context.graph_exec_id, context.node_exec_id, epoch, input, instructions);
        bounded(asked).await
    }
}
