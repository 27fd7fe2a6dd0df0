//! The checks of a user token (rest.md §3.1).
//!
//! The algorithm comes from the configuration, never from the token's header. The signature is checked by
//! `jsonwebtoken`; the claims are checked here, because the contract accepts a token without `exp`, allows no leeway,
//! rejects an `iat` in the future and has its own words for each refusal.

use std::time::{SystemTime, UNIX_EPOCH};

use jsonwebtoken::errors::ErrorKind;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey, Validation};
use model::{Map, UserId};
use serde_json::Value;
use uuid::Uuid;

use crate::jwks::KeySet;
use crate::known::Known;

pub(crate) const AUDIENCE: &str = "authenticated";
const ADMIN_ROLE: &str = "admin";
/// Shorter HMAC secrets are accepted with a warning, as the contract has it.
const ADVISED_SECRET_LENGTH: usize = 32;

/// Checks user tokens: each key with exactly one algorithm.
pub struct Verifier {
    keys: Keys,
    known: Known,
}

enum Keys {
    /// From the settings.
    One { key: DecodingKey, signature_only: Validation },
    /// From an auth service elsewhere.
    Fetched(KeySet),
}

/// What a checked token says about its user.
#[derive(Debug, Clone, PartialEq)]
pub struct Claims {
    /// `sub`.
    pub user_id: UserId,
    pub email: Option<String>,
    /// `user_metadata.name`.
    pub name: Option<String>,
    /// Absent for a plain user (rest.md §6).
    pub role: Option<String>,
    /// The login that the token came of; absent in tokens of other issuers.
    pub session_id: Option<Uuid>,
    /// `exp` in Unix seconds.
    pub expires_at: Option<i64>,
}

impl Claims {
    pub fn is_admin(&self) -> bool {
        self.role.as_deref() == Some(ADMIN_ROLE)
    }
}

/// Why a token is refused. The texts are the contract's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum TokenError {
    #[error("Authorization header is missing")]
    Missing,
    #[error("Token has expired")]
    Expired,
    #[error("Invalid token: {0}")]
    Invalid(String),
    #[error("User ID not found in token")]
    NoUser,
}

/// Why the configured key cannot be used. Ends the process at start.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum KeyError {
    #[error("JWT_VERIFY_KEY is empty: set it to the secret (HS256) or the public key in PEM form that user tokens are signed with")]
    Empty,
    #[error(
        "JWT_SIGN_ALGORITHM {0:?} is not supported: use one of HS256 HS384 HS512 RS256 RS384 RS512 PS256 PS384 PS512 ES256 ES384 EdDSA (\"none\" is never accepted)"
    )]
    Algorithm(String),
    #[error(
        "JWT_VERIFY_KEY is a PEM key but JWT_SIGN_ALGORITHM is {0}: a public key must not serve as an HMAC secret; set the algorithm it was made for"
    )]
    PemAsSecret(String),
    #[error("the keys of the auth service cannot be fetched: {0}")]
    KeySet(String),
    #[error("JWT_VERIFY_KEY is no {algorithm} public key in PEM form: {reason}")]
    Malformed { algorithm: String, reason: String },
}

impl Verifier {
    /// `key` is the shared secret of an HMAC algorithm, else a public key in PEM form (`\n` may be spelled out, as
    /// environment files need it).
    pub fn new(algorithm: &str, key: &str) -> Result<Self, KeyError> {
        let parsed: Algorithm = algorithm.parse().map_err(|_| KeyError::Algorithm(algorithm.to_owned()))?;
        if key.trim().is_empty() {
            return Err(KeyError::Empty);
        }
        Ok(Self::of(Keys::One {
            key: decoding_key(parsed, key).map_err(|reason| match reason {
                KeyProblem::PemAsSecret => KeyError::PemAsSecret(algorithm.to_owned()),
                KeyProblem::Malformed(reason) => KeyError::Malformed {
                    algorithm: algorithm.to_owned(),
                    reason,
                },
            })?,
            signature_only: signature_only(parsed),
        }))
    }

    /// With the public keys that an auth service publishes at this address.
    pub fn with_key_set(url: &str) -> Result<Self, KeyError> {
        let keys = KeySet::new(url).map_err(|error| KeyError::KeySet(error.to_string()))?;
        Ok(Self::of(Keys::Fetched(keys)))
    }

    /// The verifier that the settings ask for.
    pub fn from_settings(settings: &runtime::Settings) -> Result<Self, KeyError> {
        if let Some(url) = settings.auth.key_set_url() {
            return Self::with_key_set(&url);
        }
        Self::new(&settings.auth.jwt_sign_algorithm, settings.auth.jwt_verify_key.expose())
    }

    fn of(keys: Keys) -> Self {
        Self { keys, known: Known::new() }
    }

    /// Checks `token` against the present time.
    pub fn verify(&self, token: &str) -> Result<Claims, TokenError> {
        self.verify_at(token, now())
    }

    /// The same, after asking the auth service for its keys when they are needed. A token that was good a moment ago is looked up.
    pub async fn verify_fetching(&self, token: &str) -> Result<Claims, TokenError> {
        let generation = self.keys.generation();
        if let Some(claims) = self.known.find(token, generation, now()).await {
            return Ok(claims);
        }
        if let Keys::Fetched(keys) = &self.keys {
            let header = jsonwebtoken::decode_header(token).map_err(|error| refusal(error.kind()))?;
            keys.refresh_for(header.kid.as_deref()).await;
        }
        // Of the keys that it is checked with, or of older ones: then it will be checked again.
        let generation = self.keys.generation();
        let claims = self.verify(token)?;
        self.known.keep(token, generation, claims.clone()).await;
        Ok(claims)
    }

    /// Checks `token` as of `now`, in Unix seconds.
    pub fn verify_at(&self, token: &str, now: f64) -> Result<Claims, TokenError> {
        let decoded = match &self.keys {
            Keys::One { key, signature_only } => jsonwebtoken::decode::<Map>(token, key, signature_only),
            Keys::Fetched(keys) => {
                let header = jsonwebtoken::decode_header(token).map_err(|error| refusal(error.kind()))?;
                let found = keys.find(header.kid.as_deref()).ok_or_else(|| invalid("Signed with an unknown key"))?;
                jsonwebtoken::decode::<Map>(token, &found.key, &signature_only(found.algorithm))
            }
        };
        let decoded = decoded.map_err(|error| refusal(error.kind()))?;
        // A critical extension is one that a reader must understand (RFC 7515 §4.1.11); we understand none.
        if decoded.header.crit.is_some() {
            return Err(invalid("Unsupported critical header"));
        }
        check_times(&decoded.claims, now)?;
        check_audience(&decoded.claims)?;
        claims(&decoded.claims)
    }
}

impl Keys {
    /// Another number after the keys have changed.
    fn generation(&self) -> u64 {
        match self {
            Self::One { .. } => 0,
            Self::Fetched(keys) => keys.generation(),
        }
    }
}

/// Unix seconds.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |elapsed| elapsed.as_secs_f64())
}

enum KeyProblem {
    PemAsSecret,
    Malformed(String),
}

fn decoding_key(algorithm: Algorithm, key: &str) -> Result<DecodingKey, KeyProblem> {
    let looks_like_pem = key.trim_start().starts_with("-----BEGIN");
    let pem = key.replace("\\n", "\n");
    let parsed = match algorithm.family() {
        AlgorithmFamily::Hmac if looks_like_pem => return Err(KeyProblem::PemAsSecret),
        AlgorithmFamily::Hmac => {
            if key.len() < ADVISED_SECRET_LENGTH {
                tracing::warn!(
                    length = key.len(),
                    "JWT_VERIFY_KEY is shorter than 32 characters: a token could be forged by guessing it"
                );
            }
            Ok(DecodingKey::from_secret(key.as_bytes()))
        }
        AlgorithmFamily::Rsa => DecodingKey::from_rsa_pem(pem.as_bytes()),
        AlgorithmFamily::Ec => DecodingKey::from_ec_pem(pem.as_bytes()),
        AlgorithmFamily::Ed => DecodingKey::from_ed_pem(pem.as_bytes()),
    };
    parsed.map_err(|error| KeyProblem::Malformed(error.to_string()))
}

fn signature_only(algorithm: Algorithm) -> Validation {
    let mut validation = Validation::new(algorithm);
    validation.required_spec_claims.clear();
    validation.validate_exp = false;
    validation.validate_nbf = false;
    validation.validate_aud = false;
    validation
}

fn invalid(reason: &str) -> TokenError {
    TokenError::Invalid(reason.to_owned())
}

fn refusal(kind: &ErrorKind) -> TokenError {
    invalid(match kind {
        ErrorKind::InvalidSignature => "Signature verification failed",
        ErrorKind::InvalidAlgorithm | ErrorKind::InvalidAlgorithmName | ErrorKind::UnsupportedAlgorithm => "The specified alg value is not allowed",
        ErrorKind::InvalidToken => "Not enough segments",
        _ => "Malformed token",
    })
}

fn check_times(claims: &Map, now: f64) -> Result<(), TokenError> {
    if seconds(claims, "iat")?.is_some_and(|iat| iat > now) {
        return Err(invalid("The token is not yet valid (iat)"));
    }
    if seconds(claims, "nbf")?.is_some_and(|nbf| nbf > now) {
        return Err(invalid("The token is not yet valid (nbf)"));
    }
    if seconds(claims, "exp")?.is_some_and(|exp| exp <= now) {
        return Err(TokenError::Expired);
    }
    Ok(())
}

/// A time claim in whole seconds; absent is fine, anything but a number is not.
fn seconds(claims: &Map, name: &str) -> Result<Option<f64>, TokenError> {
    match claims.get(name) {
        None => Ok(None),
        Some(value) => match value.as_f64() {
            Some(number) => Ok(Some(number.trunc())),
            None => Err(TokenError::Invalid(format!("The {name} claim must be a number"))),
        },
    }
}

fn check_audience(claims: &Map) -> Result<(), TokenError> {
    let fits = match claims.get("aud") {
        None | Some(Value::Null) => return Err(invalid("Token is missing the \"aud\" claim")),
        Some(Value::String(audience)) => audience == AUDIENCE,
        Some(Value::Array(audiences)) => audiences.iter().all(Value::is_string) && audiences.iter().any(|audience| audience == AUDIENCE),
        Some(_) => false,
    };
    if fits { Ok(()) } else { Err(invalid("Audience doesn't match")) }
}

fn claims(claims: &Map) -> Result<Claims, TokenError> {
    let text = |value: Option<&Value>| value.and_then(Value::as_str).filter(|text| !text.is_empty()).map(str::to_owned);
    let subject = match claims.get("sub") {
        None | Some(Value::Null) => return Err(TokenError::NoUser),
        Some(Value::String(subject)) if subject.is_empty() => return Err(TokenError::NoUser),
        Some(Value::String(subject)) => subject,
        Some(_) => return Err(invalid("Subject must be a string")),
    };
    Ok(Claims {
        user_id: user_id(subject)?,
        email: text(claims.get("email")),
        name: text(claims.get("user_metadata").and_then(|metadata| metadata.get("name"))),
        role: text(claims.get("role")),
        session_id: claims.get("session_id").and_then(Value::as_str).and_then(|id| id.parse().ok()),
        expires_at: claims.get("exp").and_then(Value::as_f64).map(|exp| exp as i64),
    })
}

/// User ids are UUIDs in their hyphenated form: another spelling would be the same user under a second name.
fn user_id(subject: &str) -> Result<UserId, TokenError> {
    let hyphenated = subject.len() == uuid::fmt::Hyphenated::LENGTH;
    match UserId::try_parse(subject) {
        Ok(id) if hyphenated => Ok(id),
        _ => Err(invalid("Subject is not a user id")),
    }
}
