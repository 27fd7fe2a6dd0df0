//! Extractors: the caller of a request, and the caller who must be an admin.

use std::sync::Arc;

use axum::Json;
use axum::extract::{FromRef, FromRequestParts};
use axum::response::{IntoResponse, Response};
use http::request::Parts;
use http::{HeaderMap, HeaderValue, StatusCode, header};
use model::UserId;

use crate::token::{Claims, TokenError, Verifier};

/// Admins act as another user with it (rest.md §3.1).
pub const IMPERSONATION_HEADER: &str = "x-act-as-user-id";

/// The user on whose behalf a request is answered. Extracting it refuses a request without a valid token.
#[derive(Debug, Clone, PartialEq)]
pub struct AuthenticatedUser {
    /// Effective id: the impersonated user's when an admin acts as somebody else.
    pub id: UserId,
    /// Absent from the token, or unknown because the user is impersonated.
    pub email: Option<String>,
    pub name: Option<String>,
    pub role: Option<String>,
    /// When the caller's token expires, in Unix seconds.
    pub expires_at: Option<i64>,
    /// The admin behind an impersonated request.
    pub impersonated_by: Option<UserId>,
}

/// A caller whose own role is `admin`.
#[derive(Debug, Clone, PartialEq)]
pub struct AdminUser(pub AuthenticatedUser);

/// Why a request was refused; answers `{"detail": …}` with 401, 403 or 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Rejection {
    #[error(transparent)]
    Token(#[from] TokenError),
    #[error("Admin access required")]
    AdminRequired,
    #[error("X-Act-As-User-Id is not a user id: give the UUID of the user to act as")]
    ImpersonatedId,
}

impl IntoResponse for Rejection {
    fn into_response(self) -> Response {
        let body = Json(serde_json::json!({ "detail": self.to_string() }));
        match self {
            Self::Token(_) => (StatusCode::UNAUTHORIZED, [(header::WWW_AUTHENTICATE, "Bearer")], body).into_response(),
            Self::AdminRequired => (StatusCode::FORBIDDEN, body).into_response(),
            Self::ImpersonatedId => (StatusCode::BAD_REQUEST, body).into_response(),
        }
    }
}

impl<S> FromRequestParts<S> for AuthenticatedUser
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let verifier = Arc::<Verifier>::from_ref(state);
        let claims = verifier.verify_fetching(bearer(&parts.headers)?).await?;
        let Some(header) = parts.headers.get(IMPERSONATION_HEADER).filter(|value| !value.is_empty()) else {
            return Ok(own(claims));
        };
        if !claims.is_admin() {
            return Err(Rejection::AdminRequired);
        }
        let id = impersonated(header)?;
        tracing::info!(admin = %claims.user_id, user = %id, method = %parts.method, path = parts.uri.path(), "an admin acts as another user");
        Ok(Self {
            id,
            email: None,
            name: None,
            role: claims.role,
            expires_at: claims.expires_at,
            impersonated_by: Some(claims.user_id),
        })
    }
}

impl<S> FromRequestParts<S> for AdminUser
where
    S: Send + Sync,
    Arc<Verifier>: FromRef<S>,
{
    type Rejection = Rejection;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Rejection> {
        let user = AuthenticatedUser::from_request_parts(parts, state).await?;
        if user.role.as_deref() == Some("admin") {
            Ok(Self(user))
        } else {
            Err(Rejection::AdminRequired)
        }
    }
}

fn own(claims: Claims) -> AuthenticatedUser {
    AuthenticatedUser {
        id: claims.user_id,
        email: claims.email,
        name: claims.name,
        role: claims.role,
        expires_at: claims.expires_at,
        impersonated_by: None,
    }
}

/// The token of `Authorization: Bearer <token>`; the scheme's case does not matter.
pub fn bearer(headers: &HeaderMap) -> Result<&str, TokenError> {
    let mut values = headers.get_all(header::AUTHORIZATION).iter();
    let value = values.next().ok_or(TokenError::Missing)?;
    if values.next().is_some() {
        return Err(TokenError::Invalid("More than one Authorization header".to_owned()));
    }
    let text = value.to_str().map_err(|_| TokenError::Invalid("Malformed token".to_owned()))?;
    match text.split_once(' ') {
        Some((scheme, token)) if scheme.eq_ignore_ascii_case("bearer") && !token.trim().is_empty() => Ok(token.trim()),
        _ => Err(TokenError::Missing),
    }
}

fn impersonated(header: &HeaderValue) -> Result<UserId, Rejection> {
    let text = header.to_str().map_err(|_| Rejection::ImpersonatedId)?;
    UserId::try_parse(text.trim()).map_err(|_| Rejection::ImpersonatedId)
}
