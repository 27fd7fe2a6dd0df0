//! The balance (rest.md §1 area 10).

use axum::Json;
use axum::extract::State;
use runtime::Settings;
use serde_json::{Value, json};
use store::Store;

use crate::users::CurrentUser;
use crate::wire::ApiResult;

/// What everybody has while credits are disabled (rest.md §2.8).
const WITHOUT_CREDITS: i64 = 100;

pub async fn balance(user: CurrentUser, State(settings): State<Settings>, State(store): State<Store>) -> ApiResult<Json<Value>> {
    let credits = if settings.credits.enable_credit {
        store.get_credits(user.id).await?
    } else {
        WITHOUT_CREDITS
    };
    Ok(Json(json!({ "credits": credits })))
}
