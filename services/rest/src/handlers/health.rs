//! `GET /health` of the contract. Probes use `/livez` and `/readyz`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;
use crate::wire::{ApiError, ApiResult};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health))
}

/// 400 when the database does not answer: the contract's status for it (rest.md trap 16).
#[utoipa::path(
    get, path = "/health",
    operation_id = "getHealthHealth", tags = ["health"],
    security(()),
    responses((status = 200, body = Value)),
)]
pub async fn health(State(store): State<Store>) -> ApiResult<Json<Value>> {
    match store.ping().await {
        Ok(()) => Ok(Json(json!({ "status": "healthy" }))),
        Err(error) => Err(ApiError::value(error.to_string())),
    }
}
