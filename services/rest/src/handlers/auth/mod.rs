//! The embedded auth service under `/auth/v1`, as clients of GoTrue know it (rest.md §3.4, §4.2). It is not part of the
//! contract's OpenAPI document.

mod body;
mod error;
mod mail;
mod recovery;
mod sessions;
mod user;

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::issue::{self, ACCESS_TOKEN_SECONDS, Subject};
use auth::{Issuer, Passwords, Verifier};
use axum::extract::DefaultBodyLimit;
use axum::routing::{any, get, post};
use axum::{Json, Router};
use runtime::Settings;
use serde_json::{Value, json};
use store::{Account, Store};
use uuid::Uuid;

pub use self::body::is_email;
use self::error::AuthError;
pub use self::mail::Mails;

/// What the handlers share.
#[derive(Clone)]
pub struct Embedded(Arc<Parts>);

pub struct Parts {
    store: Store,
    verifier: Arc<Verifier>,
    issuer: Issuer,
    passwords: Passwords,
    mails: Mails,
    /// Where links in mails lead.
    public_url: String,
    /// Where people may be sent back to; the first one when nothing else is asked for.
    return_urls: Vec<String>,
}

impl std::ops::Deref for Embedded {
    type Target = Parts;
    fn deref(&self) -> &Parts {
        &self.0
    }
}

/// Why the embedded service cannot start.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Sign(#[from] issue::CannotSign),
    #[error(transparent)]
    Password(#[from] auth::password::PasswordError),
}

impl Embedded {
    pub fn new(settings: &Settings, store: Store, verifier: Arc<Verifier>, mails: Mails) -> Result<Self, Error> {
        let frontend = Some(settings.frontend_base_url.trim_end_matches('/')).filter(|url| !url.is_empty());
        let origins = settings.cors_allow_origins.iter().map(|origin| origin.trim_end_matches('/'));
        let origins = origins.filter(|origin| !origin.is_empty() && !origin.starts_with("regex:"));
        Ok(Self(Arc::new(Parts {
            store,
            verifier,
            issuer: Issuer::from_settings(settings)?,
            passwords: Passwords::new()?,
            mails,
            public_url: format!("{}/auth/v1", crate::public_url(settings)),
            return_urls: frontend.into_iter().chain(origins).map(str::to_owned).collect(),
        })))
    }
}

pub fn router(embedded: Embedded) -> Router {
    Router::new()
        .route("/auth/v1/health", get(health))
        .route("/auth/v1/settings", get(settings))
        .route("/auth/v1/signup", post(sessions::sign_up))
        .route("/auth/v1/token", post(sessions::token))
        .route("/auth/v1/logout", post(sessions::log_out))
        .route("/auth/v1/user", get(user::get).put(user::update))
        .route("/auth/v1/recover", post(recovery::recover))
        .route(
            "/auth/v1/verify",
            get(recovery::follow_link).head(recovery::look_at_link).post(recovery::verify),
        )
        .route("/auth/v1/authorize", get(authorize))
        .route("/auth/v1/.well-known/jwks.json", get(keys))
        .route("/auth/v1", any(not_offered))
        .route("/auth/v1/", any(not_offered))
        .route("/auth/v1/{*operation}", any(not_offered))
        .method_not_allowed_fallback(async || AuthError::wrong_method())
        .layer(DefaultBodyLimit::max(body::MAX_BODY_BYTES))
        .with_state(embedded)
}

async fn health() -> Json<Value> {
    Json(json!({ "name": "autogpt-auth", "version": env!("CARGO_PKG_VERSION"), "description": "Embedded auth service, compatible with GoTrue" }))
}

async fn settings() -> Json<Value> {
    Json(json!({
        "external": { "email": true, "phone": false, "anonymous_users": false },
        "disable_signup": false,
        "mailer_autoconfirm": true,
        "phone_autoconfirm": false,
        "sms_provider": "",
        "saml_enabled": false,
    }))
}

async fn not_offered() -> AuthError {
    AuthError::not_offered()
}

/// A login at another service: none is configured here.
async fn authorize() -> AuthError {
    AuthError::bad_request("validation_failed", "Unsupported provider: provider is not enabled")
}

/// Tokens are signed with a secret, which is not published; clients then ask `GET /user` instead.
async fn keys() -> Json<Value> {
    Json(json!({ "keys": [] }))
}

impl Parts {
    /// A new login.
    async fn begin_session(&self, account: &Account) -> Result<Json<Value>, AuthError> {
        let session_id = Uuid::now_v7();
        let (refresh_token, hash) = issue::fresh_secret();
        let account = self.store.begin_session(account.user_id, session_id, &hash).await?;
        self.session(&account, session_id, refresh_token)
    }

    /// The session object: without any one of the three tokens' fields it is none (rest.md §3.4).
    fn session(&self, account: &Account, session_id: Uuid, refresh_token: String) -> Result<Json<Value>, AuthError> {
        let subject = Subject {
            user_id: account.user_id,
            email: &account.email,
            role: &account.role,
            user_metadata: &account.user_metadata,
            session_id,
        };
        let access = self.issuer.issue(&subject, unix_seconds()).map_err(AuthError::internal)?;
        Ok(Json(json!({
            "access_token": access.token,
            "token_type": "bearer",
            "expires_in": ACCESS_TOKEN_SECONDS,
            "expires_at": access.expires_at,
            "refresh_token": refresh_token,
            "user": user::object(account),
        })))
    }

    /// Counts an attempt, and refuses it when there were too many within the window.
    async fn limit(&self, subject: &str, most: i32, window: Duration, refusal: fn() -> AuthError) -> Result<(), AuthError> {
        if self.store.count_attempt(subject, window).await? > most {
            return Err(refusal());
        }
        Ok(())
    }
}

fn unix_seconds() -> i64 {
    let elapsed = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    i64::try_from(elapsed.as_secs()).unwrap_or(i64::MAX)
}
