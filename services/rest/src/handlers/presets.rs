//! Presets: saved ways to run an agent (rest.md §1 area 7, §2.8).

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use indexmap::IndexMap;
use model::library::{LibraryAgentPreset, NewPreset, PresetUpdate};
use model::{CredentialsMetaInput, GraphExecutionMeta, GraphId, Map, Pagination, UserId};
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::Store;
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use super::executions::{CREDENTIALS, start};
use crate::events::Announcer;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Problem, Shape, check};
use crate::wire::{ApiError, ApiResult, JsonBody, Page, Parameters, id};

const DEFAULT_SIZE: i64 = 10;

/// Either of the two forms; which one shows its key.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Creation(Map);

impl Shaped for Creation {
    const SHAPE: Shape = Shape::Object;
    const STORED: bool = true;
}

const FROM_VALUES: Shape = Shape::Model(&[
    Field::required("graph_id", Shape::Text),
    Field::required("graph_version", Shape::Integer),
    Field::required("inputs", Shape::Object),
    Field::required("credentials", Shape::MapOf(&CREDENTIALS)),
    Field::required("name", Shape::Text),
    Field::required("description", Shape::Text),
    Field::optional("is_active", Shape::Flag),
    Field::optional("webhook_id", Shape::Nullable(&Shape::Text)),
]);

const FROM_RUN: Shape = Shape::Model(&[
    Field::required("graph_execution_id", Shape::Text),
    Field::required("name", Shape::Text),
    Field::required("description", Shape::Text),
    Field::optional("is_active", Shape::Flag),
]);

#[derive(Debug, Deserialize)]
struct FromValues {
    graph_id: String,
    graph_version: i32,
    inputs: Map,
    credentials: IndexMap<String, CredentialsMetaInput>,
    name: String,
    description: String,
    #[serde(default = "yes")]
    is_active: bool,
    #[serde(default)]
    webhook_id: Option<String>,
}

#[derive(Debug, Deserialize)]
struct FromRun {
    graph_execution_id: String,
    name: String,
    description: String,
    #[serde(default = "yes")]
    is_active: bool,
}

fn yes() -> bool {
    true
}

#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Update(PresetUpdate);

impl Shaped for Update {
    const SHAPE: Shape = Shape::Model(&[
        Field::optional("inputs", Shape::Nullable(&Shape::Object)),
        Field::optional("credentials", Shape::Nullable(&Shape::MapOf(&CREDENTIALS))),
        Field::optional("name", Shape::Nullable(&Shape::Text)),
        Field::optional("description", Shape::Nullable(&Shape::Text)),
        Field::optional("is_active", Shape::Nullable(&Shape::Flag)),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Execute {
    inputs: Map,
    credential_inputs: IndexMap<String, CredentialsMetaInput>,
}

impl Shaped for Execute {
    const SHAPE: Shape = Shape::Model(&[
        Field::optional("inputs", Shape::Object),
        Field::optional("credential_inputs", Shape::MapOf(&CREDENTIALS)),
    ]);
    const OPTIONAL: bool = true;
    const STORED: bool = true;
}

#[derive(Debug, Deserialize)]
pub struct TriggerSetup {
    name: String,
    #[serde(default)]
    description: String,
    graph_id: String,
    graph_version: i32,
    trigger_config: Map,
    #[serde(default)]
    agent_credentials: IndexMap<String, CredentialsMetaInput>,
}

impl Shaped for TriggerSetup {
    const SHAPE: Shape = Shape::Model(&[
        Field::required("name", Shape::Text),
        Field::optional("description", Shape::Text),
        Field::required("graph_id", Shape::Text),
        Field::required("graph_version", Shape::Integer),
        Field::required("trigger_config", Shape::Object),
        Field::optional("agent_credentials", Shape::MapOf(&CREDENTIALS)),
    ]);
    const STORED: bool = true;
}

#[derive(Debug, Serialize)]
pub struct Presets {
    presets: Vec<LibraryAgentPreset>,
    pagination: Pagination,
}

/// The query of the list, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ListQuery {
    #[param(default = 1, minimum = 1)]
    page: Option<i64>,
    #[param(default = 10, minimum = 1)]
    page_size: Option<i64>,
    #[param(required = true, nullable = true)]
    graph_id: Option<String>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(execute))
        .routes(routes!(set_up_trigger))
}

#[utoipa::path(
    get, path = "/api/library/presets",
    operation_id = "getV2List presets", tags = ["v2", "presets"],
    params(ListQuery),
    responses((status = 200, body = schemas::LibraryAgentPresetResponse)),
)]
pub async fn list(user: CurrentUser, State(submitter): State<Submitter>, parameters: Parameters) -> ApiResult<Json<Presets>> {
    let page = Page::of(&parameters, DEFAULT_SIZE)?;
    // The key must be there, and may be empty (rest.md trap 13).
    let Some(graph_id) = parameters.text("graph_id") else {
        return Err(Problem::new("missing", &["query", "graph_id"], "Field required", Value::Null).into());
    };
    let store = submitter.store();
    let (mut presets, total) = match (graph_id, id(graph_id)) {
        ("" | "null", _) => store.list_presets(user.id, None, page.size, page.offset()).await?,
        (_, None) => (Vec::new(), 0),
        (_, graph_id) => store.list_presets(user.id, graph_id, page.size, page.offset()).await?,
    };
    presets.iter_mut().for_each(|preset| submitter.show_address_of(preset));
    Ok(Json(Presets {
        presets,
        pagination: page.of_total(total),
    }))
}

#[utoipa::path(
    post, path = "/api/library/presets",
    operation_id = "postV2Create a new preset", tags = ["v2", "presets"],
    request_body = inline(schemas::AnyPresetCreatable),
    responses((status = 200, body = schemas::LibraryAgentPreset)),
)]
pub async fn create(
    user: CurrentUser,
    State(store): State<Store>,
    JsonBody(Creation(body)): JsonBody<Creation>,
) -> ApiResult<Json<LibraryAgentPreset>> {
    let new = if body.contains_key("graph_execution_id") {
        from_run(&store, user.id, read(&FROM_RUN, body)?).await?
    } else {
        from_values(&store, user.id, read(&FROM_VALUES, body)?).await?
    };
    Ok(Json(store.create_preset(user.id, &new).await?))
}

#[utoipa::path(
    get, path = "/api/library/presets/{preset_id}",
    operation_id = "getV2Get a specific preset", tags = ["v2", "presets"],
    params(("preset_id" = String, Path)),
    responses((status = 200, body = schemas::LibraryAgentPreset)),
)]
pub async fn get(user: CurrentUser, State(submitter): State<Submitter>, Path(preset_id): Path<String>) -> ApiResult<Json<LibraryAgentPreset>> {
    let mut preset = find(submitter.store(), user.id, &preset_id).await?;
    submitter.show_address_of(&mut preset);
    Ok(Json(preset))
}

#[utoipa::path(
    patch, path = "/api/library/presets/{preset_id}",
    operation_id = "patchV2Update an existing preset", tags = ["v2", "presets"],
    params(("preset_id" = String, Path)),
    request_body = schemas::LibraryAgentPresetUpdatable,
    responses((status = 200, body = schemas::LibraryAgentPreset)),
)]
pub async fn update(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    Path(preset_id): Path<String>,
    JsonBody(Update(update)): JsonBody<Update>,
) -> ApiResult<Json<LibraryAgentPreset>> {
    let preset = find(submitter.store(), user.id, &preset_id).await?;
    if !submitter
        .store()
        .graph_access(user.id, preset.graph_id, preset.graph_version)
        .await?
        .readable
    {
        let text = format!("Graph #{} v{} of this preset is gone", preset.graph_id, preset.graph_version);
        return Err(ApiError::detail(StatusCode::GONE, text));
    }
    let updated = submitter.change_preset(preset, &update).await?;
    updated.map(Json).ok_or_else(|| missing(&preset_id))
}

#[utoipa::path(
    delete, path = "/api/library/presets/{preset_id}",
    operation_id = "deleteV2Delete a preset", tags = ["v2", "presets"],
    params(("preset_id" = String, Path)),
    responses((status = 204)),
)]
pub async fn delete(user: CurrentUser, State(store): State<Store>, Path(preset_id): Path<String>) -> ApiResult<StatusCode> {
    let deleted = match id(&preset_id) {
        Some(id) => store.delete_preset(user.id, id).await?,
        None => false,
    };
    if deleted { Ok(StatusCode::NO_CONTENT) } else { Err(missing(&preset_id)) }
}

/// Starts a run with what the preset holds, and what is given over it.
#[utoipa::path(
    post, path = "/api/library/presets/{preset_id}/execute",
    operation_id = "postV2Execute a preset", tags = ["v2", "presets", "presets"],
    params(("preset_id" = String, Path)),
    request_body = Option<schemas::Body_postV2Execute_a_preset>,
    responses((status = 200, body = schemas::GraphExecutionMeta)),
)]
pub async fn execute(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    State(announcer): State<Announcer>,
    Path(preset_id): Path<String>,
    JsonBody(body): JsonBody<Execute>,
) -> ApiResult<Json<GraphExecutionMeta>> {
    let preset = find(submitter.store(), user.id, &preset_id).await?;
    let mut command = submitter.command_of(&preset).await?;
    command.inputs.extend(body.inputs);
    command.credentials.extend(body.credential_inputs);
    start(&submitter, &announcer, command).await.map(Json)
}

/// Makes a preset that deliveries at an address of its own start.
#[utoipa::path(
    post, path = "/api/library/presets/setup-trigger",
    operation_id = "postV2SetupTrigger", tags = ["v2", "presets"],
    request_body = schemas::TriggeredPresetSetupRequest,
    responses((status = 200, body = schemas::LibraryAgentPreset)),
)]
pub async fn set_up_trigger(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    JsonBody(given): JsonBody<TriggerSetup>,
) -> ApiResult<Json<LibraryAgentPreset>> {
    let new = NewPreset {
        graph_id: readable(submitter.store(), user.id, &given.graph_id, given.graph_version).await?,
        graph_version: given.graph_version,
        inputs: given.trigger_config,
        credentials: given.agent_credentials,
        name: given.name,
        description: given.description,
        is_active: true,
    };
    Ok(Json(submitter.set_up_trigger(user.id, new).await?))
}

fn read<T: serde::de::DeserializeOwned>(shape: &Shape, body: Map) -> ApiResult<T> {
    let checked = check(shape, Value::Object(body), &["body"]).map_err(ApiError::Invalid)?;
    serde_json::from_value(checked).map_err(ApiError::internal)
}

async fn readable(store: &Store, user_id: UserId, graph_id: &str, version: i32) -> ApiResult<GraphId> {
    let found = match id(graph_id) {
        Some(id) => store.graph_access(user_id, id, version).await?.readable.then_some(id),
        None => None,
    };
    found.ok_or_else(|| ApiError::Generic(StatusCode::NOT_FOUND, format!("Graph #{graph_id} v{version} not found")))
}

async fn from_values(store: &Store, user_id: UserId, given: FromValues) -> ApiResult<NewPreset> {
    let graph_id = readable(store, user_id, &given.graph_id, given.graph_version).await?;
    if let Some(webhook_id) = given.webhook_id {
        let text = format!("Webhook #{webhook_id} not found: a preset with a webhook comes from POST /api/library/presets/setup-trigger");
        return Err(ApiError::Generic(StatusCode::NOT_FOUND, text));
    }
    Ok(NewPreset {
        graph_id,
        graph_version: given.graph_version,
        inputs: given.inputs,
        credentials: given.credentials,
        name: given.name,
        description: given.description,
        is_active: given.is_active,
    })
}

async fn from_run(store: &Store, user_id: UserId, given: FromRun) -> ApiResult<NewPreset> {
    let run = match id(&given.graph_execution_id) {
        Some(id) => store.get_execution_meta(user_id, id).await?,
        None => None,
    };
    let missing = || ApiError::Generic(StatusCode::NOT_FOUND, format!("Graph execution #{} not found", given.graph_execution_id));
    let run = run.ok_or_else(missing)?;
    Ok(NewPreset {
        graph_id: run.graph_id,
        graph_version: run.graph_version,
        inputs: run.inputs.unwrap_or_default(),
        credentials: run.credential_inputs.unwrap_or_default(),
        name: given.name,
        description: given.description,
        is_active: given.is_active,
    })
}

async fn find(store: &Store, user_id: UserId, preset_id: &str) -> ApiResult<LibraryAgentPreset> {
    let found = match id(preset_id) {
        Some(id) => store.get_preset(user_id, id).await?,
        None => None,
    };
    found.ok_or_else(|| missing(preset_id))
}

fn missing(preset_id: &str) -> ApiError {
    ApiError::Generic(StatusCode::NOT_FOUND, format!("Preset #{preset_id} not found"))
}

/// The id of a preset that a run is said to belong to must be one of the user's.
pub async fn known(store: &Store, user_id: UserId, preset_id: Option<&str>) -> ApiResult<Option<Uuid>> {
    match preset_id.filter(|id| !id.is_empty()) {
        Some(preset_id) => find(store, user_id, preset_id).await.map(|preset| Some(preset.id)),
        None => Ok(None),
    }
}
