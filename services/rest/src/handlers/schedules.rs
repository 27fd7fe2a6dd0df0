//! Schedules: checked here, kept by the scheduler service (rest.md §2.7).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use indexmap::IndexMap;
use model::schedule::GraphExecutionJobInfo;
use model::{CredentialsMetaInput, GraphId, Map, UserId};
use rpc::RpcErrorKind;
use rpc::services::Scheduler;
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::executions::CREDENTIALS;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Field, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, id};

#[derive(Debug, Deserialize)]
pub struct NewSchedule {
    #[serde(default)]
    graph_version: Option<i32>,
    name: String,
    cron: String,
    inputs: Map,
    #[serde(default)]
    credentials: IndexMap<String, CredentialsMetaInput>,
    #[serde(default)]
    timezone: Option<String>,
}

impl Shaped for NewSchedule {
    const SHAPE: Shape = Shape::Model(&[
        Field::optional("graph_version", Shape::Nullable(&Shape::Integer)),
        Field::required("name", Shape::Text),
        Field::required("cron", Shape::Text),
        Field::required("inputs", Shape::Object),
        Field::optional("credentials", Shape::MapOf(&CREDENTIALS)),
        Field::optional("timezone", Shape::Nullable(&Shape::Text)),
    ]);
    const STORED: bool = true;
}

type SchedulerHandle = State<Arc<dyn Scheduler>>;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .routes(routes!(create, list_of_graph))
        .routes(routes!(list))
        .routes(routes!(delete))
}

#[utoipa::path(
    post, path = "/api/graphs/{graph_id}/schedules",
    operation_id = "postV1Create execution schedule", tags = ["v1", "schedules"],
    params(("graph_id" = String, Path)),
    request_body = schemas::ScheduleCreationRequest,
    responses((status = 200, body = schemas::GraphExecutionJobInfo)),
)]
pub async fn create(
    user: CurrentUser,
    State(store): State<Store>,
    State(scheduler): SchedulerHandle,
    Path(graph_id): Path<String>,
    JsonBody(body): JsonBody<NewSchedule>,
) -> ApiResult<Json<GraphExecutionJobInfo>> {
    let (graph_id, version) = newest_readable(&store, user.id, &graph_id, body.graph_version).await?;
    let timezone = match body.timezone {
        Some(timezone) => Some(timezone),
        None => stored_timezone(&store, user.id).await?,
    };
    let created = scheduler.add_graph_execution_schedule(
        user.id,
        graph_id,
        version,
        body.cron,
        body.inputs,
        body.credentials,
        Some(body.name),
        timezone,
    );
    Ok(Json(created.await?))
}

#[utoipa::path(
    get, path = "/api/graphs/{graph_id}/schedules",
    operation_id = "getV1List execution schedules for a graph", tags = ["v1", "schedules"],
    params(("graph_id" = String, Path)),
    responses((status = 200, body = Vec<schemas::GraphExecutionJobInfo>)),
)]
pub async fn list_of_graph(
    user: CurrentUser,
    State(scheduler): SchedulerHandle,
    Path(graph_id): Path<String>,
) -> ApiResult<Json<Vec<GraphExecutionJobInfo>>> {
    let Some(graph_id) = id(&graph_id) else {
        return Ok(Json(Vec::new()));
    };
    Ok(Json(scheduler.get_graph_execution_schedules(Some(graph_id), Some(user.id)).await?))
}

#[utoipa::path(
    get, path = "/api/schedules",
    operation_id = "getV1List execution schedules for a user", tags = ["v1", "schedules"],
    responses((status = 200, body = Vec<schemas::GraphExecutionJobInfo>)),
)]
pub async fn list(user: CurrentUser, State(scheduler): SchedulerHandle) -> ApiResult<Json<Vec<GraphExecutionJobInfo>>> {
    Ok(Json(scheduler.get_graph_execution_schedules(None, Some(user.id)).await?))
}

#[utoipa::path(
    delete, path = "/api/schedules/{schedule_id}",
    operation_id = "deleteV1Delete execution schedule", tags = ["v1", "schedules"],
    params(("schedule_id" = String, Path)),
    responses((status = 200, body = HashMap<String, Value>)),
)]
pub async fn delete(user: CurrentUser, State(scheduler): SchedulerHandle, Path(schedule_id): Path<String>) -> ApiResult<Json<Value>> {
    let unknown = || ApiError::not_found(format!("Schedule #{schedule_id} not found"));
    match scheduler.delete_graph_execution_schedule(schedule_id.clone(), user.id).await {
        Ok(deleted) => Ok(Json(json!({ "id": deleted.id }))),
        Err(error) if error.kind == RpcErrorKind::NotFound => Err(unknown()),
        Err(error) if error.kind == RpcErrorKind::NotAuthorized => Err(ApiError::Generic(StatusCode::FORBIDDEN, error.message)),
        Err(error) => Err(error.into()),
    }
}

/// The graph that a schedule means; its highest version when none is given.
async fn newest_readable(store: &Store, user_id: UserId, graph_id: &str, version: Option<i32>) -> ApiResult<(GraphId, i32)> {
    let missing = || ApiError::not_found(format!("Graph #{graph_id} not found."));
    let id = id(graph_id).ok_or_else(missing)?;
    let graph = store.get_graph_metadata(id, version).await?.ok_or_else(missing)?;
    if !store.graph_access(user_id, id, graph.version).await?.readable {
        return Err(missing());
    }
    Ok((id, graph.version))
}

/// The user's zone, when one is set that exists; the scheduler then takes UTC.
pub async fn stored_timezone(store: &Store, user_id: UserId) -> ApiResult<Option<String>> {
    let user = store.get_user(user_id).await?;
    Ok(user
        .map(|user| user.timezone)
        .filter(|timezone| timezone.parse::<chrono_tz::Tz>().is_ok()))
}
