//! The balance (rest.md §1 area 10).

use axum::Json;
use axum::extract::State;
use serde_json::{Value, json};
use store::Store;

use crate::users::CurrentUser;
use crate::wire::ApiResult;

pub async fn balance(user: CurrentUser, State(store): State<Store>) -> ApiResult<Json<Value>> {
    Ok(Json(json!({ "credits": store.get_credits(user.id).await? })))
}
