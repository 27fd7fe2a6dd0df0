//! `GET /health` of the contract. Probes use `/livez` and `/readyz`.

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use store::Store;

use crate::wire::{ApiError, ApiResult};

/// 400 when the database does not answer: the contract's status for it (rest.md trap 16).
pub async fn health(State(store): State<Store>) -> ApiResult<Json<Value>> {
    match store.ping().await {
        Ok(()) => Ok(Json(json!({ "status": "healthy" }))),
        Err(error) => Err(ApiError::value(error.to_string())),
    }
}
