//! Blocks: the list that the builder loads, and running one block alone (rest.md §2.1).

use std::sync::Arc;

use axum::Json;
use axum::extract::{Path, State};
use axum::response::Response;
use http::HeaderMap;
use model::Map;
use serde::Deserialize;
use serde_json::Value;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::direct::BlockRunner;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Shaped;
use crate::wire::shape::Shape;
use crate::wire::{ApiResult, JsonBody, Prepared};

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
    State(runner): State<BlockRunner>,
    Path(block_id): Path<String>,
    JsonBody(Inputs(inputs)): JsonBody<Inputs>,
) -> ApiResult<Json<Value>> {
    runner.run(user.id, &block_id, inputs).await.map(Json)
}
