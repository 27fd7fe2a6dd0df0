//! Runs: start, look, stop, forget (rest.md §2.5, §2.6).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::sse::{KeepAlive, Sse};
use axum::response::{IntoResponse, Response};
use http::{HeaderMap, StatusCode};
use indexmap::IndexMap;
use model::{CredentialsMetaInput, GraphExecutionMeta, GraphExecutionWithNodes, GraphId, Map, Pagination, UserId};
use runtime::Settings;
use serde::{Deserialize, Serialize};
use serde_json::json;
use store::{ExecutionFilter, IoBlocks, Store};
use submit::{SubmitCommand, SubmitError, Submitter};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::Announcer;
use crate::live::{Full, Live};
use crate::openapi::schemas;
use crate::state::AppState;
use crate::stop::Stopper;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::params::path_version;
use crate::wire::shape::{Field, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, Page, PageQuery, Parameters, id};

/// `GET /api/executions` ends here; there is no paging.
const NEWEST: i64 = 250;

/// Characters of a caller's key at most.
const LONGEST_KEY: usize = 255;

/// A reference to stored credentials.
pub const CREDENTIALS: Shape = Shape::Model(&[
    Field::required("id", Shape::Text),
    Field::optional("title", Shape::Nullable(&Shape::Text)),
    Field::required("provider", Shape::Text),
    Field::required("type", Shape::OneOf(&["api_key", "oauth2", "user_password", "host_scoped"])),
]);

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Execute {
    inputs: Map,
    credentials_inputs: IndexMap<String, CredentialsMetaInput>,
}

impl Shaped for Execute {
    const SHAPE: Shape = Shape::Model(&[
        Field::optional("inputs", Shape::Object),
        Field::optional("credentials_inputs", Shape::MapOf(&CREDENTIALS)),
    ]);
    const OPTIONAL: bool = true;
    const STORED: bool = true;
}

#[derive(Debug, Serialize)]
pub struct Executions {
    executions: Vec<GraphExecutionMeta>,
    pagination: Pagination,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(execute))
        .routes(routes!(list_all))
        .routes(routes!(list_of_graph))
        .routes(routes!(get))
        .routes(routes!(stop))
        .routes(routes!(delete))
}

#[utoipa::path(
    post, path = "/api/graphs/{graph_id}/execute/{graph_version}",
    operation_id = "postV1Execute graph agent", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path), ("graph_version" = Option<i64>, Path), ("preset_id" = Option<String>, Query)),
    request_body = Option<schemas::Body_postV1Execute_graph_agent>,
    responses((status = 200, body = schemas::GraphExecutionMeta)),
)]
pub async fn execute(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    State(announcer): State<Announcer>,
    Path((graph_id, graph_version)): Path<(String, String)>,
    parameters: Parameters,
    headers: HeaderMap,
    JsonBody(body): JsonBody<Execute>,
) -> ApiResult<Json<GraphExecutionMeta>> {
    let version = path_version("graph_version", &graph_version)?;
    // The contract answers 400 here, not 404: the frontend shows the text.
    let missing = || ApiError::value(format!("Graph #{graph_id} v{graph_version} not found."));
    let (Some(id), Some(version)) = (id(&graph_id), version) else {
        check_balance(submitter.store(), user.id).await?;
        return Err(missing());
    };
    let preset = super::presets::known(submitter.store(), user.id, parameters.text("preset_id")).await?;
    let command = SubmitCommand {
        user_id: user.id,
        graph_id: id,
        graph_version: Some(version),
        inputs: body.inputs,
        credentials: body.credentials_inputs,
        preset_id: preset.map(|id| id.to_string()),
        idempotency_key: idempotency_key(&headers, user.id, id)?,
        ..SubmitCommand::default()
    };
    start(&submitter, &announcer, command).await.map(Json)
}

/// The header `Idempotency-Key`: who does not know whether a run was accepted may ask again with the same key, and gets the same run.
pub fn idempotency_key(headers: &HeaderMap, user_id: UserId, graph_id: GraphId) -> ApiResult<Option<String>> {
    let Some(key) = headers.get("idempotency-key") else { return Ok(None) };
    match key.to_str() {
        Ok(key) if (1..=LONGEST_KEY).contains(&key.len()) => Ok(Some(format!("rest:{user_id}:{graph_id}:{key}"))),
        _ => Err(ApiError::value(format!(
            "Idempotency-Key must have 1 to {LONGEST_KEY} visible ASCII characters"
        ))),
    }
}

/// Comes before everything that a submission is judged by (rest.md §2.5).
async fn check_balance(store: &Store, user_id: UserId) -> ApiResult<()> {
    match store.get_credits(user_id).await? {
        ..=0 => Err(SubmitError::InsufficientBalance.into()),
        _ => Ok(()),
    }
}

/// Accepts a run, for whoever has credits left, and tells those who watch.
pub async fn start(submitter: &Submitter, announcer: &Announcer, command: SubmitCommand) -> ApiResult<GraphExecutionMeta> {
    let known = match &command.idempotency_key {
        Some(key) => submitter.store().find_by_idempotency_key(key).await?,
        None => None,
    };
    if known.is_none() {
        check_balance(submitter.store(), command.user_id).await?;
    }
    let accepted = submitter.accept(command).await?;
    if accepted.created {
        announcer.announce(&accepted.execution);
    }
    let mut execution = accepted.execution;
    // What the run has done since it was accepted is not this answer's business (findings 21).
    execution.stats = None;
    Ok(execution)
}

#[utoipa::path(
    get, path = "/api/executions",
    operation_id = "getV1List all executions", tags = ["v1", "graphs"],
    responses((status = 200, body = Vec<schemas::GraphExecutionMeta>)),
)]
pub async fn list_all(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Vec<GraphExecutionMeta>>> {
    let newest = ExecutionFilter {
        user_id: Some(user.id),
        limit: Some(NEWEST),
        ..ExecutionFilter::default()
    };
    Ok(Json(store.list_executions(&newest).await?))
}

#[utoipa::path(
    get, path = "/api/graphs/{graph_id}/executions",
    operation_id = "getV1List graph executions", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path), PageQuery),
    responses((status = 200, body = schemas::GraphExecutionsPaginated)),
)]
pub async fn list_of_graph(
    user: CurrentUser,
    State(store): State<Store>,
    Path(graph_id): Path<String>,
    parameters: Parameters,
) -> ApiResult<Json<Executions>> {
    let page = Page {
        number: parameters.integer_in("page", 1..=i64::MAX, 1)?,
        size: parameters.integer_in("page_size", 1..=100, 25)?,
    };
    let (executions, total) = match id(&graph_id) {
        Some(graph_id) => {
            let found = store.page_executions(user.id, graph_id, page.number, page.size).await?;
            (found.executions, found.total)
        }
        None => (Vec::new(), 0),
    };
    Ok(Json(Executions {
        executions,
        pagination: page.of_total(total),
    }))
}

#[utoipa::path(
    get, path = "/api/graphs/{graph_id}/executions/{graph_exec_id}",
    operation_id = "getV1Get execution details", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path), ("graph_exec_id" = String, Path)),
    responses((status = 200, body = inline(schemas::AnyGraphExecution))),
)]
pub async fn get(
    user: CurrentUser,
    State(store): State<Store>,
    State(io): State<Arc<IoBlocks>>,
    State(settings): State<Settings>,
    Path((graph_id, graph_exec_id)): Path<(String, String)>,
) -> ApiResult<Json<GraphExecutionWithNodes>> {
    let missing = || ApiError::not_found(format!("Graph execution #{graph_exec_id} not found."));
    let (Some(graph_id), Some(exec_id)) = (id(&graph_id), id(&graph_exec_id)) else {
        return Err(missing());
    };
    let found = store.get_execution_with_nodes(Some(user.id), exec_id, &io).await?;
    let found = found.filter(|found| found.execution.meta.graph_id == graph_id);
    let mut found = found.ok_or_else(missing)?;
    if !found.execution.meta.status.is_terminal() {
        let limit = settings.executor.max_concurrent_graph_executions_per_user;
        found.waiting = store.waiting(exec_id, limit).await?;
    }
    Ok(Json(found))
}

/// The run as server-sent events until it is over. Ours.
pub async fn events(
    user: CurrentUser,
    State(store): State<Store>,
    State(io): State<Arc<IoBlocks>>,
    State(live): State<Live>,
    Path((graph_id, graph_exec_id)): Path<(String, String)>,
) -> ApiResult<Response> {
    let missing = || ApiError::not_found(format!("Graph execution #{graph_exec_id} not found."));
    let (Some(graph_id), Some(exec_id)) = (id(&graph_id), id(&graph_exec_id)) else {
        return Err(missing());
    };
    let found = store.get_execution(Some(user.id), exec_id, &io).await?;
    let run = found.map(|found| found.meta).filter(|run| run.graph_id == graph_id).ok_or_else(missing)?;
    let too_many = |full: Full| {
        let status = match full {
            Full::User => StatusCode::TOO_MANY_REQUESTS,
            Full::Process => StatusCode::SERVICE_UNAVAILABLE,
        };
        ApiError::detail(status, full.to_string())
    };
    let follower = live.follow(&run, user.expires_at, store, io).await.map_err(too_many)?;
    let events = follower.events().await?;
    Ok(Sse::new(events).keep_alive(KeepAlive::default()).into_response())
}

/// The reply is the run as it was before; `null` when there is nothing to stop.
#[utoipa::path(
    post, path = "/api/graphs/{graph_id}/executions/{graph_exec_id}/stop",
    operation_id = "postV1Stop graph execution", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path), ("graph_exec_id" = String, Path)),
    responses((status = 200, body = Option<schemas::GraphExecutionMeta>), (status = 504)),
)]
pub async fn stop(
    user: CurrentUser,
    State(stopper): State<Stopper>,
    Path((graph_id, graph_exec_id)): Path<(String, String)>,
) -> ApiResult<Json<Option<GraphExecutionMeta>>> {
    let (Some(graph_id), Some(exec_id)) = (id(&graph_id), id(&graph_exec_id)) else {
        return Ok(Json(None));
    };
    stopper.stop(user.id, graph_id, exec_id).await.map(Json)
}

/// Hides the run. An unknown one is 404 here; the reference's 500 is a defect of it (rest.md §6).
#[utoipa::path(
    delete, path = "/api/executions/{graph_exec_id}",
    operation_id = "deleteV1Delete graph execution", tags = ["v1", "graphs"],
    params(("graph_exec_id" = String, Path)),
    responses((status = 204)),
)]
pub async fn delete(user: CurrentUser, State(store): State<Store>, Path(graph_exec_id): Path<String>) -> ApiResult<StatusCode> {
    let deleted = match id(&graph_exec_id) {
        Some(id) => store.soft_delete_execution(user.id, id).await?,
        None => false,
    };
    if deleted {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(ApiError::Generic(
            StatusCode::NOT_FOUND,
            format!("Graph execution #{graph_exec_id} not found"),
        ))
    }
}

/// How a refused submission looks (rest.md §2.5).
impl From<SubmitError> for ApiError {
    fn from(error: SubmitError) -> Self {
        match error {
            SubmitError::InsufficientBalance => Self::detail(StatusCode::PAYMENT_REQUIRED, error.to_string()),
            SubmitError::GraphNotFound { .. } => Self::value(error.to_string()),
            SubmitError::NotAccessible | SubmitError::NotInLibrary => Self::Generic(StatusCode::FORBIDDEN, error.to_string()),
            SubmitError::Validation { message, node_errors } => crate::wire::error::validation_failed(&message, json!(node_errors)),
            SubmitError::Invalid(text) => Self::value(text),
            SubmitError::Store(error) => error.into(),
        }
    }
}
