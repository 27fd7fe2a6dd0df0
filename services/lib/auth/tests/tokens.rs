//! Tokens that must be refused, tokens that must pass, and the extractors in front of a handler.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;

use auth::{AdminUser, AuthenticatedUser, KeyError, TokenError, Verifier};
use axum::Router;
use axum::body::Body;
use axum::extract::FromRef;
use axum::routing::get;
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE, URL_SAFE_NO_PAD};
use hmac::{Hmac, Mac};
use http::{Request, StatusCode};
use serde_json::{Value, json};
use sha2::{Sha256, Sha384, Sha512};
use tower::ServiceExt;

const SECRET: &str = "a secret of the tests, long enough for HS256";
const USER: &str = "7d3a9c1e-5f50-4d0c-9a51-1f3f0a6a2b11";
const NOW: f64 = 1_800_000_000.0;

fn claims() -> Value {
    json!({"sub": USER, "email": "ada@example.test", "role": "authenticated", "aud": "authenticated", "iat": 1_799_999_000, "exp": 1_800_003_600})
}

/// The valid claims with `changes` laid over them; a null removes the claim.
fn with(changes: Value) -> Value {
    let mut claims = claims();
    for (name, value) in changes.as_object().unwrap() {
        if value.is_null() {
            claims.as_object_mut().unwrap().remove(name);
        } else {
            claims[name] = value.clone();
        }
    }
    claims
}

fn hs256(message: &str, secret: &str) -> Vec<u8> {
    let mut mac = Hmac::<Sha256>::new_from_slice(secret.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    mac.finalize().into_bytes().to_vec()
}

fn signed_text(header: &str, payload: &str) -> String {
    let message = format!("{}.{}", URL_SAFE_NO_PAD.encode(header), URL_SAFE_NO_PAD.encode(payload));
    let signature = URL_SAFE_NO_PAD.encode(hs256(&message, SECRET));
    format!("{message}.{signature}")
}

fn signed(header: Value, payload: Value) -> String {
    signed_text(&header.to_string(), &payload.to_string())
}

fn token(payload: Value) -> String {
    signed(json!({"alg": "HS256", "typ": "JWT"}), payload)
}

fn verifier() -> Verifier {
    Verifier::new("HS256", SECRET).unwrap()
}

/// Name and token of everything that must be answered with 401.
fn forgeries() -> Vec<(&'static str, String)> {
    let good = token(claims());
    let (message, signature) = good.rsplit_once('.').unwrap();
    let (header, payload) = message.split_once('.').unwrap();
    let other_payload = URL_SAFE_NO_PAD.encode(with(json!({"role": "admin"})).to_string());
    let none_header = |alg: &str| URL_SAFE_NO_PAD.encode(json!({"alg": alg, "typ": "JWT"}).to_string());
    let sha384 = {
        let message = format!("{}.{payload}", none_header("HS384"));
        let mut mac = Hmac::<Sha384>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let sha512 = {
        let message = format!("{}.{payload}", none_header("HS512"));
        let mut mac = Hmac::<Sha512>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
    };
    let flipped = {
        let mut bytes = URL_SAFE_NO_PAD.decode(signature).unwrap();
        bytes[0] ^= 1;
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(bytes))
    };
    vec![
        ("text that is no token", "not-a-token".to_owned()),
        ("one dot", "a.b".to_owned()),
        ("only dots", "..".to_owned()),
        ("four segments", format!("{good}.x")),
        ("five segments, as an encrypted token has", format!("{good}.x.y")),
        ("signature missing", format!("{message}.")),
        ("signature cut short", good[..good.len() - 4].to_owned()),
        ("signature with one bit flipped", flipped),
        ("signature of another token", format!("{header}.{other_payload}.{signature}")),
        ("signature by another secret", {
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(hs256(message, "another secret, also long enough")))
        }),
        (
            "signature by the empty secret",
            format!("{message}.{}", URL_SAFE_NO_PAD.encode(hs256(message, ""))),
        ),
        (
            "signature in standard base64 with padding",
            format!("{message}.{}", STANDARD.encode(hs256(message, SECRET))),
        ),
        ("padding kept", format!("{message}.{}", URL_SAFE.encode(hs256(message, SECRET)))),
        ("algorithm none, unsigned", format!("{}.{payload}.", none_header("none"))),
        ("algorithm None, unsigned", format!("{}.{payload}.", none_header("None"))),
        (
            "algorithm NONE with the old signature",
            format!("{}.{payload}.{signature}", none_header("NONE")),
        ),
        ("algorithm none with a valid HS256 signature", signed(json!({"alg": "none"}), claims())),
        ("algorithm HS384 by the same secret", sha384),
        ("algorithm HS512 by the same secret", sha512),
        ("algorithm RS256 in the header only", signed(json!({"alg": "RS256"}), claims())),
        ("algorithm ES256 in the header only", signed(json!({"alg": "ES256"}), claims())),
        ("algorithm in lower case", signed(json!({"alg": "hs256"}), claims())),
        ("algorithm absent", signed(json!({"typ": "JWT"}), claims())),
        ("algorithm null", signed(json!({"alg": null}), claims())),
        ("algorithm a list", signed(json!({"alg": ["HS256"]}), claims())),
        (
            "critical extension",
            signed(json!({"alg": "HS256", "crit": ["b64"], "b64": false}), claims()),
        ),
        ("header no object", signed_text("[]", &claims().to_string())),
        ("header no JSON", signed_text("alg=HS256", &claims().to_string())),
        ("payload a list", signed_text(r#"{"alg":"HS256"}"#, "[]")),
        ("payload no JSON", signed_text(r#"{"alg":"HS256"}"#, "sub=1")),
        ("payload empty", signed_text(r#"{"alg":"HS256"}"#, "")),
        (
            "payload with NaN",
            signed_text(r#"{"alg":"HS256"}"#, r#"{"aud":"authenticated","sub":"x","exp":NaN}"#),
        ),
        ("expired", token(with(json!({"exp": 1_799_999_999})))),
        ("expires this second", token(with(json!({"exp": 1_800_000_000})))),
        ("expired since ever", token(with(json!({"exp": 0})))),
        ("expiry negative", token(with(json!({"exp": -1})))),
        ("expiry text", token(with(json!({"exp": "1900000000"})))),
        ("expiry true", token(with(json!({"exp": true})))),
        ("expiry a list", token(with(json!({"exp": [1_900_000_000]})))),
        ("issued in the future", token(with(json!({"iat": 1_800_000_001})))),
        ("issued at text", token(with(json!({"iat": "yesterday"})))),
        ("not yet valid", token(with(json!({"nbf": 1_800_000_060})))),
        ("not-before an object", token(with(json!({"nbf": {}})))),
        ("no audience", token(with(json!({"aud": null})))),
        ("another audience", token(with(json!({"aud": "anon"})))),
        ("audience in upper case", token(with(json!({"aud": "AUTHENTICATED"})))),
        ("audience a prefix", token(with(json!({"aud": "authenticated2"})))),
        ("audience empty", token(with(json!({"aud": ""})))),
        ("audience an empty list", token(with(json!({"aud": []})))),
        ("audience a list of others", token(with(json!({"aud": ["anon", "service"]})))),
        ("audience a number", token(with(json!({"aud": 1})))),
        ("audience an object", token(with(json!({"aud": {"authenticated": true}})))),
        ("no subject", token(with(json!({"sub": null})))),
        ("subject empty", token(with(json!({"sub": ""})))),
        ("subject a number", token(with(json!({"sub": 1})))),
        ("subject a list", token(with(json!({"sub": [USER]})))),
        ("subject no UUID", token(with(json!({"sub": "admin"})))),
        ("subject with a wildcard", token(with(json!({"sub": "*"})))),
        ("subject without hyphens", token(with(json!({"sub": USER.replace('-', "")})))),
        ("subject in braces", token(with(json!({"sub": format!("{{{USER}}}")})))),
        ("subject with a line break", token(with(json!({"sub": format!("{USER}\n")})))),
    ]
}

#[test]
fn every_forged_or_odd_token_is_refused() {
    let forgeries = forgeries();
    assert!(forgeries.len() >= 40, "{} forgeries", forgeries.len());
    let verifier = verifier();
    let accepted: Vec<_> = forgeries
        .iter()
        .filter(|(_, token)| verifier.verify_at(token, NOW).is_ok())
        .map(|(name, _)| *name)
        .collect();
    assert!(accepted.is_empty(), "accepted: {accepted:?}");
}

#[test]
fn a_token_of_the_contract_passes_with_its_claims() {
    let payload = with(json!({"role": "admin", "user_metadata": {"name": "Ada"}}));
    let claims = verifier().verify_at(&token(payload), NOW).unwrap();
    assert_eq!(claims.user_id.to_string(), USER);
    assert_eq!((claims.email.as_deref(), claims.name.as_deref()), (Some("ada@example.test"), Some("Ada")));
    assert!(claims.is_admin());
    assert_eq!(claims.expires_at, Some(1_800_003_600));
}

#[test]
fn what_the_contract_leaves_optional_may_be_absent() {
    let accepted = [
        ("no exp", with(json!({"exp": null}))),
        ("no iat", with(json!({"iat": null}))),
        ("no role", with(json!({"role": null}))),
        ("no e-mail", with(json!({"email": null}))),
        ("issued this second", with(json!({"iat": 1_800_000_000}))),
        ("valid from this second", with(json!({"nbf": 1_800_000_000}))),
        ("a fraction in exp", with(json!({"exp": 1_800_000_001.9}))),
        ("one of several audiences", with(json!({"aud": ["other", "authenticated"]}))),
        ("an issuer, which is not checked", with(json!({"iss": "https://elsewhere.example"}))),
    ];
    for (name, payload) in accepted {
        let claims = verifier()
            .verify_at(&token(payload), NOW)
            .unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!claims.is_admin(), "{name}");
    }
}

#[test]
fn a_role_is_admin_only_when_spelled_exactly() {
    for role in [
        json!("Admin"),
        json!("ADMIN"),
        json!("admin "),
        json!(["admin"]),
        json!(true),
        json!({"admin": true}),
    ] {
        let claims = verifier().verify_at(&token(with(json!({ "role": role }))), NOW).unwrap();
        assert!(!claims.is_admin(), "{role}");
    }
}

#[test]
fn refusals_use_the_contracts_words() {
    let text = |payload| verifier().verify_at(&token(payload), NOW).unwrap_err().to_string();
    assert_eq!(text(with(json!({"exp": 1}))), "Token has expired");
    assert_eq!(text(with(json!({"sub": null}))), "User ID not found in token");
    assert_eq!(text(with(json!({"aud": "x"}))), "Invalid token: Audience doesn't match");
    assert_eq!(
        verifier().verify_at("a.b", NOW).unwrap_err(),
        TokenError::Invalid("Not enough segments".to_owned())
    );
}

#[test]
fn a_key_that_cannot_work_is_refused_at_start() {
    let problem = |algorithm, key| Verifier::new(algorithm, key).err();
    assert_eq!(problem("HS256", " "), Some(KeyError::Empty));
    assert_eq!(problem("none", SECRET), Some(KeyError::Algorithm("none".to_owned())));
    assert_eq!(problem("HS256", ES256_PUBLIC), Some(KeyError::PemAsSecret("HS256".to_owned())));
    assert!(matches!(problem("ES256", SECRET), Some(KeyError::Malformed { .. })));
    assert!(matches!(problem("RS256", ES256_PUBLIC), Some(KeyError::Malformed { .. })));
    assert!(problem("HS256", "short").is_none(), "a short secret only warns");
}

// Keys made for these tests only.
const ES256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MFkwEwYHKoZIzj0CAQYIKoZIzj0DAQcDQgAEs/TrjKCfQqNuw/sxxW8sT2V5WN2o
Itn9pydFwS2jOpZtSN1HBnFD4V85NRLTA1FL58Hzh72+ZegGxvb0O8SLWg==
-----END PUBLIC KEY-----
";
const ES256_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQg5cqNGCMG4N70gX1V
RO+aOUylK83YcI2bEZuKLyX8g/ShRANCAASz9OuMoJ9Co27D+zHFbyxPZXlY3agi
2f2nJ0XBLaM6lm1I3UcGcUPhXzk1EtMDUUvnwfOHvb5l6AbG9vQ7xIta
-----END PRIVATE KEY-----
";
const RS256_PUBLIC: &str = "-----BEGIN PUBLIC KEY-----
MIIBIjANBgkqhkiG9w0BAQEFAAOCAQ8AMIIBCgKCAQEA060IW2ytURwWNwnXNRsp
X1gTDj2nYtqne6RRG+KysAbzdCsHL/Ir5qJMwnXkfEm1AmE1Ii24igGCeoL59vMT
bITm4K5rCTED2yKvb8KTYfJEmyCTDW8fXSNprp4ty55X7kZDQtF7HcejNUVd4Ifn
0mGlI7FJD4++iJ88PFOYP0cpMADASWZdjxViWicjqfL9OyQq135VTER7r/E1a53y
IWSwMDUagw3wEWilS3v5Xq5esb/6C2FgRDTaQBdtlKJPvUFFOHuIyud0+HC4toA+
rP4utJIVwQi+jlD7Gjy72u+aVp+QV80XpI4Ao4TPwPFgVsXNM/uODwWviOl2/BfQ
/wIDAQAB
-----END PUBLIC KEY-----
";
const RS256_PRIVATE: &str = "-----BEGIN PRIVATE KEY-----
MIIEvQIBADANBgkqhkiG9w0BAQEFAASCBKcwggSjAgEAAoIBAQDTrQhbbK1RHBY3
Cdc1GylfWBMOPadi2qd7pFEb4rKwBvN0Kwcv8ivmokzCdeR8SbUCYTUiLbiKAYJ6
gvn28xNshObgrmsJMQPbIq9vwpNh8kSbIJMNbx9dI2muni3LnlfuRkNC0Xsdx6M1
RV3gh+fSYaUjsUkPj76Inzw8U5g/RykwAMBJZl2PFWJaJyOp8v07JCrXflVMRHuv
8TVrnfIhZLAwNRqDDfARaKVLe/lerl6xv/oLYWBENNpAF22Uok+9QUU4e4jK53T4
cLi2gD6s/i60khXBCL6OUPsaPLva75pWn5BXzRekjgCjhM/A8WBWxc0z+44PBa+I
6Xb8F9D/AgMBAAECggEARCHpUzgXT0ipk9ycgxDzj6dTNt28b3KuvvrkSoP8/PC3
0vf4j8O0wr8R0vPMb/7vfs0YI6CwyebzfwiCeazC30al48LwW9yFf7bZ3jC0bK3k
zEO/YW8XmsyHuzdZyTT125GNG8g+hxbXnxFtRpSoFwzr8SGiwRoE+4e5hTdpBVCF
h4PE2k6x8E7B731qfFe2fvZgEQZXhVlLdk30Lc5YpULbUKvQGk9h4+b56+jHiTm3
8hzFb8oe6lszVoPZDmqJwbHb4wTRCqqsYycnTjlX4inUcTKqUUogRUaIJfFgfw6T
Nzq1oh5eyLsqLhI8ObasmM6melVQKMyL0Xzj0UvaVQKBgQD8R3ESZp+rbADL5N96
aO+o2QUgUk7D3wO73CbBVXc+7b/MfSEHf4U/7ztiBcStQxRBP6ObIR2mEk7eaPxa
+P3lXZQSHg0N0igLOL4mEqnkSzUKFZGWGSC2vGOJTkj3QqBzArliMDwVD0sfRETc
w1vIrmSiPgMXXVk1p0ysDq9n8wKBgQDWzEfzqogrPBcN7sYccDmlSO9RAzxwBsxR
9Dyx0xgZ5OT6YANPspy3QPkio++5QfqFL2dF0UB48M5mwrvDR1hrLAAqXGAZP3FM
yFmUvbDjafyqIivPte4XeG2LqiKkuhtRatMfYZgTCDBCStN/3tCo85nIw4ACW7gO
8IyX+o+hxQKBgQDjpog3ZZnh85UIaODtMjJJ+IQytXNUNzPEWxYx0jDH/XzdR3D9
tioFFplMjA39l5F4i7fULd72VIENHEnUwelDB92tN6bp+OGftrWH38GlO+SB1BLL
EqO9omRjq9wWG+5zulqVaxdcna9ZaJ6HZFa30f8HlNPvSpJM40pB3QKV1wKBgCvX
Bdh1tdUdLpdpZIXpYdqaSD4AqxUyTgFsF/czXnfqf9GaRxK9Ib9FQ5QOYZ8uGDOW
uT1GuCH3BCl1FV2F8kXtdRswP2znxfgl7CKvlKrVtvwCfW6nczDXI4Sd9PQqB+lW
JEEDakZ4JWFiZEh08aGKFpkjTb0teyORdSCPw0EBAoGAer1GwQd3iLU+2/VLQqWq
dgxGlVWz3u8gn34gh2oqET59lvTSoVUVkobdjj/BZ6EajIfJSC2RtTSeVRcqVlC8
S6DnblUkwkiD02UN/L4+NnrCymc/jzRQcMOhZL3Vn2Gv4NC6idgnaoGJHb0YvmZK
JAJ3ndVfQu0IybpvbxVnjMY=
-----END PRIVATE KEY-----
";

#[test]
fn asymmetric_keys_verify_and_never_serve_as_a_secret() {
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    let rsa = EncodingKey::from_rsa_pem(RS256_PRIVATE.as_bytes()).unwrap();
    let ec = EncodingKey::from_ec_pem(ES256_PRIVATE.as_bytes()).unwrap();
    let by_rsa = jsonwebtoken::encode(&Header::new(Algorithm::RS256), &claims(), &rsa).unwrap();
    let by_ec = jsonwebtoken::encode(&Header::new(Algorithm::ES256), &claims(), &ec).unwrap();
    let rs256 = Verifier::new("RS256", RS256_PUBLIC).unwrap();
    let es256 = Verifier::new("ES256", &ES256_PUBLIC.replace('\n', "\\n")).unwrap();
    assert!(rs256.verify_at(&by_rsa, NOW).is_ok());
    assert!(es256.verify_at(&by_ec, NOW).is_ok());
    assert!(rs256.verify_at(&by_ec, NOW).is_err());
    assert!(es256.verify_at(&by_rsa, NOW).is_err());

    // The classic confusion: an HMAC made with the public key as its secret.
    for (verifier, public) in [(&rs256, RS256_PUBLIC), (&es256, ES256_PUBLIC)] {
        let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256"}"#);
        let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(claims().to_string()));
        let forged = format!("{message}.{}", URL_SAFE_NO_PAD.encode(hs256(&message, public)));
        assert!(verifier.verify_at(&forged, NOW).is_err());
    }
}

#[derive(Clone)]
struct State(Arc<Verifier>);

impl FromRef<State> for Arc<Verifier> {
    fn from_ref(state: &State) -> Self {
        state.0.clone()
    }
}

/// `/me` answers the effective user id, `/admin` is for admins.
fn app() -> Router {
    Router::new()
        .route("/me", get(|user: AuthenticatedUser| async move { user.id.to_string() }))
        .route("/admin", get(|AdminUser(user): AdminUser| async move { user.id.to_string() }))
        .with_state(State(Arc::new(verifier())))
}

/// The extractors read the clock: tokens for them expire far away.
fn lasting(changes: Value) -> String {
    let mut payload = with(changes);
    payload["iat"] = json!(1);
    payload["exp"] = json!(4_000_000_000_i64);
    token(payload)
}

async fn answer(path: &str, headers: &[(&str, &str)]) -> (StatusCode, String) {
    let mut request = Request::get(path);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let response = app().oneshot(request.body(Body::empty()).unwrap()).await.unwrap();
    let status = response.status();
    let body = axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap();
    (status, String::from_utf8(body.to_vec()).unwrap())
}

#[tokio::test]
async fn every_forgery_is_answered_with_401_and_a_detail() {
    for (name, token) in forgeries() {
        let (status, body) = answer("/me", &[("authorization", &format!("Bearer {}", token.replace('\n', "")))]).await;
        assert_eq!(status, StatusCode::UNAUTHORIZED, "{name}");
        assert!(serde_json::from_str::<Value>(&body).unwrap()["detail"].is_string(), "{name}: {body}");
    }
}

#[tokio::test]
async fn a_request_without_a_bearer_token_says_that_the_header_is_missing() {
    let missing = (StatusCode::UNAUTHORIZED, r#"{"detail":"Authorization header is missing"}"#.to_owned());
    assert_eq!(answer("/me", &[]).await, missing);
    for value in ["", "Bearer", "Bearer ", "Basic YTpi", &lasting(json!({}))] {
        assert_eq!(answer("/me", &[("authorization", value)]).await, missing, "{value:?}");
    }
}

#[tokio::test]
async fn the_schemes_case_does_not_matter_and_two_headers_are_refused() {
    let good = format!("bearer {}", lasting(json!({})));
    assert_eq!(answer("/me", &[("authorization", &good)]).await, (StatusCode::OK, USER.to_owned()));
    let (status, _) = answer("/me", &[("authorization", &good), ("authorization", &good)]).await;
    assert_eq!(status, StatusCode::UNAUTHORIZED);
}

#[tokio::test]
async fn only_admins_act_as_somebody_else() {
    let other = "11111111-2222-4333-8444-555555555555";
    let plain = format!("Bearer {}", lasting(json!({})));
    let admin = format!("Bearer {}", lasting(json!({"role": "admin"})));
    let refused = (StatusCode::FORBIDDEN, r#"{"detail":"Admin access required"}"#.to_owned());
    fn act_as<'a>(token: &'a str, id: &'a str) -> [(&'static str, &'a str); 2] {
        [("authorization", token), ("X-Act-As-User-Id", id)]
    }

    assert_eq!(answer("/me", &act_as(&admin, other)).await, (StatusCode::OK, other.to_owned()));
    assert_eq!(answer("/me", &act_as(&plain, other)).await, refused);
    assert_eq!(answer("/me", &act_as(&plain, USER)).await, refused, "not even as oneself");
    assert_eq!(answer("/me", &act_as(&plain, "nobody")).await, refused);
    assert_eq!(answer("/me", &act_as(&admin, "nobody")).await.0, StatusCode::BAD_REQUEST);
    assert_eq!(answer("/me", &act_as(&plain, "")).await, (StatusCode::OK, USER.to_owned()));
    assert_eq!(answer("/admin", &[("authorization", &admin)]).await.0, StatusCode::OK);
    assert_eq!(answer("/admin", &[("authorization", &plain)]).await, refused);
}

/// What is logged, in one line each.
#[derive(Clone, Default)]
struct Log(Arc<std::sync::Mutex<Vec<String>>>);

impl tracing::Subscriber for Log {
    fn enabled(&self, _: &tracing::Metadata<'_>) -> bool {
        true
    }
    fn new_span(&self, _: &tracing::span::Attributes<'_>) -> tracing::span::Id {
        tracing::span::Id::from_u64(1)
    }
    fn record(&self, _: &tracing::span::Id, _: &tracing::span::Record<'_>) {}
    fn record_follows_from(&self, _: &tracing::span::Id, _: &tracing::span::Id) {}
    fn event(&self, event: &tracing::Event<'_>) {
        struct Line(String);
        impl tracing::field::Visit for Line {
            fn record_debug(&mut self, field: &tracing::field::Field, value: &dyn std::fmt::Debug) {
                self.0.push_str(&format!(" {field}={value:?}"));
            }
        }
        let mut line = Line(event.metadata().level().to_string());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }
    fn enter(&self, _: &tracing::span::Id) {}
    fn exit(&self, _: &tracing::span::Id) {}
}

#[tokio::test]
async fn who_acts_as_somebody_else_is_logged() {
    let other = "11111111-2222-4333-8444-555555555555";
    let log = Log::default();
    let _heard = tracing::subscriber::set_default(log.clone());
    let admin = format!("Bearer {}", lasting(json!({"role": "admin"})));
    let plain = format!("Bearer {}", lasting(json!({})));
    let acting = || {
        log.0
            .lock()
            .unwrap()
            .iter()
            .filter(|line| line.contains("acts as another user"))
            .cloned()
            .collect::<Vec<_>>()
    };
    answer("/me", &[("authorization", &plain), ("X-Act-As-User-Id", other)]).await;
    answer("/me", &[("authorization", &admin)]).await;
    assert_eq!(acting(), Vec::<String>::new());
    answer("/me", &[("authorization", &admin), ("X-Act-As-User-Id", other)]).await;
    let acted = acting();
    assert_eq!(acted.len(), 1, "{acted:?}");
    for told in ["INFO", USER, other, "GET", "/me"] {
        assert!(acted[0].contains(told), "{told} in {}", acted[0]);
    }
}

/// An auth service that publishes the keys it is given, and counts how often it is asked.
async fn key_service(keys: Arc<std::sync::Mutex<Value>>) -> (String, Arc<std::sync::atomic::AtomicUsize>) {
    let asked = Arc::new(std::sync::atomic::AtomicUsize::new(0));
    let count = asked.clone();
    let app = Router::new().route(
        "/jwks.json",
        get(move || {
            count.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            let keys = keys.lock().unwrap().clone();
            async move { axum::Json(json!({ "keys": keys })) }
        }),
    );
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, app).await.unwrap() });
    (url, asked)
}

#[tokio::test]
async fn published_keys_are_fetched_kept_and_trusted_for_their_own_algorithm_only() {
    use jsonwebtoken::jwk::Jwk;
    use jsonwebtoken::{Algorithm, EncodingKey, Header};
    runtime::install_tls_provider();
    let ec = EncodingKey::from_ec_pem(ES256_PRIVATE.as_bytes()).unwrap();
    let rsa = EncodingKey::from_rsa_pem(RS256_PRIVATE.as_bytes()).unwrap();
    let published = |key: &EncodingKey, algorithm, id: &str| {
        let mut jwk = serde_json::to_value(Jwk::from_encoding_key(key, algorithm).unwrap()).unwrap();
        jwk["kid"] = json!(id);
        jwk
    };
    let keys = Arc::new(std::sync::Mutex::new(json!([
        published(&ec, Algorithm::ES256, "one"),
        {"kty": "oct", "kid": "shared", "alg": "HS256", "k": URL_SAFE_NO_PAD.encode(SECRET)},
    ])));
    let (url, asked) = key_service(keys.clone()).await;
    let verifier = Verifier::with_key_set(&url).unwrap();
    let token = |key: &EncodingKey, algorithm, id: Option<&str>| {
        let mut header = Header::new(algorithm);
        header.kid = id.map(str::to_owned);
        let mut payload = claims();
        payload["iat"] = json!(1);
        payload["exp"] = json!(4_000_000_000_i64);
        jsonwebtoken::encode(&header, &payload, key).unwrap()
    };
    let asked = || asked.load(std::sync::atomic::Ordering::SeqCst);
    let good = token(&ec, Algorithm::ES256, Some("one"));
    for _ in 0..3 {
        assert!(verifier.verify_fetching(&good).await.is_ok());
    }
    assert!(
        verifier.verify_fetching(&token(&ec, Algorithm::ES256, None)).await.is_ok(),
        "the only key needs no id"
    );
    assert_eq!(asked(), 1);
    let secret = EncodingKey::from_secret(SECRET.as_bytes());
    let forged = [
        token(&rsa, Algorithm::RS256, Some("one")),
        token(&rsa, Algorithm::RS256, Some("unknown")),
        token(&secret, Algorithm::HS256, Some("shared")),
        token(&secret, Algorithm::HS256, Some("one")),
        "nonsense".to_owned(),
    ];
    for token in forged {
        assert!(verifier.verify_fetching(&token).await.is_err(), "{token}");
    }
    assert_eq!(asked(), 1, "made-up key ids do not make us ask again at once");

    // Another process of ours, after the service has changed its keys.
    *keys.lock().unwrap() = json!([published(&rsa, Algorithm::RS256, "two")]);
    let restarted = Verifier::with_key_set(&url).unwrap();
    assert!(restarted.verify_fetching(&token(&rsa, Algorithm::RS256, Some("two"))).await.is_ok());
    assert!(restarted.verify_fetching(&good).await.is_err());

    // And the same process, which goes on: soon it trusts the new key, and no longer the old one.
    let new = token(&rsa, Algorithm::RS256, Some("two"));
    let began = std::time::Instant::now();
    let waited = || assert!(began.elapsed() < std::time::Duration::from_secs(60), "the keys are not asked for again");
    while verifier.verify_fetching(&new).await.is_err() {
        waited();
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(verifier.verify_fetching(&good).await.is_err(), "the key that was taken back");

    // A service that has lost its keys is asked, and what is known stays good.
    *keys.lock().unwrap() = json!([]);
    let before = asked();
    while asked() == before {
        waited();
        assert!(verifier.verify_fetching(&good).await.is_err());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert!(verifier.verify_fetching(&new).await.is_ok());
}
