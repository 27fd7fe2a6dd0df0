//! Blocks: the list that the builder loads, and running one block alone (rest.md §2.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use blocks::{BlockContext, BlockErrorKind, Outside, Registry};
use http::{HeaderMap, StatusCode};
use model::{Map, UserId};
use serde::Deserialize;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::direct::DirectPlatform;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::Shape;
use crate::wire::{ApiError, ApiResult, JsonBody, Prepared, id};

/// The inputs of one block.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Inputs(pub Map);

impl Shaped for Inputs {
    const SHAPE: Shape = Shape::Object;
}

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(list)).routes(routes!(execute))
}

/// Every block that graphs may have. Ready-made: neither serialised nor compressed again for each request.
#[utoipa::path(
    get, path = "/api/blocks",
    operation_id = "getV1List available blocks", tags = ["v1", "blocks"],
    responses((status = 200, body = Vec<HashMap<String, Value>>)),
)]
pub async fn list(_user: CurrentUser, State(list): State<Arc<Prepared>>, headers: HeaderMap) -> Response {
    list.answer(&headers)
}

/// Runs one block with a minimal context and answers with its outputs by pin.
#[utoipa::path(
    post, path = "/api/blocks/{block_id}/execute",
    operation_id = "postV1Execute graph block", tags = ["v1", "blocks"],
    params(("block_id" = String, Path)),
    request_body = HashMap<String, Value>,
    responses((status = 200, body = HashMap<String, Vec<Value>>)),
)]
pub async fn execute(
    user: CurrentUser,
    State(registry): State<Arc<Registry>>,
    State(store): State<Store>,
    State(outside): State<Outside>,
    Path(block_id): Path<String>,
    JsonBody(Inputs(inputs)): JsonBody<Inputs>,
) -> ApiResult<Json<Value>> {
    run_block(&registry, &store, outside, user.id, &block_id, inputs).await.map(Json)
}

/// For the platform's own interface and the external one.
pub async fn run_block(registry: &Registry, store: &Store, outside: Outside, user_id: UserId, block_id: &str, inputs: Map) -> ApiResult<Value> {
    let block = id(block_id)
        .and_then(|id| registry.get(id))
        .ok_or_else(|| ApiError::not_found(format!("Block #{block_id} not found.")))?;
    if block.descriptor().disabled {
        return Err(ApiError::detail(StatusCode::FORBIDDEN, format!("Block #{block_id} is disabled.")));
    }
    let mut context = BlockContext {
        platform: Arc::new(DirectPlatform::new(store.clone())),
        ..BlockContext::direct(user_id, outside)
    };
    if let Some(user) = store.get_user(user_id).await?
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
