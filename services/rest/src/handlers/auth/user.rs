//! Who is logged in, and changing it.

use auth::Claims;
use auth::issue::app_metadata;
use axum::Json;
use axum::extract::State;
use http::{HeaderMap, StatusCode};
use serde_json::{Value, json};
use store::{Account, AccountChange};

use super::Embedded;
use super::body::Fields;
use super::error::AuthError;

/// The user object (rest.md §3.4).
pub fn object(account: &Account) -> Value {
    let mut metadata = account.user_metadata.clone();
    metadata.insert("sub".to_owned(), json!(account.user_id));
    metadata.insert("email".to_owned(), json!(account.email));
    metadata.insert("email_verified".to_owned(), json!(account.email_confirmed_at.is_some()));
    json!({
        "id": account.user_id,
        "aud": "authenticated",
        "role": account.role,
        "email": account.email,
        "phone": "",
        "email_confirmed_at": account.email_confirmed_at,
        "confirmed_at": account.email_confirmed_at,
        "last_sign_in_at": account.last_sign_in_at,
        "app_metadata": app_metadata(),
        "user_metadata": metadata,
        "identities": [{
            "identity_id": account.user_id,
            "id": account.user_id,
            "user_id": account.user_id,
            "identity_data": { "sub": account.user_id, "email": account.email, "email_verified": account.email_confirmed_at.is_some() },
            "provider": "email",
            "email": account.email,
            "last_sign_in_at": account.last_sign_in_at,
            "created_at": account.created_at,
            "updated_at": account.updated_at,
        }],
        "created_at": account.created_at,
        "updated_at": account.updated_at,
        "is_anonymous": false,
    })
}

/// What the caller's token says; whether its session still exists is not asked.
pub fn caller(auth: &Embedded, headers: &HeaderMap) -> Result<Claims, AuthError> {
    let token =
        auth::bearer(headers).map_err(|_| AuthError::new(StatusCode::UNAUTHORIZED, "no_authorization", "This endpoint requires a Bearer token"))?;
    auth.verifier
        .verify(token)
        .map_err(|error| AuthError::new(StatusCode::FORBIDDEN, "bad_jwt", format!("invalid JWT: {error}")))
}

/// One indexed read: asked at every page and every proxied request.
pub async fn get(State(auth): State<Embedded>, headers: HeaderMap) -> Result<Json<Value>, AuthError> {
    let claims = caller(&auth, &headers)?;
    Ok(Json(object(&logged_in(&auth, &claims).await?)))
}

async fn logged_in(auth: &Embedded, claims: &Claims) -> Result<Account, AuthError> {
    match auth.store.account_of_token(claims.user_id, claims.session_id).await? {
        Some((account, true)) => Ok(account),
        Some((_, false)) => Err(AuthError::new(
            StatusCode::FORBIDDEN,
            "session_not_found",
            "Session from session_id claim in JWT does not exist",
        )),
        None => Err(AuthError::new(
            StatusCode::FORBIDDEN,
            "user_not_found",
            "User from sub claim in JWT does not exist",
        )),
    }
}

/// Another password, address, or metadata: all that is asked for, or nothing. A new password ends the other sessions; a new address is told
/// to the old one.
pub async fn update(State(auth): State<Embedded>, headers: HeaderMap, fields: Fields) -> Result<Json<Value>, AuthError> {
    let claims = caller(&auth, &headers)?;
    let account = logged_in(&auth, &claims).await?;
    let (email, password, metadata) = (fields.email()?, fields.new_password()?, fields.object("data")?);
    if account.password_hash.is_none() {
        return Err(AuthError::unprocessable(
            "user_not_found",
            "This user has no account here: the token is of another issuer",
        ));
    }
    let mut password_hash = None;
    if let Some(password) = password {
        if auth.passwords.verify(password, account.password_hash.as_deref()).await? {
            return Err(AuthError::unprocessable(
                "same_password",
                "New password should be different from the old password.",
            ));
        }
        password_hash = Some(auth.passwords.hash(password).await?);
    }
    let email = email.filter(|email| *email != account.email);
    let change = AccountChange {
        email: email.as_deref(),
        password_hash: password_hash.as_deref(),
        kept_session: claims.session_id,
        user_metadata: metadata,
    };
    if !auth.store.change_account(account.user_id, &change).await? {
        return Err(AuthError::unprocessable(
            "email_exists",
            "A user with this email address has already been registered",
        ));
    }
    if password_hash.is_some() {
        tracing::info!(user_id = %account.user_id, "a password was changed");
    }
    if let Some(email) = &email {
        auth.mails.address_changed(&account, email);
    }
    Ok(Json(object(&logged_in(&auth, &claims).await?)))
}
