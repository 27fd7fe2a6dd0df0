//! Errors as the contract words them (rest.md §2.9).
//!
//! Three bodies exist: `{"detail": …}` for what a handler says itself, `{"message", "detail", "hint"}` for errors that come
//! out of the domain, and the same with a list of problems for a request that cannot be read. The last two name the
//! request's method and path, which an error does not know: it travels in the response's extensions and
//! [`render`] writes the body.

use axum::Json;
use axum::extract::Request;
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use http::{HeaderValue, Method, StatusCode};
use rpc::{RpcError, RpcErrorKind};
use serde_json::{Value, json};

use super::shape::Problem;

pub type ApiResult<T> = Result<T, ApiError>;

#[derive(Debug, Clone)]
pub enum ApiError {
    /// `{"detail": …}`.
    Detail(StatusCode, Value),
    /// `{"message", "detail", "hint"}`.
    Generic(StatusCode, String),
    /// 422 with the list of problems.
    Invalid(Vec<Problem>),
    /// 500 whose cause is for the log only.
    Internal(String),
    /// 503 with what callers are told; the cause is for the log only.
    Unavailable(&'static str, String),
}

/// What callers are told of a database that cannot be used; where it is and what ails it is nobody's business outside.
pub const NO_DATABASE: &str = "The database does not answer: try again in a moment";
/// And of a service behind this one.
const NO_SERVICE: &str = "A service that is needed for it does not answer: try again in a moment";

impl ApiError {
    pub fn detail(status: StatusCode, detail: impl Into<Value>) -> Self {
        Self::Detail(status, detail.into())
    }

    /// 404 `{"detail": …}`.
    pub fn not_found(detail: impl Into<String>) -> Self {
        Self::Detail(StatusCode::NOT_FOUND, Value::String(detail.into()))
    }

    /// 400 in the generic form.
    pub fn value(detail: impl Into<String>) -> Self {
        Self::Generic(StatusCode::BAD_REQUEST, detail.into())
    }

    pub fn internal(cause: impl std::fmt::Display) -> Self {
        Self::Internal(cause.to_string())
    }
}

impl From<Problem> for ApiError {
    fn from(problem: Problem) -> Self {
        Self::Invalid(vec![problem])
    }
}

impl IntoResponse for ApiError {
    fn into_response(self) -> Response {
        match self {
            Self::Detail(status, detail) => (status, Json(json!({ "detail": detail }))).into_response(),
            other => {
                let mut response = other.status().into_response();
                response.extensions_mut().insert(Unrendered(other));
                response
            }
        }
    }
}

impl ApiError {
    fn status(&self) -> StatusCode {
        match self {
            Self::Detail(status, _) | Self::Generic(status, _) => *status,
            Self::Invalid(_) => StatusCode::UNPROCESSABLE_ENTITY,
            Self::Internal(_) => StatusCode::INTERNAL_SERVER_ERROR,
            Self::Unavailable(..) => StatusCode::SERVICE_UNAVAILABLE,
        }
    }
}

#[derive(Clone)]
struct Unrendered(ApiError);

/// Writes the bodies that name the request. Server errors are logged here, once.
pub async fn render(request: Request, next: Next) -> Response {
    let (method, path) = (request.method().clone(), request.uri().path().to_owned());
    let mut response = next.run(request).await;
    let Some(Unrendered(error)) = response.extensions_mut().remove::<Unrendered>() else {
        return in_form(response).await;
    };
    let status = error.status();
    if let ApiError::Unavailable(told, cause) = &error {
        tracing::warn!(%method, path, cause, told, "a request failed");
    // What this platform does not have is no failure of it.
    } else if status.is_server_error() && status != StatusCode::NOT_IMPLEMENTED {
        tracing::error!(%method, path, status = status.as_u16(), ?error, "a request failed");
    }
    let body = match error {
        ApiError::Invalid(problems) => json!({
            "message": format!("Invalid data for {method} {path}"),
            "detail": problems,
            "hint": "Correct the fields named in detail and send the request again",
        }),
        ApiError::Generic(_, detail) => generic(&method, &path, status, &detail),
        ApiError::Internal(_) => generic(&method, &path, status, "Internal server error"),
        ApiError::Unavailable(told, _) => generic(&method, &path, status, told),
        ApiError::Detail(_, detail) => json!({ "detail": detail }),
    };
    (status, Json(body)).into_response()
}

/// Bytes of a text of the framework, at most.
const LONGEST_TEXT: usize = 4096;

/// What the framework refuses by itself, such as an address that is no UTF-8, it refuses in plain text.
async fn in_form(response: Response) -> Response {
    let is_text = |kind: &HeaderValue| kind.as_bytes().starts_with(b"text/plain");
    if !response.status().is_client_error() || !response.headers().get(CONTENT_TYPE).is_some_and(is_text) {
        return response;
    }
    let status = response.status();
    let text = axum::body::to_bytes(response.into_body(), LONGEST_TEXT).await.unwrap_or_default();
    ApiError::detail(status, String::from_utf8_lossy(&text).into_owned()).into_response()
}

fn generic(method: &Method, path: &str, status: StatusCode, detail: &str) -> Value {
    let hint = match status {
        StatusCode::NOT_IMPLEMENTED => "This platform does not have it: trying again does not help",
        status if status.is_server_error() => "The server could not do it: try again later; its log says why",
        _ => "Correct the request and send it again",
    };
    json!({ "message": format!("Failed to process {method} {path}"), "detail": detail, "hint": hint })
}

/// A route that exists with other methods.
pub async fn wrong_method() -> ApiError {
    ApiError::detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed")
}

impl From<auth::Rejection> for ApiError {
    fn from(rejection: auth::Rejection) -> Self {
        let status = match rejection {
            auth::Rejection::Token(_) => StatusCode::UNAUTHORIZED,
            auth::Rejection::AdminRequired => StatusCode::FORBIDDEN,
            auth::Rejection::ImpersonatedId => StatusCode::BAD_REQUEST,
        };
        Self::detail(status, rejection.to_string())
    }
}

impl From<store::Error> for ApiError {
    fn from(error: store::Error) -> Self {
        match error {
            error if error.is_unavailable() => Self::Unavailable(NO_DATABASE, error.to_string()),
            store::Error::NotFound(text) => Self::Generic(StatusCode::NOT_FOUND, text),
            store::Error::Unstorable(reason) => Self::value(format!("The value cannot be stored: {reason}")),
            other => Self::internal(other),
        }
    }
}

/// How the errors of the internal services look from outside (rest.md §2.9).
impl From<RpcError> for ApiError {
    fn from(error: RpcError) -> Self {
        use RpcErrorKind as Kind;
        match error.kind {
            Kind::NotFound => Self::Generic(StatusCode::NOT_FOUND, error.message),
            Kind::NotAuthorized | Kind::GraphNotAccessible | Kind::GraphNotInLibrary => Self::Generic(StatusCode::FORBIDDEN, error.message),
            Kind::MissingConfig => Self::Generic(StatusCode::SERVICE_UNAVAILABLE, error.message),
            Kind::Connection | Kind::Timeout | Kind::UnhealthyService => Self::Unavailable(NO_SERVICE, error.message),
            Kind::GraphValidation => match error.node_errors() {
                Some(node_errors) => validation_failed(&error.message, node_errors.clone()),
                None => Self::value(error.message),
            },
            kind if kind.status() == StatusCode::BAD_REQUEST => Self::value(error.message),
            _ => Self::internal(error),
        }
    }
}

/// 400 with the map of node id → field → text that the builder paints its fields by (rest.md §2.5).
pub fn validation_failed(message: &str, node_errors: Value) -> ApiError {
    let detail = json!({ "type": "validation_error", "message": message, "node_errors": node_errors });
    ApiError::Detail(StatusCode::BAD_REQUEST, detail)
}
