//! What comes back about mails (rest.md §1 area 15, internals §5.4).

use auth::unsubscribe::Unsubscriber;
use axum::Json;
use axum::extract::State;
use indexmap::IndexMap;
use model::notification::NotificationType;
use serde_json::{Value, json};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::absent;
use crate::state::AppState;
use crate::wire::shape::Problem;
use crate::wire::{ApiError, ApiResult, Parameters};

/// What the link of a mail does not switch off: answers to what the user has submitted.
const KEPT: [NotificationType; 2] = [NotificationType::AgentApproved, NotificationType::AgentRejected];

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(unsubscribe))
}

/// Switches a user's mails off. The token of the link is the permission; mail programs call this when somebody clicks.
#[utoipa::path(
    post, path = "/api/email/unsubscribe",
    operation_id = "postV1One click email unsubscribe", tags = ["v1", "email"],
    params(("token" = String, Query)), security(()),
    responses((status = 200, body = Value), (status = 501)),
)]
pub async fn unsubscribe(
    State(unsubscriber): State<Option<Unsubscriber>>,
    State(store): State<Store>,
    parameters: Parameters,
) -> ApiResult<Json<Value>> {
    let unsubscriber = unsubscriber.ok_or_else(|| absent::not_here(absent::NO_LINKS))?;
    let token = parameters
        .text("token")
        .ok_or_else(|| Problem::new("missing", &["query", "token"], "Field required", Value::Null))?;
    let invalid = || ApiError::value("Invalid unsubscribe token");
    let user_id = unsubscriber.user_of(token).ok_or_else(invalid)?;
    let preference = store.get_notification_preference(user_id).await?.ok_or_else(invalid)?;
    let kinds = preference.preferences.into_keys().filter(|kind| !KEPT.contains(kind));
    let switches: IndexMap<NotificationType, bool> = kinds.map(|kind| (kind, false)).collect();
    store.set_notification_preference(user_id, &switches, preference.daily_limit).await?;
    tracing::info!(%user_id, "a user has switched mails off");
    Ok(Json(json!({ "status": "ok" })))
}
