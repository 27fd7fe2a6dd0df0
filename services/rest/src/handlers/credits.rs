//! The balance (rest.md §1 area 10).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::ApiResult;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(balance))
}

#[utoipa::path(
    get, path = "/api/credits",
    operation_id = "getV1Get user credits", tags = ["v1", "credits"],
    responses((status = 200, body = HashMap<String, i64>)),
)]
pub async fn balance(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "credits": store.get_credits(user.id).await? })))
}
