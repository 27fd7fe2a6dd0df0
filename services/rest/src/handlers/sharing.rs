//! Runs that their owners show to whoever has the link (rest.md §2.6).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use http::StatusCode;
use model::{ExecutionStatus, GraphExecId, Outputs, Timestamp};
use runtime::Settings;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use store::{IoBlocks, Store};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;
use uuid::Uuid;

use crate::openapi::schemas;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::{Problem, Shape};
use crate::wire::{ApiError, ApiResult, JsonBody, id};

/// Where the frontend is when nobody says.
const LOCAL_FRONTEND: &str = "http://localhost:3000";
const TOKEN_PATTERN: &str = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$";

/// Where the frontend is, for links to it.
pub fn frontend(settings: &Settings) -> &str {
    match settings.frontend_base_url.trim_end_matches('/') {
        "" => LOCAL_FRONTEND,
        given => given,
    }
}

/// Nothing is to be said.
#[derive(Debug, Deserialize)]
pub struct Request {}

impl Shaped for Request {
    const SHAPE: Shape = Shape::Model(&[]);
    const OPTIONAL: bool = true;
}

#[derive(Debug, Serialize)]
pub struct Share {
    share_url: String,
    share_token: Uuid,
}

#[derive(Debug, Serialize)]
pub struct Shared {
    id: GraphExecId,
    graph_name: String,
    graph_description: Option<String>,
    status: ExecutionStatus,
    created_at: Timestamp,
    outputs: Outputs,
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(share, unshare)).routes(routes!(shared))
}

/// Under a new token each time: the former link dies.
#[utoipa::path(
    post, path = "/api/graphs/{graph_id}/executions/{graph_exec_id}/share",
    operation_id = "postV1EnableExecutionSharing", tags = ["v1"],
    params(("graph_id" = String, Path), ("graph_exec_id" = String, Path)),
    request_body = Option<schemas::ShareRequest>,
    responses((status = 200, body = schemas::ShareResponse)),
)]
pub async fn share(
    user: CurrentUser,
    State(store): State<Store>,
    State(settings): State<Settings>,
    Path((_, graph_exec_id)): Path<(String, String)>,
    JsonBody(Request {}): JsonBody<Request>,
) -> ApiResult<Json<Share>> {
    let token = Uuid::new_v4();
    set(&store, &user, &graph_exec_id, Some(token)).await?;
    let frontend = frontend(&settings);
    Ok(Json(Share {
        share_url: format!("{frontend}/share/{token}"),
        share_token: token,
    }))
}

#[utoipa::path(
    delete, path = "/api/graphs/{graph_id}/executions/{graph_exec_id}/share",
    operation_id = "deleteV1DisableExecutionSharing", tags = ["v1"],
    params(("graph_id" = String, Path), ("graph_exec_id" = String, Path)),
    responses((status = 204)),
)]
pub async fn unshare(user: CurrentUser, State(store): State<Store>, Path((_, graph_exec_id)): Path<(String, String)>) -> ApiResult<StatusCode> {
    set(&store, &user, &graph_exec_id, None).await?;
    Ok(StatusCode::NO_CONTENT)
}

/// What everybody who has the link may see.
#[utoipa::path(
    get, path = "/api/public/shared/{share_token}",
    operation_id = "getV1GetSharedExecution", tags = ["v1"],
    params(("share_token" = String, Path, pattern = "^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")), security(()),
    responses((status = 200, body = schemas::SharedExecutionResponse)),
)]
pub async fn shared(
    State(store): State<Store>,
    State(io): State<Arc<IoBlocks>>,
    Path(share_token): Path<String>,
) -> ApiResult<([(&'static str, &'static str); 1], Json<Shared>)> {
    let token = id(&share_token).filter(|token| token.to_string() == share_token).ok_or_else(|| {
        let msg = format!("String should match pattern '{TOKEN_PATTERN}'");
        Problem::new(
            "string_pattern_mismatch",
            &["path", "share_token"],
            msg,
            Value::from(share_token.as_str()),
        )
        .with_context(json!({ "pattern": TOKEN_PATTERN }))
    })?;
    let run = store.get_shared_execution(token, &io).await?;
    let run = run.ok_or_else(|| ApiError::not_found("Shared execution not found"))?;
    let shared = Shared {
        id: run.id,
        graph_name: Some(run.graph_name)
            .filter(|name| !name.is_empty())
            .unwrap_or_else(|| "Untitled Agent".to_owned()),
        graph_description: Some(run.graph_description).filter(|text| !text.is_empty()),
        status: run.status,
        created_at: run.created_at,
        outputs: run.outputs,
    };
    Ok(([("x-robots-tag", "noindex, nofollow")], Json(shared)))
}

async fn set(store: &Store, user: &CurrentUser, graph_exec_id: &str, token: Option<Uuid>) -> ApiResult<()> {
    let found = match id(graph_exec_id) {
        Some(id) => store.share_execution(user.id, id, token).await?,
        None => false,
    };
    if found {
        Ok(())
    } else {
        Err(ApiError::not_found(format!("Graph execution #{graph_exec_id} not found.")))
    }
}
