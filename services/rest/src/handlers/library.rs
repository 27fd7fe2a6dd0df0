//! The library: agents that a user has to run (rest.md §1 area 7, §2.8).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use model::graph::GraphSettings;
use model::library::{LibraryAgent, LibraryAgentUpdate, LibraryAgents};
use model::{GraphId, UserId};
use rpc::services::Scheduler;
use serde::Deserialize;
use store::{LibraryFilter, Store};
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, Page, Parameters, id};

/// Characters of a search.
const LONGEST_SEARCH: usize = 100;
const DEFAULT_SIZE: i64 = 15;

pub const SETTINGS: Shape = Shape::Model(&[Field::optional("human_in_the_loop_safe_mode", Shape::Nullable(&Shape::Flag))]);

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Update(LibraryAgentUpdate);

impl Shaped for Update {
    const SHAPE: Shape = Shape::Model(&[
        Field::optional("auto_update_version", Shape::Nullable(&Shape::Flag)),
        Field::optional("is_favorite", Shape::Nullable(&Shape::Flag)),
        Field::optional("is_archived", Shape::Nullable(&Shape::Flag)),
        Field::optional("settings", Shape::Nullable(&SETTINGS)),
    ]);
}

#[derive(Debug, Deserialize)]
pub struct Addition {
    store_listing_version_id: String,
}

impl Shaped for Addition {
    const SHAPE: Shape = Shape::Model(&[Field::required("store_listing_version_id", Shape::Text)]);
}

/// The query of a list, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ListQuery {
    #[param(default = 1, minimum = 1)]
    page: Option<i64>,
    #[param(default = 15, minimum = 1)]
    page_size: Option<i64>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, add))
        .routes(routes!(favorites))
        .routes(routes!(get, update, delete))
        .routes(routes!(of_graph))
        .routes(routes!(of_listing))
        .routes(routes!(fork))
}

#[utoipa::path(
    get, path = "/api/library/agents",
    operation_id = "getV2List library agents", tags = ["v2", "library", "private"],
    params(("search_term" = Option<String>, Query), ("sort_by" = Option<schemas::LibraryAgentSort>, Query), ListQuery),
    responses((status = 200, body = schemas::LibraryAgentResponse)),
)]
pub async fn list(user: CurrentUser, State(submitter): State<Submitter>, parameters: Parameters) -> ApiResult<Json<LibraryAgents>> {
    let search_term = parameters.text("search_term").filter(|term| !term.is_empty());
    if let Some(term) = search_term.filter(|term| term.chars().count() > LONGEST_SEARCH) {
        let msg = format!("String should have at most {LONGEST_SEARCH} characters");
        return Err(Problem::new("string_too_long", &["query", "search_term"], msg, term.into()).into());
    }
    let order = parameters.one_of("sort_by", &["createdAt", "updatedAt"])?;
    let filter = LibraryFilter {
        search_term,
        by_creation: order == Some("createdAt"),
        ..LibraryFilter::default()
    };
    page(&submitter, user.id, filter, &parameters).await
}

#[utoipa::path(
    get, path = "/api/library/agents/favorites",
    operation_id = "getV2List favorite library agents", tags = ["v2", "library", "private"],
    params(ListQuery),
    responses((status = 200, body = schemas::LibraryAgentResponse)),
)]
pub async fn favorites(user: CurrentUser, State(submitter): State<Submitter>, parameters: Parameters) -> ApiResult<Json<LibraryAgents>> {
    let filter = LibraryFilter {
        favorites_only: true,
        ..LibraryFilter::default()
    };
    page(&submitter, user.id, filter, &parameters).await
}

/// Adds what the catalogue offers; what is there already is returned as it is.
#[utoipa::path(
    post, path = "/api/library/agents",
    operation_id = "postV2Add marketplace agent", tags = ["v2", "library", "private"],
    request_body = schemas::Body_postV2Add_marketplace_agent,
    responses((status = 201, body = schemas::LibraryAgent)),
)]
pub async fn add(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    JsonBody(body): JsonBody<Addition>,
) -> ApiResult<(StatusCode, Json<LibraryAgent>)> {
    let version_id = body.store_listing_version_id;
    let missing = || ApiError::not_found(format!("Store listing version {version_id} not found or not available"));
    let added = match id(&version_id) {
        Some(id) => submitter.add_offer(user.id, id).await?,
        None => None,
    };
    let agent = completed(&submitter, added).await?.ok_or_else(missing)?;
    Ok((StatusCode::CREATED, Json(agent)))
}

#[utoipa::path(
    get, path = "/api/library/agents/{library_agent_id}",
    operation_id = "getV2Get library agent", tags = ["v2", "library", "private"],
    params(("library_agent_id" = String, Path)),
    responses((status = 200, body = schemas::LibraryAgent)),
)]
pub async fn get(user: CurrentUser, State(submitter): State<Submitter>, Path(agent_id): Path<String>) -> ApiResult<Json<LibraryAgent>> {
    find(&submitter, user.id, &agent_id).await.map(Json)
}

#[utoipa::path(
    get, path = "/api/library/agents/by-graph/{graph_id}",
    operation_id = "getV2GetLibraryAgentByGraphId", tags = ["v2", "library", "private"],
    params(("graph_id" = String, Path), ("version" = Option<i64>, Query)),
    responses((status = 200, body = schemas::LibraryAgent)),
)]
pub async fn of_graph(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    Path(graph_id): Path<String>,
    parameters: Parameters,
) -> ApiResult<Json<LibraryAgent>> {
    let missing = || ApiError::not_found(format!("Library agent for graph #{graph_id} not found"));
    let version = parameters.integer("version")?.map(i32::try_from).transpose().map_err(|_| missing())?;
    let graph = id(&graph_id).ok_or_else(missing)?;
    let found = entry_of(&submitter, user.id, graph, version).await?;
    found.map(Json).ok_or_else(missing)
}

/// The entry of the agent that a version of a listing offers; null while the user has not added it.
#[utoipa::path(
    get, path = "/api/library/agents/marketplace/{store_listing_version_id}",
    operation_id = "getV2Get agent by store id", tags = ["v2", "library", "private", "store", "library"],
    params(("store_listing_version_id" = String, Path)),
    responses((status = 200, body = Option<schemas::LibraryAgent>)),
)]
pub async fn of_listing(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    Path(version_id): Path<String>,
) -> ApiResult<Json<Option<LibraryAgent>>> {
    let offer = match id(&version_id) {
        Some(id) => submitter.store().find_offer(id).await?,
        None => None,
    };
    let offer = offer.ok_or_else(|| ApiError::not_found(format!("Store listing version {version_id} not found")))?;
    entry_of(&submitter, user.id, offer.graph_id, Some(offer.graph_version)).await.map(Json)
}

#[utoipa::path(
    patch, path = "/api/library/agents/{library_agent_id}",
    operation_id = "patchV2Update library agent", tags = ["v2", "library", "private"],
    params(("library_agent_id" = String, Path)),
    request_body = schemas::LibraryAgentUpdateRequest,
    responses((status = 200, body = schemas::LibraryAgent)),
)]
pub async fn update(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    Path(agent_id): Path<String>,
    JsonBody(Update(update)): JsonBody<Update>,
) -> ApiResult<Json<LibraryAgent>> {
    let id = id(&agent_id).ok_or_else(|| missing(&agent_id))?;
    if !submitter.store().update_library_agent(user.id, id, &update).await? {
        return Err(missing(&agent_id));
    }
    find(&submitter, user.id, &agent_id).await.map(Json)
}

/// Takes the agent out of the library; its schedules end with it.
#[utoipa::path(
    delete, path = "/api/library/agents/{library_agent_id}",
    operation_id = "deleteV2Delete library agent", tags = ["v2", "library", "private"],
    params(("library_agent_id" = String, Path)),
    responses((status = 204)),
)]
pub async fn delete(
    user: CurrentUser,
    State(store): State<Store>,
    State(scheduler): State<Arc<dyn Scheduler>>,
    Path(agent_id): Path<String>,
) -> ApiResult<StatusCode> {
    let id = id(&agent_id).ok_or_else(|| missing(&agent_id))?;
    let agent = store.get_library_agent(user.id, id).await?.ok_or_else(|| missing(&agent_id))?;
    drop_schedules(scheduler.as_ref(), user.id, agent.graph_id).await?;
    if store.delete_library_agent(user.id, id).await? {
        Ok(StatusCode::NO_CONTENT)
    } else {
        Err(missing(&agent_id))
    }
}

#[utoipa::path(
    post, path = "/api/library/agents/{library_agent_id}/fork",
    operation_id = "postV2Fork library agent", tags = ["v2", "library", "private"],
    params(("library_agent_id" = String, Path)),
    responses((status = 200, body = schemas::LibraryAgent)),
)]
pub async fn fork(user: CurrentUser, State(submitter): State<Submitter>, Path(agent_id): Path<String>) -> ApiResult<Json<LibraryAgent>> {
    let entry = id(&agent_id).ok_or_else(|| missing(&agent_id))?;
    let entry = submitter
        .store()
        .get_library_agent(user.id, entry)
        .await?
        .ok_or_else(|| missing(&agent_id))?;
    let graph = submitter.fork_graph(user.id, entry.graph_id, entry.graph_version).await?;
    let graph = graph.ok_or_else(|| ApiError::not_found(format!("Graph #{} not found.", entry.graph_id)))?;
    let agent = entry_of(&submitter, user.id, graph.id, Some(graph.version)).await?;
    agent.map(Json).ok_or_else(|| missing(&agent_id))
}

/// Ends everything that would start the graph for this user by itself.
pub async fn drop_schedules(scheduler: &dyn Scheduler, user_id: UserId, graph_id: GraphId) -> ApiResult<()> {
    for schedule in scheduler.get_graph_execution_schedules(Some(graph_id), Some(user_id)).await? {
        scheduler.delete_graph_execution_schedule(schedule.id, user_id).await?;
    }
    Ok(())
}

/// What a user wants of the runs of one of his agents.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Settings(pub GraphSettings);

impl Shaped for Settings {
    const SHAPE: Shape = SETTINGS;
}

async fn page(submitter: &Submitter, user_id: UserId, filter: LibraryFilter<'_>, parameters: &Parameters) -> ApiResult<Json<LibraryAgents>> {
    let page = Page::of(parameters, DEFAULT_SIZE)?;
    let filter = LibraryFilter {
        limit: page.size,
        offset: page.offset(),
        ..filter
    };
    let (agents, total) = agents_of(submitter, user_id, &filter).await?;
    Ok(Json(LibraryAgents {
        agents,
        pagination: page.of_total(total),
    }))
}

/// What the user has, with what follows from the graphs, and how many there are.
pub async fn agents_of(submitter: &Submitter, user_id: UserId, filter: &LibraryFilter<'_>) -> ApiResult<(Vec<LibraryAgent>, i64)> {
    let (mut agents, total) = submitter.store().list_library_agents(user_id, filter).await?;
    complete(submitter, &mut agents).await?;
    Ok((agents, total))
}

async fn find(submitter: &Submitter, user_id: UserId, agent_id: &str) -> ApiResult<LibraryAgent> {
    let found = match id(agent_id) {
        Some(id) => submitter.store().get_library_agent(user_id, id).await?,
        None => None,
    };
    completed(submitter, found).await?.ok_or_else(|| missing(agent_id))
}

async fn entry_of(submitter: &Submitter, user_id: UserId, graph_id: GraphId, version: Option<i32>) -> ApiResult<Option<LibraryAgent>> {
    let found = submitter.store().get_library_agent_of_graph(user_id, graph_id, version).await?;
    completed(submitter, found).await
}

async fn completed(submitter: &Submitter, agent: Option<LibraryAgent>) -> ApiResult<Option<LibraryAgent>> {
    let mut agents = Vec::from_iter(agent);
    complete(submitter, &mut agents).await?;
    Ok(agents.pop())
}

/// Adds what follows from the graphs.
async fn complete(submitter: &Submitter, agents: &mut [LibraryAgent]) -> ApiResult<()> {
    let versions: Vec<(Uuid, i32, &str)> = agents
        .iter()
        .map(|agent| (agent.graph_id, agent.graph_version, agent.name.as_str()))
        .collect();
    let interfaces = submitter.interfaces(&versions).await?;
    for (agent, interface) in agents.iter_mut().zip(interfaces) {
        agent.input_schema = interface.input_schema.clone();
        agent.output_schema = interface.output_schema.clone();
        agent.credentials_input_schema = interface.credentials_input_schema.clone();
        agent.has_external_trigger = interface.has_external_trigger;
        agent.trigger_setup_info = interface.trigger_setup_info.clone();
    }
    Ok(())
}

fn missing(agent_id: &str) -> ApiError {
    ApiError::Generic(StatusCode::NOT_FOUND, format!("Library agent #{agent_id} not found"))
}
