//! Public keys of an auth service elsewhere, fetched from its key set (RFC 7517) and kept.
//!
//! A key's algorithm comes from the key, never from a token's header, and a shared secret in a key set is ignored. Keys are
//! fetched when the first token comes, again every ten minutes, and when a token names a key that is not known: that is how a
//! service changes its keys. While it does not answer, the keys that are known stay good.

use std::collections::HashMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock};
use std::time::{Duration, Instant};

use jsonwebtoken::jwk::Jwk;
use jsonwebtoken::{Algorithm, AlgorithmFamily, DecodingKey};
use serde_json::Value;
use tokio::sync::Mutex;

/// Keys older than this are fetched again.
const FRESH_FOR: Duration = Duration::from_secs(600);
/// Tokens with made-up key ids must not make us ask more often.
const BETWEEN_FETCHES: Duration = Duration::from_secs(10);
const FETCH_TIMEOUT: Duration = Duration::from_secs(5);
const MOST_BYTES: usize = 256 * 1024;
const MOST_KEYS: usize = 100;

/// A public key and the one algorithm that it is for.
#[derive(Clone)]
pub(crate) struct PublicKey {
    pub key: DecodingKey,
    pub algorithm: Algorithm,
}

type Keys = HashMap<String, PublicKey>;

pub(crate) struct KeySet {
    url: String,
    client: reqwest::Client,
    keys: RwLock<Arc<Keys>>,
    /// Counts the changes of `keys`, each after it was made.
    generation: AtomicU64,
    /// When it was last asked for.
    asked: Mutex<Option<Instant>>,
    /// When that last went well.
    fetched: RwLock<Option<Instant>>,
}

impl KeySet {
    pub fn new(url: &str) -> Result<Self, reqwest::Error> {
        Ok(Self {
            url: url.to_owned(),
            client: reqwest::Client::builder().timeout(FETCH_TIMEOUT).build()?,
            keys: RwLock::default(),
            generation: AtomicU64::new(0),
            asked: Mutex::new(None),
            fetched: RwLock::new(None),
        })
    }

    /// The key of this id; without an id the only one there is.
    pub fn find(&self, id: Option<&str>) -> Option<PublicKey> {
        let keys = self.keys.read().unwrap_or_else(PoisonError::into_inner);
        match id {
            Some(id) => keys.get(id).cloned(),
            None if keys.len() == 1 => keys.values().next().cloned(),
            None => None,
        }
    }

    /// Another number after the keys have changed.
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// Fetches when a token names an unknown key, or the keys are old, unless that was just done.
    pub async fn refresh_for(&self, id: Option<&str>) {
        let fresh = || {
            let fetched = *self.fetched.read().unwrap_or_else(PoisonError::into_inner);
            fetched.is_some_and(|at| at.elapsed() < FRESH_FOR)
        };
        if fresh() && self.find(id).is_some() {
            return;
        }
        let mut asked = self.asked.lock().await;
        // Somebody else may have fetched meanwhile.
        let recently = asked.is_some_and(|at| at.elapsed() < BETWEEN_FETCHES);
        if recently || (fresh() && self.find(id).is_some()) {
            return;
        }
        *asked = Some(Instant::now());
        match self.fetch().await {
            Ok(keys) => {
                tracing::info!(url = self.url, keys = keys.len(), "the keys of user tokens were fetched");
                *self.keys.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(keys);
                self.generation.fetch_add(1, Ordering::AcqRel);
                *self.fetched.write().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            }
            Err(error) => tracing::error!(
                url = self.url,
                error,
                "the keys of user tokens cannot be fetched: those that are known stay good"
            ),
        }
    }

    async fn fetch(&self) -> Result<Keys, String> {
        let response = self.client.get(&self.url).send().await.map_err(|error| error.to_string())?;
        let mut response = response.error_for_status().map_err(|error| error.to_string())?;
        let mut bytes = Vec::new();
        while let Some(chunk) = response.chunk().await.map_err(|error| error.to_string())? {
            bytes.extend(chunk);
            if bytes.len() > MOST_BYTES {
                return Err(format!("the key set is larger than {} KiB", MOST_BYTES / 1024));
            }
        }
        let document: Value = serde_json::from_slice(&bytes).map_err(|error| format!("the key set is no JSON: {error}"))?;
        let keys = public_keys(&document);
        if keys.is_empty() {
            return Err("the key set holds no public key that can be used".to_owned());
        }
        Ok(keys)
    }
}

/// The keys that may check signatures, by id; a key without an id has the empty one.
fn public_keys(document: &Value) -> Keys {
    let given = document["keys"].as_array().into_iter().flatten().take(MOST_KEYS);
    let keys = given.filter_map(|value| {
        let algorithm = algorithm_of(value)?;
        let jwk: Jwk = serde_json::from_value(value.clone()).ok()?;
        let key = DecodingKey::from_jwk(&jwk).ok()?;
        Some((value["kid"].as_str().unwrap_or_default().to_owned(), PublicKey { key, algorithm }))
    });
    keys.collect()
}

/// None for what is not for checking signatures, and for shared secrets.
fn algorithm_of(key: &Value) -> Option<Algorithm> {
    if key["use"].as_str().is_some_and(|purpose| purpose != "sig") {
        return None;
    }
    let (family, usual) = match (key["kty"].as_str()?, key["crv"].as_str()) {
        ("RSA", _) => (AlgorithmFamily::Rsa, Algorithm::RS256),
        ("EC", Some("P-256")) => (AlgorithmFamily::Ec, Algorithm::ES256),
        ("EC", Some("P-384")) => (AlgorithmFamily::Ec, Algorithm::ES384),
        ("OKP", Some("Ed25519")) => (AlgorithmFamily::Ed, Algorithm::EdDSA),
        _ => return None,
    };
    match key["alg"].as_str() {
        None => Some(usual),
        Some(named) => named.parse().ok().filter(|algorithm: &Algorithm| algorithm.family() == family),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn the_key_decides_its_algorithm() {
        let of = |key: Value| algorithm_of(&key);
        assert_eq!(of(json!({"kty": "RSA"})), Some(Algorithm::RS256));
        assert_eq!(of(json!({"kty": "RSA", "alg": "PS512", "use": "sig"})), Some(Algorithm::PS512));
        assert_eq!(of(json!({"kty": "EC", "crv": "P-256"})), Some(Algorithm::ES256));
        for unusable in [
            json!({"kty": "oct", "k": "c2VjcmV0", "alg": "HS256"}),
            json!({"kty": "RSA", "alg": "HS256"}),
            json!({"kty": "RSA", "alg": "none"}),
            json!({"kty": "RSA", "use": "enc"}),
            json!({"kty": "EC", "crv": "P-521"}),
            json!({}),
        ] {
            assert_eq!(of(unusable.clone()), None, "{unusable}");
        }
    }
}
