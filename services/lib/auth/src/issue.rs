//! Making what proves who somebody is: access tokens, refresh tokens, codes (rest.md §3.4, §4.2).

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jsonwebtoken::{Algorithm, AlgorithmFamily, EncodingKey, Header};
use model::{Map, UserId};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::token::AUDIENCE;

/// Seconds for which an access token is good.
pub const ACCESS_TOKEN_SECONDS: i64 = 3600;
/// Random bytes of a refresh token or a code.
const SECRET_BYTES: usize = 32;

/// Signs access tokens with the key that [`crate::Verifier`] checks them with.
pub struct Issuer {
    key: EncodingKey,
    header: Header,
}

/// Who a token is for.
#[derive(Debug, Clone)]
pub struct Subject<'a> {
    pub user_id: UserId,
    pub email: &'a str,
    pub role: &'a str,
    pub user_metadata: &'a Map,
    pub session_id: Uuid,
}

/// Why no tokens can be signed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error(
    "JWT_SIGN_ALGORITHM {0:?} only checks tokens: the embedded auth service signs with HS256, HS384 or HS512; choose one, or set SUPABASE_URL to the service that signs"
)]
pub struct CannotSign(pub String);

/// An access token and when it expires, in Unix seconds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AccessToken {
    pub token: String,
    pub expires_at: i64,
}

impl Issuer {
    pub fn from_settings(settings: &runtime::Settings) -> Result<Self, CannotSign> {
        Self::new(&settings.auth.jwt_sign_algorithm, settings.auth.jwt_verify_key.expose())
    }

    pub fn new(algorithm: &str, secret: &str) -> Result<Self, CannotSign> {
        let cannot = || CannotSign(algorithm.to_owned());
        let parsed: Algorithm = algorithm.parse().map_err(|_| cannot())?;
        if parsed.family() != AlgorithmFamily::Hmac {
            return Err(cannot());
        }
        Ok(Self {
            key: EncodingKey::from_secret(secret.as_bytes()),
            header: Header::new(parsed),
        })
    }

    /// `now` in Unix seconds.
    pub fn issue(&self, subject: &Subject<'_>, now: i64) -> Result<AccessToken, jsonwebtoken::errors::Error> {
        let expires_at = now + ACCESS_TOKEN_SECONDS;
        let claims = json!({
            "sub": subject.user_id,
            "aud": AUDIENCE,
            "role": subject.role,
            "email": subject.email,
            "iat": now,
            "exp": expires_at,
            "session_id": subject.session_id,
            // One factor: there is no other here.
            "aal": "aal1",
            "app_metadata": app_metadata(),
            "user_metadata": subject.user_metadata,
        });
        let token = jsonwebtoken::encode(&self.header, &claims, &self.key)?;
        Ok(AccessToken { token, expires_at })
    }
}

/// How people of the embedded service log in.
pub fn app_metadata() -> Value {
    json!({ "provider": "email", "providers": ["email"] })
}

/// A fresh secret: url-safe text, and the hash under which it is kept.
pub fn fresh_secret() -> (String, Vec<u8>) {
    let secret = URL_SAFE_NO_PAD.encode(rand::random::<[u8; SECRET_BYTES]>());
    let hash = hash_of(&secret);
    (secret, hash)
}

/// What is kept of a refresh token or a code.
pub fn hash_of(secret: &str) -> Vec<u8> {
    Sha256::digest(secret.as_bytes()).to_vec()
}

/// Whether a PKCE verifier answers the challenge (RFC 7636 §4.6); the method is `plain` or `s256`, in any case.
pub fn answers_challenge(verifier: &str, challenge: &str, method: &str) -> bool {
    match method.to_ascii_lowercase().as_str() {
        "s256" => URL_SAFE_NO_PAD.encode(Sha256::digest(verifier.as_bytes())) == challenge.trim_end_matches('='),
        "plain" => hash_of(verifier) == hash_of(challenge),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]

    use super::*;
    use crate::Verifier;

    const SECRET: &str = "a secret of the tests, long enough for HS256";

    #[test]
    fn what_is_issued_passes_the_check_with_its_claims() {
        let (user_id, session_id) = (Uuid::now_v7(), Uuid::now_v7());
        let metadata = Map::from_iter([("name".to_owned(), json!("Ada"))]);
        let subject = Subject {
            user_id,
            email: "ada@example.test",
            role: "admin",
            user_metadata: &metadata,
            session_id,
        };
        let token = Issuer::new("HS256", SECRET).unwrap().issue(&subject, 1_800_000_000).unwrap();
        let verifier = Verifier::new("HS256", SECRET).unwrap();
        let claims = verifier.verify_at(&token.token, 1_800_000_000.5).unwrap();
        assert_eq!((claims.user_id, claims.session_id), (user_id, Some(session_id)));
        assert_eq!((claims.email.as_deref(), claims.name.as_deref()), (Some("ada@example.test"), Some("Ada")));
        assert!(claims.is_admin());
        assert_eq!(claims.expires_at, Some(token.expires_at));
        assert!(verifier.verify_at(&token.token, token.expires_at as f64).is_err());
    }

    #[test]
    fn public_keys_sign_nothing() {
        assert_eq!(Issuer::new("RS256", SECRET).err(), Some(CannotSign("RS256".to_owned())));
        assert!(Issuer::new("none", SECRET).is_err());
    }

    #[test]
    fn a_challenge_is_answered_by_its_verifier_only() {
        // RFC 7636, appendix B.
        let (verifier, challenge) = (
            "dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk",
            "E9Melhoa2OwvFrEMTJguCHaoeK1t8URWbuGJSstw-cM",
        );
        assert!(answers_challenge(verifier, challenge, "s256"));
        assert!(answers_challenge(verifier, challenge, "S256"));
        assert!(!answers_challenge("another", challenge, "s256"));
        assert!(!answers_challenge(challenge, challenge, "s256"));
        assert!(answers_challenge("same", "same", "plain"));
        assert!(!answers_challenge("same", "same", "none"));
    }

    #[test]
    fn secrets_differ_and_are_kept_as_hashes() {
        let ((one, hash), (other, _)) = (fresh_secret(), fresh_secret());
        assert_ne!(one, other);
        assert_eq!((one.len(), hash.len()), (43, 32));
        assert_eq!(hash_of(&one), hash);
    }
}
