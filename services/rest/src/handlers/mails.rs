//! What comes back about mails (rest.md §1 area 15, internals §5.4).

use auth::unsubscribe::Unsubscriber;
use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use indexmap::IndexMap;
use model::notification::NotificationType;
use runtime::Settings;
use serde::Deserialize;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use store::Store;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::absent;
use crate::openapi::schemas;
use crate::state::AppState;
use crate::wire::body::{Shaped, Unread};
use crate::wire::shape::{Field, Problem, Shape, check};
use crate::wire::{ApiError, ApiResult, Parameters};

/// What the link of a mail does not switch off: answers to what the user has submitted.
const KEPT: [NotificationType; 2] = [NotificationType::AgentApproved, NotificationType::AgentRejected];

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(unsubscribe)).routes(routes!(postmark))
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

const POSTMARK_TOKEN: &str = "x-postmark-webhook-token";
/// Kinds of bounces that Postmark knows (`PostmarkBounceEnum`).
const BOUNCES: [i64; 22] = [
    1, 2, 16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16384, 100_000, 100_001, 100_002, 100_003, 100_006, 100_007, 100_008, 100_009, 100_010,
];
/// Those that pass: Transient, DnsError, SoftBounce.
const PASSING: [i64; 3] = [2, 256, 4096];

const fn text(name: &'static str) -> Field {
    Field::required(name, Shape::Text)
}

const METADATA: Field = Field::required("Metadata", Shape::MapOf(&Shape::Text));
const SERVER: Field = Field::required("ServerID", Shape::Long);

const DELIVERY: Shape = Shape::Model(&[
    SERVER,
    text("MessageStream"),
    text("MessageID"),
    text("Recipient"),
    text("Tag"),
    text("DeliveredAt"),
    text("Details"),
    METADATA,
]);
/// Of bounces and of complaints.
const RETURN: Shape = Shape::Model(&[
    Field::required("ID", Shape::Long),
    text("Type"),
    Field::required("TypeCode", Shape::Long),
    text("Tag"),
    text("MessageID"),
    text("Details"),
    text("Email"),
    text("From"),
    text("BouncedAt"),
    Field::required("Inactive", Shape::Flag),
    Field::required("DumpAvailable", Shape::Flag),
    Field::required("CanActivate", Shape::Flag),
    text("Subject"),
    SERVER,
    text("MessageStream"),
    text("Content"),
    text("Name"),
    text("Description"),
    METADATA,
]);
const WORDS: Shape = Shape::MapOf(&Shape::Text);
const OPENED: Shape = Shape::Model(&[
    text("MessageStream"),
    METADATA,
    Field::required("FirstOpen", Shape::Flag),
    text("Recipient"),
    text("MessageID"),
    text("ReceivedAt"),
    text("Platform"),
    Field::required("ReadSeconds", Shape::Long),
    text("Tag"),
    text("UserAgent"),
    Field::required("OS", WORDS),
    Field::required("Client", WORDS),
    Field::required("Geo", WORDS),
]);
const CLICKED: Shape = Shape::Model(&[
    text("MessageStream"),
    METADATA,
    text("Recipient"),
    text("MessageID"),
    text("ReceivedAt"),
    text("Platform"),
    text("ClickLocation"),
    text("OriginalLink"),
    text("Tag"),
    text("UserAgent"),
    Field::required("OS", WORDS),
    Field::required("Client", WORDS),
    Field::required("Geo", WORDS),
]);
const SUBSCRIPTION: Shape = Shape::Model(&[
    text("MessageID"),
    SERVER,
    text("MessageStream"),
    text("ChangedAt"),
    text("Recipient"),
    text("Origin"),
    Field::required("SuppressSending", Shape::Flag),
    text("SuppressionReason"),
    text("Tag"),
    METADATA,
]);

/// What Postmark tells; `RecordType` says what it is.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub struct Report(model::Map);

impl Shaped for Report {
    const SHAPE: Shape = Shape::Object;
}

/// What became of a mail. An address to which mails cannot be delivered for good gets no more of them (internals §5.4).
#[utoipa::path(
    post, path = "/api/email/",
    operation_id = "postV1Handle postmark email webhooks", tags = ["v1", "email"],
    security(("APIKeyAuthenticator-X-Postmark-Webhook-Token" = [])),
    request_body = inline(schemas::PostmarkWebhook),
    responses((status = 200, body = Value)),
)]
pub async fn postmark(State(settings): State<Settings>, State(store): State<Store>, headers: HeaderMap, body: Unread) -> ApiResult<Json<()>> {
    admit(&headers, settings.notification.postmark_webhook_token.expose())?;
    let Report(report) = body.read().await?;
    let (kind, report) = read(report)?;
    if kind != "Bounce" {
        tracing::info!(kind, "Postmark tells about a mail");
        return Ok(Json(()));
    }
    let code = report["TypeCode"].as_i64().unwrap_or_default();
    if PASSING.contains(&code) {
        tracing::info!(code, "a mail came back for now");
    } else {
        let known = store.distrust_email(report["Email"].as_str().unwrap_or_default()).await?;
        tracing::warn!(code, known, "a mail came back for good: its address gets no more of them");
    }
    Ok(Json(()))
}

/// Compared by digest, so that the time it takes says nothing.
fn admit(headers: &HeaderMap, token: &str) -> ApiResult<()> {
    let refused = |text: &str| Err(ApiError::detail(StatusCode::UNAUTHORIZED, text));
    if token.is_empty() {
        return refused("No webhook token is valid: POSTMARK_WEBHOOK_TOKEN is not set");
    }
    match headers.get(POSTMARK_TOKEN) {
        Some(given) if Sha256::digest(given.as_bytes()) == Sha256::digest(token.as_bytes()) => Ok(()),
        Some(_) => refused("Invalid webhook token"),
        None => refused("Missing webhook token"),
    }
}

/// The kind of a report, and what it holds.
fn read(mut report: model::Map) -> ApiResult<(&'static str, Value)> {
    let kind = report.shift_remove("RecordType").ok_or_else(|| {
        Problem::new(
            "union_tag_not_found",
            &["body"],
            "Unable to extract tag using discriminator 'RecordType'",
            Value::Null,
        )
    })?;
    let (kind, shape) = match kind.as_str() {
        Some("Delivery") => ("Delivery", &DELIVERY),
        Some("Bounce") => ("Bounce", &RETURN),
        Some("SpamComplaint") => ("SpamComplaint", &RETURN),
        Some("Open") => ("Open", &OPENED),
        Some("Click") => ("Click", &CLICKED),
        Some("SubscriptionChange") => ("SubscriptionChange", &SUBSCRIPTION),
        _ => {
            let kinds = "Input should be 'Delivery', 'Bounce', 'SpamComplaint', 'Open', 'Click' or 'SubscriptionChange'";
            return Err(Problem::new("union_tag_invalid", &["body", "RecordType"], kinds, kind).into());
        }
    };
    let report = check(shape, Value::Object(report), &["body", kind]).map_err(ApiError::Invalid)?;
    let unknown = kind == "Bounce" && !report["TypeCode"].as_i64().is_some_and(|code| BOUNCES.contains(&code));
    if unknown {
        let text = "Input should be a code that Postmark has for bounces";
        return Err(Problem::new("enum", &["body", kind, "TypeCode"], text, report["TypeCode"].clone()).into());
    }
    Ok((kind, report))
}
