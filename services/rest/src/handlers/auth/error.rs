//! Errors as clients of GoTrue read them: `{"code", "error_code", "msg"}` (rest.md §3.4).

use auth::password::PasswordError;
use axum::Json;
use axum::response::{IntoResponse, Response};
use http::StatusCode;
use serde_json::json;

use crate::wire::error::NO_DATABASE;

/// Short is the only thing that a password can be too much of here.
const WEAK_PASSWORD: &str = "weak_password";

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AuthError {
    status: StatusCode,
    code: &'static str,
    message: String,
}

impl AuthError {
    pub fn new(status: StatusCode, code: &'static str, message: impl Into<String>) -> Self {
        Self {
            status,
            code,
            message: message.into(),
        }
    }

    pub fn bad_request(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, message)
    }

    pub fn unprocessable(code: &'static str, message: impl Into<String>) -> Self {
        Self::new(StatusCode::UNPROCESSABLE_ENTITY, code, message)
    }

    pub fn invalid_credentials() -> Self {
        Self::bad_request("invalid_credentials", "Invalid login credentials")
    }

    pub fn too_many_attempts() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "over_request_rate_limit",
            "Too many attempts for this address: wait a few minutes and try again",
        )
    }

    pub fn too_many_mails() -> Self {
        Self::new(
            StatusCode::TOO_MANY_REQUESTS,
            "over_email_send_rate_limit",
            "A mail was sent to this address a moment ago: wait a minute and try again",
        )
    }

    pub fn code_expired() -> Self {
        Self::new(StatusCode::FORBIDDEN, "otp_expired", "Email link is invalid or has expired")
    }

    /// The client makes an error of its own of this one, and shows the reasons.
    pub fn weak_password(shortest: usize) -> Self {
        Self::unprocessable(WEAK_PASSWORD, format!("Password should be at least {shortest} characters."))
    }

    /// What GoTrue has and this service does not.
    pub fn not_offered() -> Self {
        Self::new(
            StatusCode::NOT_FOUND,
            "not_found",
            "The embedded auth service has no such operation: people log in with address and password",
        )
    }

    /// A path that exists with other methods.
    pub fn wrong_method() -> Self {
        Self::new(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", "Method not allowed")
    }

    /// 500; the cause is for the log only.
    pub fn internal(cause: impl std::fmt::Display) -> Self {
        tracing::error!(%cause, "the auth service failed");
        Self::new(StatusCode::INTERNAL_SERVER_ERROR, "unexpected_failure", "Internal server error")
    }

    pub fn code(&self) -> &'static str {
        self.code
    }

    pub fn message(&self) -> &str {
        &self.message
    }
}

impl IntoResponse for AuthError {
    fn into_response(self) -> Response {
        let mut body = json!({ "code": self.status.as_u16(), "error_code": self.code, "msg": self.message });
        if self.code == WEAK_PASSWORD {
            body["weak_password"] = json!({ "reasons": ["length"] });
        }
        (self.status, Json(body)).into_response()
    }
}

impl From<store::Error> for AuthError {
    fn from(error: store::Error) -> Self {
        if error.is_unavailable() {
            tracing::warn!(%error, "a request of the auth service failed: the database cannot be used");
            return Self::new(StatusCode::SERVICE_UNAVAILABLE, "unexpected_failure", NO_DATABASE);
        }
        Self::internal(error)
    }
}

impl From<PasswordError> for AuthError {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Busy => Self::new(StatusCode::TOO_MANY_REQUESTS, "over_request_rate_limit", error.to_string()),
            PasswordError::Hash(_) => Self::internal(error),
        }
    }
}
