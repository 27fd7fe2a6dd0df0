//! Where services outside deliver what starts runs (rest.md §1, area 9).

use axum::Json;
use axum::extract::{Path, State};
use http::{HeaderMap, StatusCode};
use model::Map;
use model::webhook::Webhook;
use serde_json::Value;
use store::Store;
use submit::{Delivery, Submitter};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::events::Announcer;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::body::Unread;
use crate::wire::json::{self, Malformed};
use crate::wire::{ApiError, ApiResult, id};

/// Headers in which senders name a delivery: Standard Webhooks, GitHub, and what others use.
const DELIVERY_HEADERS: [&str; 5] = [
    "webhook-id",
    "x-github-delivery",
    "x-delivery-id",
    "x-webhook-delivery",
    "idempotency-key",
];
/// A longer name is none.
const MAX_NAME: usize = 255;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(ingress)).routes(routes!(ping))
}

/// Starts what listens. Whoever knows the address may deliver; a delivery that is named starts nothing twice.
#[utoipa::path(
    post, path = "/api/integrations/{provider}/webhooks/{webhook_id}/ingress",
    operation_id = "postV1WebhookIngressGeneric", tags = ["v1", "integrations"],
    params(("provider" = String, Path), ("webhook_id" = String, Path)),
    responses((status = 200, body = Value)),
    security(()),
)]
pub async fn ingress(
    State(store): State<Store>,
    State(submitter): State<Submitter>,
    State(announcer): State<Announcer>,
    Path((provider, webhook_id)): Path<(String, String)>,
    headers: HeaderMap,
    body: Unread,
) -> ApiResult<Json<Value>> {
    let webhook = find(&store, &webhook_id).await?;
    let webhook = webhook
        .filter(|webhook| webhook.provider == provider)
        .ok_or_else(|| missing(&webhook_id))?;
    let mut payload = payload(&body.bytes().await?)?;
    store::make_storable(&mut payload);
    let Value::Object(payload) = payload else {
        return Err(ApiError::detail(StatusCode::BAD_REQUEST, "The payload must be a JSON object"));
    };
    let delivery = Delivery {
        payload,
        id: delivery_name(&headers),
    };
    for started in submitter.deliver(&webhook, &delivery).await? {
        announcer.announce(&started);
    }
    Ok(Json(Value::Null))
}

/// Asks the provider for a delivery. Senders that are set up by hand cannot be asked: `false`.
#[utoipa::path(
    post, path = "/api/integrations/webhooks/{webhook_id}/ping",
    operation_id = "postV1WebhookPing", tags = ["v1", "integrations"],
    params(("webhook_id" = String, Path)),
    responses((status = 200, body = Value)),
)]
pub async fn ping(user: CurrentUser, State(store): State<Store>, Path(webhook_id): Path<String>) -> ApiResult<Json<bool>> {
    let webhook = find(&store, &webhook_id).await?;
    let own = webhook.filter(|webhook| webhook.user_id == user.id);
    own.map(|_| Json(false)).ok_or_else(|| missing(&webhook_id))
}

async fn find(store: &Store, webhook_id: &str) -> ApiResult<Option<Webhook>> {
    match id(webhook_id) {
        Some(id) => Ok(store.webhook(id).await?),
        None => Ok(None),
    }
}

fn missing(webhook_id: &str) -> ApiError {
    ApiError::not_found(format!("Webhook #{webhook_id} not found"))
}

/// The body, whatever its content type says; nothing is an empty object.
fn payload(body: &[u8]) -> ApiResult<Value> {
    if body.iter().all(u8::is_ascii_whitespace) {
        return Ok(Value::Object(Map::new()));
    }
    let refusal = |malformed: Malformed| ApiError::detail(StatusCode::BAD_REQUEST, format!("The payload cannot be read: {}", malformed.reason));
    json::parse_strictly(body).map_err(refusal)
}

fn delivery_name(headers: &HeaderMap) -> Option<String> {
    let named = DELIVERY_HEADERS.iter().find_map(|name| headers.get(*name));
    let name = named.and_then(|value| value.to_str().ok()).map(str::trim);
    name.filter(|name| !name.is_empty() && name.len() <= MAX_NAME).map(str::to_owned)
}
