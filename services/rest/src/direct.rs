//! Running one block alone, outside any run, and what it gets of the platform then (rest.md §2.1, finding 22).

use std::fmt;
use std::sync::Arc;

use async_trait::async_trait;
use axum::extract::FromRef;
use blocks::{Agent, BlockContext, BlockErrorKind, Failure, Outside, Platform, Question, Registry, Shelves, StoreSearch};
use http::StatusCode;
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::library::{LibraryAgent, LibraryAgents, LibrarySort};
use model::review::{RepeatAnswer, ReviewResult};
use model::{AgentRun, CredentialsMetaInput, Map, UserId};
use serde_json::{Value, json};
use store::Store;
use submit::Submitter;
use vault::Credentials;

use crate::state::AppState;
use crate::wire::{ApiError, ApiResult, id};

/// Runs blocks for the platform's own interface and the external one.
pub struct BlockRunner {
    registry: Arc<Registry>,
    outside: Outside,
    store: Store,
    submitter: Submitter,
    credentials: Credentials,
}

impl FromRef<AppState> for BlockRunner {
    fn from_ref(state: &AppState) -> Self {
        Self {
            registry: state.registry.clone(),
            outside: state.outside.clone(),
            store: state.store.clone(),
            submitter: state.submitter.clone(),
            credentials: state.credentials.clone(),
        }
    }
}

impl BlockRunner {
    /// The outputs by pin. Inputs that do not fit, and failures that the block foresees, are 400.
    pub async fn run(self, user_id: UserId, block_id: &str, inputs: Map) -> ApiResult<Value> {
        let block = id(block_id)
            .and_then(|id| self.registry.get(id))
            .ok_or_else(|| ApiError::not_found(format!("Block #{block_id} not found.")))?;
        if block.descriptor().disabled {
            return Err(ApiError::detail(StatusCode::FORBIDDEN, format!("Block #{block_id} is disabled.")));
        }
        let user = self.store.get_user(user_id).await?;
        let mut context = BlockContext {
            platform: Arc::new(DirectPlatform {
                store: self.store,
                submitter: self.submitter,
                credentials: self.credentials,
            }),
            ..BlockContext::direct(user_id, self.outside)
        };
        if let Some(user) = user
            && user.timezone.parse::<chrono_tz::Tz>().is_ok()
        {
            context.execution.user_timezone = user.timezone;
        }
        let collected = blocks::collect(block.as_ref(), inputs, &context).await;
        context.outside.files().forget(context.graph_exec_id).await;
        match collected {
            Ok(outputs) => Ok(json!(outputs)),
            Err(error) if error.kind == BlockErrorKind::Unknown => Err(ApiError::Generic(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())),
            Err(error) => Err(ApiError::value(error.to_string())),
        }
    }
}

/// The user's own values and credentials, and nothing that needs a run.
struct DirectPlatform {
    store: Store,
    submitter: Submitter,
    credentials: Credentials,
}

impl fmt::Debug for DirectPlatform {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.debug_struct("DirectPlatform").finish_non_exhaustive()
    }
}

#[async_trait]
impl Shelves for DirectPlatform {
    async fn library(&self, context: &BlockContext, search: Option<String>, page: i64, page_size: i64) -> Result<LibraryAgents, Failure> {
        let found = self
            .store
            .library_page(context.user_id, search.as_deref(), LibrarySort::UpdatedAt, page, page_size)
            .await;
        found.map_err(unavailable)
    }

    async fn add_to_library(&self, context: &BlockContext, store_listing_version_id: String) -> Result<Option<LibraryAgent>, Failure> {
        let Some(version) = id(&store_listing_version_id) else { return Ok(None) };
        let added = self.submitter.add_offer(context.user_id, version).await;
        added.map_err(|error| Failure::raised(error.to_string()))
    }

    async fn search_store(&self, search: StoreSearch) -> Result<StoreAgents, Failure> {
        let (query, category) = (search.query.as_deref(), search.category.as_deref());
        let found = self.store.search_store(query, category, &search.sorted_by, 1, search.limit).await;
        found.map_err(unavailable)
    }

    async fn store_agent(&self, creator: String, slug: String) -> Result<Option<StoreAgentDetails>, Failure> {
        self.store.get_store_agent(&creator, &slug).await.map_err(unavailable)
    }
}

fn needs_a_run(what: &str) -> Failure {
    Failure::raised(format!("{what} a node of a run only, not a block that is run alone"))
}

fn unavailable(error: store::Error) -> Failure {
    Failure::raised(error.to_string())
}

fn unopened(error: vault::Error) -> Failure {
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

    /// What the caller names wrongly is told as the caller's mistake.
    async fn credential(&self, context: &BlockContext, reference: &CredentialsMetaInput) -> Result<OpenCredential, Failure> {
        let opened = match id(&reference.id) {
            Some(id) => self.credentials.open(context.user_id, id).await.map_err(unopened)?,
            None => None,
        };
        let opened = opened.ok_or_else(|| Failure::reported(format!("Unknown credentials #{}: choose some that you have", reference.id)))?;
        if !opened.fits(reference) {
            return Err(Failure::reported("Invalid credentials: type/provider mismatch"));
        }
        Ok(opened)
    }

    fn shelves(&self) -> Result<&dyn Shelves, Failure> {
        Ok(self)
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
