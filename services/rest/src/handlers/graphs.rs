//! Graphs: create, read, save as a new version (rest.md §2.2, §2.3).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::{IntoResponse, Response};
use blocks::Registry;
use http::StatusCode;
use model::graph::GraphSettings;
use model::{Graph, GraphModel};
use rpc::services::Scheduler;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use store::{GraphDeletion, Store};
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::library::{Settings, drop_schedules};
use crate::graph_json::{self, Listed};
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::{self, Shaped};
use crate::wire::params::path_version;
use crate::wire::shape::{Field, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, Parameters, id};

/// `GET …/versions` ends here.
const NEWEST_VERSIONS: i64 = 50;

const LINK: Shape = Shape::Model(&[
    Field::optional("id", Shape::Text),
    Field::required("source_id", Shape::Text),
    Field::required("sink_id", Shape::Text),
    Field::required("source_name", Shape::Text),
    Field::required("sink_name", Shape::Text),
    Field::optional("is_static", Shape::Flag),
]);

const NODE: Shape = Shape::Model(&[
    Field::optional("id", Shape::Text),
    Field::required("block_id", Shape::Text),
    Field::optional("input_default", Shape::Object),
    Field::optional("metadata", Shape::Object),
    Field::optional("input_links", Shape::List(&LINK)),
    Field::optional("output_links", Shape::List(&LINK)),
]);

/// The fields of a graph in a request; a sub-graph has no `sub_graphs`.
macro_rules! graph_shape {
    ($($more:expr),*) => {
        Shape::Model(&[
            Field::optional("id", Shape::Text),
            Field::optional("version", Shape::Integer),
            Field::optional("is_active", Shape::Flag),
            Field::required("name", Shape::Text),
            Field::required("description", Shape::Text),
            Field::optional("instructions", Shape::Nullable(&Shape::Text)),
            Field::optional("recommended_schedule_cron", Shape::Nullable(&Shape::Text)),
            Field::optional("nodes", Shape::List(&NODE)),
            Field::optional("links", Shape::List(&LINK)),
            Field::optional("forked_from_id", Shape::Nullable(&Shape::Text)),
            Field::optional("forked_from_version", Shape::Nullable(&Shape::Integer)),
            $($more),*
        ])
    };
}

const SUB_GRAPH: Shape = graph_shape!();
const GRAPH: Shape = graph_shape!(Field::optional("sub_graphs", Shape::List(&SUB_GRAPH)));

#[derive(Debug, Deserialize)]
pub struct CreateGraph {
    graph: Graph,
}

impl Shaped for CreateGraph {
    const SHAPE: Shape = Shape::Model(&[Field::required("graph", GRAPH)]);
    const STORED: bool = true;
}

/// The graph in the body of a request to create one; none when it is refused.
pub fn of_body(bytes: &[u8]) -> Option<Graph> {
    body::parse::<CreateGraph>(bytes, true).ok().map(|body| body.graph)
}

/// The body of a save: the graph itself.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct SavedGraph(Graph);

impl Shaped for SavedGraph {
    const SHAPE: Shape = GRAPH;
    const STORED: bool = true;
}
/// The query of a read, for documentation.
#[derive(utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[allow(dead_code)] // only its description is used
struct ExportQuery {
    /// Without secrets, webhooks and owner.
    #[param(default = false)]
    for_export: Option<bool>,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(list, create))
        .routes(routes!(get, update, delete))
        .routes(routes!(versions))
        .routes(routes!(activate))
        .routes(routes!(update_settings))
        .routes(routes!(get_version))
}

#[utoipa::path(
    get, path = "/api/graphs",
    operation_id = "getV1List user graphs", tags = ["v1", "graphs"],
    responses((status = 200, body = Vec<schemas::GraphMeta>)),
)]
pub async fn list(user: CurrentUser, State(submitter): State<Submitter>) -> ApiResult<Response> {
    let graphs = submitter.list_graphs(user.id).await?;
    let shown: Vec<Listed> = graphs.iter().map(Listed::of).collect();
    Ok(Json(shown).into_response())
}

#[utoipa::path(
    post, path = "/api/graphs",
    operation_id = "postV1Create new graph", tags = ["v1", "graphs"],
    request_body = schemas::CreateGraph,
    responses((status = 200, body = schemas::GraphModel)),
)]
pub async fn create(user: CurrentUser, State(submitter): State<Submitter>, JsonBody(body): JsonBody<CreateGraph>) -> ApiResult<Json<Value>> {
    let graph = submitter.create_graph(user.id, body.graph).await?;
    Ok(Json(graph_json::full(&graph)))
}

/// Without `version` the highest one, not the active one (rest.md trap 11).
#[utoipa::path(
    get, path = "/api/graphs/{graph_id}",
    operation_id = "getV1Get specific graph", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path), ("version" = Option<i64>, Query), ExportQuery),
    responses((status = 200, body = schemas::GraphModel)),
)]
pub async fn get(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    State(registry): State<Arc<Registry>>,
    Path(graph_id): Path<String>,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let version = parameters.text("version").filter(|text| !text.is_empty());
    let version = match version {
        Some(_) => match parameters.integer("version")?.map(i32::try_from) {
            Some(Ok(version)) => Some(version),
            _ => return Err(missing(&graph_id)),
        },
        None => None,
    };
    read(&submitter, &registry, &user, &graph_id, version, parameters.flag("for_export")?).await
}

#[utoipa::path(
    get, path = "/api/graphs/{graph_id}/versions/{version}",
    operation_id = "getV1Get graph version", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path), ("version" = Option<i64>, Path), ExportQuery),
    responses((status = 200, body = schemas::GraphModel)),
)]
pub async fn get_version(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    State(registry): State<Arc<Registry>>,
    Path((graph_id, version)): Path<(String, String)>,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let for_export = parameters.flag("for_export")?;
    match path_version("version", &version)? {
        Some(version) => read(&submitter, &registry, &user, &graph_id, Some(version), for_export).await,
        None => Err(missing(&graph_id)),
    }
}

#[utoipa::path(
    get, path = "/api/graphs/{graph_id}/versions",
    operation_id = "getV1Get all graph versions", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path)),
    responses((status = 200, body = Vec<schemas::GraphModel>)),
)]
pub async fn versions(user: CurrentUser, State(submitter): State<Submitter>, Path(graph_id): Path<String>) -> ApiResult<Json<Vec<Value>>> {
    let found = match id(&graph_id) {
        Some(id) => submitter.list_graph_versions(user.id, id, NEWEST_VERSIONS).await?,
        None => Vec::new(),
    };
    if found.is_empty() {
        return Err(missing(&graph_id));
    }
    Ok(Json(found.iter().map(graph_json::full).collect()))
}

/// Saves the graph as its next version.
#[utoipa::path(
    put, path = "/api/graphs/{graph_id}",
    operation_id = "putV1Update graph version", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path)),
    request_body = schemas::Graph,
    responses((status = 200, body = schemas::GraphModel)),
)]
pub async fn update(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    Path(graph_id): Path<String>,
    JsonBody(SavedGraph(graph)): JsonBody<SavedGraph>,
) -> ApiResult<Json<Value>> {
    if !graph.id.is_empty() && graph.id != graph_id {
        return Err(ApiError::detail(StatusCode::BAD_REQUEST, "Graph ID does not match ID in URI"));
    }
    let id = id(&graph_id).ok_or_else(|| missing(&graph_id))?;
    let saved: Option<GraphModel> = submitter.update_graph(user.id, id, graph).await?;
    let saved = saved.ok_or_else(|| missing(&graph_id))?;
    Ok(Json(graph_json::full(&saved)))
}

#[derive(Debug, Deserialize)]
pub struct Activation {
    active_graph_version: i32,
}

impl Shaped for Activation {
    const SHAPE: Shape = Shape::Model(&[Field::required("active_graph_version", Shape::Integer)]);
}

/// From now on lists, schedules without a version, and the library show this version.
#[utoipa::path(
    put, path = "/api/graphs/{graph_id}/versions/active",
    operation_id = "putV1Set active graph version", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path)),
    request_body = schemas::SetGraphActiveVersion,
    responses((status = 200, body = Value)),
)]
pub async fn activate(
    user: CurrentUser,
    State(submitter): State<Submitter>,
    Path(graph_id): Path<String>,
    JsonBody(Activation { active_graph_version }): JsonBody<Activation>,
) -> ApiResult<Json<()>> {
    let missing = || ApiError::not_found(format!("Graph #{graph_id} v{active_graph_version} not found"));
    let id = id(&graph_id).ok_or_else(missing)?;
    if submitter.activate(user.id, id, active_graph_version).await? {
        Ok(Json(()))
    } else {
        Err(missing())
    }
}

/// For all versions that the user has of the graph.
#[utoipa::path(
    patch, path = "/api/graphs/{graph_id}/settings",
    operation_id = "patchV1Update graph settings", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path)),
    request_body = schemas::GraphSettings,
    responses((status = 200, body = schemas::GraphSettings)),
)]
pub async fn update_settings(
    user: CurrentUser,
    State(store): State<Store>,
    Path(graph_id): Path<String>,
    JsonBody(Settings(settings)): JsonBody<Settings>,
) -> ApiResult<Json<GraphSettings>> {
    let found = match id(&graph_id) {
        Some(id) => store.update_graph_settings(user.id, id, &settings).await?,
        None => false,
    };
    if found {
        Ok(Json(settings))
    } else {
        Err(ApiError::not_found(format!("Graph #{graph_id} not found in your library")))
    }
}

#[derive(Debug, Serialize)]
pub struct Deletion {
    version_counts: u64,
}

/// Deletes all versions with the runs of them, unless somebody else uses the graph or a run is not over.
#[utoipa::path(
    delete, path = "/api/graphs/{graph_id}",
    operation_id = "deleteV1Delete graph permanently", tags = ["v1", "graphs"],
    params(("graph_id" = String, Path)),
    responses((status = 200, body = schemas::DeleteGraphResponse)),
)]
pub async fn delete(
    user: CurrentUser,
    State(store): State<Store>,
    State(scheduler): State<Arc<dyn Scheduler>>,
    Path(graph_id): Path<String>,
) -> ApiResult<Json<Deletion>> {
    let id = id(&graph_id).ok_or_else(|| missing(&graph_id))?;
    let refuse = |reason: &str| Err(ApiError::value(format!("Graph #{graph_id} cannot be deleted: {reason}")));
    match store.delete_graph(user.id, id).await? {
        GraphDeletion::Deleted { versions: 0 } => Err(missing(&graph_id)),
        GraphDeletion::Deleted { versions } => {
            drop_schedules(scheduler.as_ref(), user.id, id).await?;
            Ok(Json(Deletion { version_counts: versions }))
        }
        GraphDeletion::Listed => refuse("the marketplace offers it; withdraw the submission first"),
        GraphDeletion::UsedByOthers => refuse("others have it in their library, or runs of it"),
        GraphDeletion::Running => refuse("a run of it is not over; stop it first"),
    }
}

async fn read(
    submitter: &Submitter,
    registry: &Registry,
    user: &CurrentUser,
    graph_id: &str,
    version: Option<i32>,
    for_export: bool,
) -> ApiResult<Json<Value>> {
    let id = id(graph_id).ok_or_else(|| missing(graph_id))?;
    let graph = submitter.get_graph(user.id, id, version).await?.ok_or_else(|| missing(graph_id))?;
    Ok(Json(if for_export {
        graph_json::export(&graph, registry)
    } else {
        graph_json::full(&graph)
    }))
}

fn missing(graph_id: &str) -> ApiError {
    ApiError::not_found(format!("Graph #{graph_id} not found."))
}
