use std::sync::LazyLock;

use auth::Verifier;
use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use http::{HeaderMap, HeaderValue, header};
use serde_json::Value;
use sha2::Sha256;

const SECRET: &str = "a secret of the fuzz targets, long enough for HS256";
const CLAIMS: &str = r#"{"sub":"3e53486c-cf57-477e-ba2a-cb02dc828e1a","aud":"authenticated","role":"authenticated"}"#;

static VERIFIER: LazyLock<Option<Verifier>> = LazyLock::new(|| Verifier::new("HS256", SECRET).ok());

/// The header of a token whose claims and signature are right, and the same bytes as a whole `Authorization` header.
///
/// Only one that says HS256 and asks for nothing else may pass; a token that its sender cannot sign never does.
pub fn jwt_header(bytes: &[u8]) {
    let Some(verifier) = VERIFIER.as_ref() else {
        panic!("the verifier cannot be made");
    };
    let message = format!("{}.{}", BASE64_URL_SAFE_NO_PAD.encode(bytes), BASE64_URL_SAFE_NO_PAD.encode(CLAIMS));
    let Ok(mut mac) = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()) else {
        panic!("HMAC takes any key");
    };
    mac.update(message.as_bytes());
    let token = format!("{message}.{}", BASE64_URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
    if verifier.verify_at(&token, 1.0).is_ok() {
        let said: Option<Value> = serde_json::from_slice(bytes).ok();
        let fits = said.is_some_and(|said| said["alg"] == "HS256" && said["crit"].is_null());
        assert!(fits, "accepted with the header {}", String::from_utf8_lossy(bytes));
    }
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let headers = HeaderMap::from_iter([(header::AUTHORIZATION, value)]);
    if let Ok(token) = auth::bearer(&headers) {
        assert!(verifier.verify_at(token, 1.0).is_err(), "accepted without the key: {token}");
    }
}
