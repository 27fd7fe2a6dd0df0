//! Operations of the contract that this platform does not have: each answers 501 and says why (rest.md §1).
//!
//! An operation is either here or has a handler; a test holds both against the contract.

use axum::Router;
use axum::routing::{MethodFilter, on};
use http::StatusCode;
use serde_json::{Value, json};

use crate::openapi;
use crate::state::AppState;
use crate::users::CurrentUser;
use crate::wire::ApiError;

/// The operations of the contract, as `openapi.json` has them.
const CONTRACT: &str = include_str!("../contract/operations.json");

const PAYMENT: &str = "no payment provider is connected to this platform";
/// Of Otto.
pub const NO_OTTO: &str = "no Otto service is connected to this platform: OTTO_API_URL names one";
/// Of what a link in a mail does.
pub const NO_LINKS: &str = "mails of this platform carry no such link, because UNSUBSCRIBE_SECRET_KEY is not set";
/// Of what needs the assistant.
pub const NO_MODEL: &str = "no model is configured on this platform: CHAT_BASE_URL and CHAT_MODEL name one";
const IMAGES: &str = "this platform has no image generator: upload a picture with POST /api/store/submissions/media";

/// `operation id → why it is not there`.
pub const ABSENT: &[(&str, &str)] = &[
    // 8 Catalogue
    ("postV2Generate submission image", IMAGES),
    // 9 Integrations
    ("getV1GetAyrshareSsoUrl", "Ayrshare is not connected to this platform"),
    // 10 Credits
    ("postV1Request credit top up", PAYMENT),
    ("patchV1Fulfill checkout session", PAYMENT),
    ("postV1Refund credit transaction", PAYMENT),
    ("postV1Handle stripe webhooks", PAYMENT),
    ("getV1Manage payment methods", PAYMENT),
];

/// An operation of the contract.
struct Operation {
    path: String,
    method: MethodFilter,
    /// Whether it takes a user.
    closed: bool,
    reason: &'static str,
}

/// Routes for all of them, and the contract's description of them by path, to be added to the document. `told` are the paths that have
/// handlers: an operation that has one is not absent, whatever the list says.
pub fn routes(told: &Value) -> serde_json::Result<(Router<AppState>, Value)> {
    let contract: Value = serde_json::from_str(CONTRACT)?;
    let mut router = Router::new();
    let mut described = model::Map::new();
    for (path, item) in contract.as_object().into_iter().flatten() {
        for (method, description) in item.as_object().into_iter().flatten() {
            let named = |(id, _): &&(&str, &str)| description.get("operationId").and_then(Value::as_str) == Some(id);
            let (Some((_, reason)), Some(filter)) = (ABSENT.iter().find(named), filter(method)) else {
                continue;
            };
            if told.get(path).is_some_and(|item| item.get(method).is_some()) {
                continue;
            }
            router = add(
                router,
                Operation {
                    path: path.clone(),
                    method: filter,
                    closed: description.get("security").is_some(),
                    reason,
                },
            );
            let item = described.entry(path.clone()).or_insert_with(|| Value::Object(model::Map::new()));
            item[method] = description.clone();
            item[method]["responses"]["501"] = json!({ "$ref": openapi::ERROR });
            if description.get("security").is_none() {
                // As a handler says that anybody may call it.
                item[method]["security"] = json!([{}]);
            }
        }
    }
    Ok((router, Value::Object(described)))
}

fn add(router: Router<AppState>, operation: Operation) -> Router<AppState> {
    let reason = operation.reason;
    let refuse = move || async move { not_here(reason) };
    if operation.closed {
        router.route(&operation.path, on(operation.method, move |_: CurrentUser| refuse()))
    } else {
        router.route(&operation.path, on(operation.method, refuse))
    }
}

/// The answer of an operation that is not there.
pub fn not_here(reason: &str) -> ApiError {
    ApiError::Generic(StatusCode::NOT_IMPLEMENTED, format!("Not implemented: {reason}"))
}

fn filter(method: &str) -> Option<MethodFilter> {
    match method {
        "get" => Some(MethodFilter::GET),
        "post" => Some(MethodFilter::POST),
        "put" => Some(MethodFilter::PUT),
        "patch" => Some(MethodFilter::PATCH),
        "delete" => Some(MethodFilter::DELETE),
        _ => None,
    }
}
