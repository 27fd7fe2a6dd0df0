//! `GET /health` of the contract. Probes use `/livez` and `/readyz`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;
use crate::wire::error::NO_DATABASE;
use crate::wire::{ApiError, ApiResult};

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(health))
}

/// 503 when the database does not answer, where the reference gives 400 (rest.md §6).
#[utoipa::path(
    get, path = "/health",
    operation_id = "getHealthHealth", tags = ["health"],
    security(()),
    responses((status = 200, body = Value)),
)]
pub async fn health(State(store): State<Store>) -> ApiResult<Json<Value>> {
    match store.ping().await {
        Ok(()) => Ok(Json(json!({ "status": "healthy" }))),
        Err(error) => Err(ApiError::Unavailable(NO_DATABASE, error.to_string())),
    }
}
