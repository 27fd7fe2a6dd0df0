//! A forgotten password: a mail with a link, and the way back into the application.

use std::time::Duration;

use auth::issue;
use axum::Json;
use axum::extract::State;
use axum::response::{IntoResponse, Redirect, Response};
use http::StatusCode;
use model::notification::NotificationType;
use serde_json::{Value, json};
use store::{Challenge, CodePurpose};
use url::Url;

use super::Embedded;
use super::body::Fields;
use super::error::AuthError;
use crate::wire::Parameters;

/// How long a link in a mail works.
const LINK_LIFETIME: Duration = Duration::from_secs(3600);
/// How long the way back into the application may take.
const EXCHANGE_LIFETIME: Duration = Duration::from_secs(300);
/// Mails to one address within the window.
const MOST_MAILS: i32 = 1;
const MAIL_WINDOW: Duration = Duration::from_secs(60);

/// Sends a link when the address is known; the answer does not tell.
pub async fn recover(State(auth): State<Embedded>, parameters: Parameters, fields: Fields) -> Result<Json<Value>, AuthError> {
    let email = fields
        .email()?
        .ok_or_else(|| AuthError::bad_request("validation_failed", "Password recovery requires an email"))?;
    let challenge = fields.challenge()?;
    auth.limit(&format!("mail:{email}"), MOST_MAILS, MAIL_WINDOW, AuthError::too_many_mails)
        .await?;
    let Some(account) = auth.store.account_of_email(&email).await? else {
        return Ok(Json(json!({})));
    };
    let (code, hash) = issue::fresh_secret();
    auth.store
        .put_code(&hash, account.user_id, CodePurpose::Recovery, challenge.as_ref(), LINK_LIFETIME)
        .await?;
    let mut link = Url::parse(&format!("{}/verify", auth.public_url)).map_err(AuthError::internal)?;
    link.query_pairs_mut()
        .append_pair("token", &code)
        .append_pair("type", "recovery")
        .append_pair("redirect_to", &return_url(&auth.return_urls, parameters.text("redirect_to")));
    let data = json!({ "link": link.as_str(), "minutes": LINK_LIFETIME.as_secs() / 60 });
    auth.mails
        .send(NotificationType::PasswordRecovery, account.user_id, &account.email, data)
        .await?;
    Ok(Json(json!({})))
}

/// The link of a mail: leads back to the application with a code (PKCE), or with the session in the fragment.
pub async fn follow_link(State(auth): State<Embedded>, parameters: Parameters) -> Response {
    let back = return_url(&auth.return_urls, parameters.text("redirect_to"));
    let Ok(mut back) = Url::parse(&back) else {
        return AuthError::bad_request("validation_failed", "There is no page to go back to: set FRONTEND_BASE_URL").into_response();
    };
    match link_followed(&auth, &parameters).await {
        Ok(Arrival::Code(code)) => {
            back.query_pairs_mut().append_pair("code", &code);
        }
        Ok(Arrival::Session(fragment)) => back.set_fragment(Some(&fragment)),
        Err(error) => {
            let told = [
                ("error", "access_denied"),
                ("error_code", error.code()),
                ("error_description", error.message()),
            ];
            back.query_pairs_mut().extend_pairs(told);
            // Of a link that is gone nobody knows where its application looks.
            back.set_fragment(Some(&url::form_urlencoded::Serializer::new(String::new()).extend_pairs(told).finish()));
        }
    }
    Redirect::to(back.as_str()).into_response()
}

/// Programs that look whether a link in a mail leads anywhere must not use it up.
pub async fn look_at_link() -> StatusCode {
    StatusCode::METHOD_NOT_ALLOWED
}

enum Arrival {
    Code(String),
    Session(String),
}

async fn link_followed(auth: &Embedded, parameters: &Parameters) -> Result<Arrival, AuthError> {
    check_kind(parameters.text("type"))?;
    let code = parameters.text("token").or_else(|| parameters.text("token_hash")).unwrap_or_default();
    let taken = auth.store.take_code(&issue::hash_of(code), CodePurpose::Recovery, None).await?;
    let (account, challenge): (_, Option<Challenge>) = taken.ok_or_else(AuthError::code_expired)?;
    if let Some(challenge) = challenge {
        let (code, hash) = issue::fresh_secret();
        auth.store
            .put_code(&hash, account.user_id, CodePurpose::Exchange, Some(&challenge), EXCHANGE_LIFETIME)
            .await?;
        return Ok(Arrival::Code(code));
    }
    let Json(session) = auth.begin_session(&account).await?;
    let mut fragment = url::form_urlencoded::Serializer::new(String::new());
    for name in ["access_token", "refresh_token", "token_type"] {
        fragment.append_pair(name, session[name].as_str().unwrap_or_default());
    }
    for name in ["expires_in", "expires_at"] {
        fragment.append_pair(name, &session[name].to_string());
    }
    fragment.append_pair("type", "recovery");
    Ok(Arrival::Session(fragment.finish()))
}

/// Whether codes of this kind are sent here: those to recover an account, which GoTrue takes as a link to log in as well. Of what it sends
/// besides, nobody can have one.
fn check_kind(kind: Option<&str>) -> Result<(), AuthError> {
    match kind {
        Some("recovery" | "magiclink" | "email") => Ok(()),
        Some("signup" | "invite" | "email_change" | "sms" | "phone_change") => Err(AuthError::code_expired()),
        Some(_) => Err(AuthError::bad_request("validation_failed", "Invalid verification type")),
        None => Err(AuthError::bad_request("validation_failed", "Verify requires a verification type")),
    }
}

/// `{type, token_hash}`, or `{type, token, email}`, for a session.
pub async fn verify(State(auth): State<Embedded>, fields: Fields) -> Result<Json<Value>, AuthError> {
    let refusal = |message| Err(AuthError::bad_request("validation_failed", message));
    let email = fields.text("email")?.map(|email| email.trim().to_lowercase());
    let code = match (fields.text("token_hash")?, fields.text("token")?, &email) {
        (Some(hash), None, None) => hash,
        (None, Some(token), Some(_)) => token,
        (None, None, _) => return refusal("Verify requires a token or a token hash"),
        (None, Some(_), None) => return refusal("A token is verified together with the email that it was sent to"),
        (Some(_), _, _) => return refusal("Only the token_hash and type should be provided"),
    };
    check_kind(fields.text("type")?)?;
    let taken = auth
        .store
        .take_code(&issue::hash_of(code), CodePurpose::Recovery, email.as_deref())
        .await?;
    let (account, _) = taken.ok_or_else(AuthError::code_expired)?;
    auth.begin_session(&account).await
}

/// Where somebody asked to be sent, when it is a page of the frontend; else the frontend. Anything else would let a link of ours
/// lead to, and hand a session to, whoever wrote it.
fn return_url(allowed: &[String], asked: Option<&str>) -> String {
    let origin = |text: &str| Url::parse(text).ok().map(|url| url.origin()).filter(url::Origin::is_tuple);
    let fits = |asked: &&str| {
        let asked = origin(asked);
        asked.is_some() && allowed.iter().any(|allowed| origin(allowed) == asked)
    };
    let first = || allowed.first().cloned().unwrap_or_default();
    asked.filter(fits).map_or_else(first, str::to_owned)
}

#[cfg(test)]
mod tests {
    use super::return_url;

    #[test]
    fn people_are_sent_to_the_frontend_and_nowhere_else() {
        let allowed = ["https://app.example.test/base".to_owned(), "http://localhost:3000".to_owned()];
        for good in ["https://app.example.test/reset?x=1", "http://localhost:3000/api/auth/callback"] {
            assert_eq!(return_url(&allowed, Some(good)), good);
        }
        for bad in [
            "https://app.example.test.evil.test/",
            "https://app.example.test@evil.test/",
            "http://app.example.test/",
            "https://app.example.test:444/",
            "javascript:alert(1)",
            "data:text/html,x",
            "//evil.test",
            "/reset",
            "",
        ] {
            assert_eq!(return_url(&allowed, Some(bad)), "https://app.example.test/base", "{bad}");
        }
        assert_eq!(return_url(&[], None), "");
    }
}
