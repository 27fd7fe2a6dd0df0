//! Signing up, logging in, staying logged in, logging out.

use std::time::Duration;

use auth::issue;
use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use store::{Account, CodePurpose, Refreshed, SessionScope};
use uuid::Uuid;

use super::Embedded;
use super::body::Fields;
use super::error::AuthError;
use super::user::caller;
use crate::wire::Parameters;

type Reply = Result<Json<Value>, AuthError>;

/// Wrong passwords for one address within the window.
const MOST_PASSWORDS: i32 = 10;
const PASSWORD_WINDOW: Duration = Duration::from_secs(300);

/// A new account, confirmed at once, with its platform user and profile.
pub async fn sign_up(State(auth): State<Embedded>, fields: Fields) -> Reply {
    let email = fields
        .email()?
        .ok_or_else(|| AuthError::unprocessable("anonymous_provider_disabled", "Anonymous sign-ins are disabled"))?;
    let password = fields
        .new_password()?
        .ok_or_else(|| AuthError::unprocessable("validation_failed", "Signup requires a valid password"))?;
    let metadata = fields.object("data")?.cloned().unwrap_or_default();
    let taken = || AuthError::unprocessable("user_already_exists", "User already registered");
    // Hashing is dear: who is there already need not wait for it.
    if auth.store.account_of_email(&email).await?.is_some() {
        return Err(taken());
    }
    let hash = auth.passwords.hash(password).await?;
    let made = auth.store.create_account(Uuid::new_v4(), &email, &hash, &metadata).await?;
    let account = made.ok_or_else(taken)?;
    tracing::info!(user_id = %account.user_id, "a user signed up");
    auth.begin_session(&account).await
}

/// `grant_type` says what a session is given for.
pub async fn token(State(auth): State<Embedded>, parameters: Parameters, fields: Fields) -> Reply {
    match parameters.text("grant_type") {
        Some("password") => by_password(&auth, &fields).await,
        Some("refresh_token") => by_refresh_token(&auth, &fields).await,
        Some("pkce") => by_code(&auth, &fields).await,
        _ => Err(AuthError::bad_request(
            "unsupported_grant_type",
            "grant_type should be password, refresh_token or pkce",
        )),
    }
}

async fn by_password(auth: &Embedded, fields: &Fields) -> Reply {
    let missing = || AuthError::bad_request("validation_failed", "email and password are needed");
    // An address of no valid form is nobody's.
    let email = fields.text("email")?.ok_or_else(missing)?.trim().to_lowercase();
    let password = fields.text("password")?.ok_or_else(missing)?;
    let subject = format!("password:{}", email.chars().take(254).collect::<String>());
    auth.limit(&subject, MOST_PASSWORDS, PASSWORD_WINDOW, AuthError::too_many_attempts)
        .await?;
    let account: Option<Account> = auth.store.account_of_email(&email).await?;
    let phc = account.as_ref().and_then(|account| account.password_hash.as_deref());
    if !auth.passwords.verify(password, phc).await? {
        return Err(AuthError::invalid_credentials());
    }
    let account = account.ok_or_else(AuthError::invalid_credentials)?;
    auth.store.forget_attempts(&subject).await?;
    auth.begin_session(&account).await
}

async fn by_refresh_token(auth: &Embedded, fields: &Fields) -> Reply {
    let unknown = || AuthError::bad_request("refresh_token_not_found", "Invalid Refresh Token: Refresh Token Not Found");
    let given = fields.text("refresh_token")?.ok_or_else(unknown)?;
    let (next, next_hash) = issue::fresh_secret();
    match auth.store.refresh_session(&issue::hash_of(given), &next_hash).await? {
        Refreshed::Session { account, session_id } => auth.session(&account, session_id, next),
        Refreshed::Unknown => Err(unknown()),
        Refreshed::Reused => {
            tracing::warn!("a refresh token was used twice: its session has been ended");
            Err(AuthError::bad_request(
                "refresh_token_already_used",
                "Invalid Refresh Token: Already Used",
            ))
        }
    }
}

async fn by_code(auth: &Embedded, fields: &Fields) -> Reply {
    let refusal = || AuthError::bad_request("bad_code_verifier", "code challenge does not match previously saved code verifier");
    let missing = || {
        AuthError::bad_request(
            "validation_failed",
            "invalid request: both auth code and code verifier should be non-empty",
        )
    };
    let code = fields.text("auth_code")?.ok_or_else(missing)?;
    let verifier = fields.text("code_verifier")?.ok_or_else(missing)?;
    let taken = auth.store.take_code(&issue::hash_of(code), CodePurpose::Exchange, None).await?;
    let (account, challenge) = taken.ok_or_else(|| {
        AuthError::new(
            StatusCode::NOT_FOUND,
            "flow_state_not_found",
            "invalid flow state, no valid flow state found",
        )
    })?;
    let challenge = challenge.ok_or_else(refusal)?;
    if !issue::answers_challenge(verifier, &challenge.text, &challenge.method) {
        return Err(refusal());
    }
    auth.begin_session(&account).await
}

/// `scope`: `global` (the default) ends all sessions of the user, `local` this one, `others` the others.
pub async fn log_out(State(auth): State<Embedded>, parameters: Parameters, headers: HeaderMap) -> Result<StatusCode, AuthError> {
    let claims = caller(&auth, &headers)?;
    let scope = match (parameters.text("scope").unwrap_or("global"), claims.session_id) {
        ("global", _) => SessionScope::All,
        ("local", Some(session)) => SessionScope::Only(session),
        ("others", Some(session)) => SessionScope::AllBut(session),
        // A token of another issuer has no session here.
        ("local" | "others", None) => return Ok(StatusCode::NO_CONTENT),
        _ => return Err(AuthError::bad_request("validation_failed", "scope should be global, local or others")),
    };
    auth.store.end_sessions(claims.user_id, scope).await?;
    Ok(StatusCode::NO_CONTENT)
}
