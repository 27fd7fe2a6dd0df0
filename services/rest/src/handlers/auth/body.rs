//! Request bodies of the auth service: JSON objects of which only the known fields are read.

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::StatusCode;
use model::Map;
use serde_json::Value;
use store::Challenge;

use super::error::AuthError;

/// Nothing that people log in with is larger.
pub const MAX_BODY_BYTES: usize = 64 * 1024;
const LONGEST_EMAIL: usize = 254;
const SHORTEST_PASSWORD: usize = 6;
const LONGEST_PASSWORD: usize = 128;

/// The fields of a body; an empty body has none.
#[derive(Debug, Clone, Default)]
pub struct Fields(Map);

impl<S: Send + Sync> FromRequest<S> for Fields {
    type Rejection = AuthError;

    async fn from_request(request: Request, state: &S) -> Result<Self, AuthError> {
        let bad_json = |reason: String| AuthError::bad_request("bad_json", reason);
        // The router bounds it while it is received: anybody may call.
        let bytes = Bytes::from_request(request, state).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => bad_json(format!("The body is larger than {} KiB", MAX_BODY_BYTES / 1024)),
            _ => bad_json(rejection.body_text()),
        })?;
        if bytes.iter().all(u8::is_ascii_whitespace) {
            return Ok(Self::default());
        }
        let mut value: Value = serde_json::from_slice(&bytes).map_err(|error| bad_json(format!("Could not parse request body as JSON: {error}")))?;
        store::make_storable(&mut value);
        match value {
            Value::Object(map) => Ok(Self(map)),
            Value::Null => Ok(Self::default()),
            _ => Err(bad_json("The body should be a JSON object".to_owned())),
        }
    }
}

impl Fields {
    /// None when it is absent, null or empty; another type is refused.
    pub fn text(&self, name: &str) -> Result<Option<&str>, AuthError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::String(text)) => Ok(Some(text.as_str()).filter(|text| !text.is_empty())),
            Some(_) => Err(AuthError::bad_request("validation_failed", format!("{name} should be a text"))),
        }
    }

    pub fn object(&self, name: &str) -> Result<Option<&Map>, AuthError> {
        match self.0.get(name) {
            None | Some(Value::Null) => Ok(None),
            Some(Value::Object(map)) => Ok(Some(map)),
            Some(_) => Err(AuthError::bad_request("validation_failed", format!("{name} should be an object"))),
        }
    }

    /// The address in its stored form. None when it is absent.
    pub fn email(&self) -> Result<Option<String>, AuthError> {
        let Some(given) = self.text("email")? else { return Ok(None) };
        let email = given.trim().to_lowercase();
        if is_email(&email) {
            Ok(Some(email))
        } else {
            Err(AuthError::bad_request(
                "validation_failed",
                "Unable to validate email address: invalid format",
            ))
        }
    }

    /// A password that may be set. None when it is absent.
    pub fn new_password(&self) -> Result<Option<&str>, AuthError> {
        let Some(password) = self.text("password")? else { return Ok(None) };
        let length = password.chars().count();
        if length < SHORTEST_PASSWORD {
            return Err(AuthError::weak_password(SHORTEST_PASSWORD));
        }
        if length > LONGEST_PASSWORD {
            return Err(AuthError::unprocessable(
                "validation_failed",
                format!("Password cannot be longer than {LONGEST_PASSWORD} characters"),
            ));
        }
        Ok(Some(password))
    }

    /// The PKCE challenge of the application that begins a flow.
    pub fn challenge(&self) -> Result<Option<Challenge>, AuthError> {
        let Some(text) = self.text("code_challenge")? else { return Ok(None) };
        let method = self.text("code_challenge_method")?.unwrap_or("plain").to_ascii_lowercase();
        if !matches!(method.as_str(), "plain" | "s256") || text.len() > 128 {
            return Err(AuthError::bad_request(
                "validation_failed",
                "code_challenge_method should be plain or s256, and code_challenge at most 128 characters long",
            ));
        }
        Ok(Some(Challenge {
            text: text.to_owned(),
            method,
        }))
    }
}

/// Whether mail can be sent there, as far as the form goes: what the format `email` of the document allows, and letters of any language.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.rsplit_once('@') else { return false };
    let letter = |char: char| char.is_alphanumeric() || matches!(char, '-' | '_');
    let atom = |part: &str| !part.is_empty() && part.chars().all(|char| letter(char) || "!#$%&'*+/=?^`{|}~".contains(char));
    let label = |part: &str| {
        (1..=63).contains(&part.len()) && !part.starts_with('-') && !part.ends_with('-') && part.chars().all(|char| letter(char) && char != '_')
    };
    text.len() <= LONGEST_EMAIL && local.len() <= 64 && local.split('.').all(atom) && domain.split('.').all(label)
}

#[cfg(test)]
mod tests {
    use super::is_email;

    #[test]
    fn addresses_are_known_by_their_form() {
        for good in ["ada@example.test", "a.b+c@x-y.example", "ada@localhost", "ü@example.test"] {
            assert!(is_email(good), "{good}");
        }
        for bad in [
            "",
            "ada",
            "@x",
            "ada@",
            "a b@x.y",
            "a@b@c",
            "a@x..y",
            "a@-x.y",
            "a@x_y.z",
            "´@s{",
            "a..b@x.y",
            ".a@x.y",
            "a[b]@x.y",
            "<a@x.y>",
            "a@x.y\r\nBcc: b@x.y",
            &"a".repeat(300),
        ] {
            assert!(!is_email(bad), "{bad:?}");
        }
    }
}
