//! Logins at services of others, against one that keeps the rules of RFC 6749 and RFC 7636.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex};

use axum::extract::{Form, State};
use axum::routing::{get, post};
use axum::{Json, Router};
use base64::Engine;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use http::{HeaderMap, Method, StatusCode};
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use tokio::net::TcpListener;
use url::Url;

use crate::app::{TestApp, TestUser, text};

/// What the service has given out and been told. Codes are `code-{challenge}`: whoever shows one must know the verifier.
#[derive(Default)]
struct Memory {
    tokens: u32,
    spent: BTreeSet<String>,
    revoked: Vec<String>,
    /// How long an access token is good, in seconds.
    lives: i64,
}

type Shared = Arc<Mutex<Memory>>;
type Fields = HashMap<String, String>;

async fn tokens(State(memory): State<Shared>, headers: HeaderMap, Form(fields): Form<Fields>) -> (StatusCode, Json<Value>) {
    let field = |name: &str| fields.get(name).map_or("", String::as_str);
    let refuse = |error: &str| (StatusCode::BAD_REQUEST, Json(json!({ "error": "invalid", "error_description": error })));
    let basic = format!("Basic {}", STANDARD.encode("client:hush"));
    let in_header = headers.get("authorization").is_some_and(|given| given == basic.as_str());
    if !in_header && (field("client_id"), field("client_secret")) != ("client", "hush") {
        return refuse("who are you?");
    }
    let mut memory = memory.lock().unwrap();
    let proof = match field("grant_type") {
        "authorization_code" => {
            let challenge = URL_SAFE_NO_PAD.encode(Sha256::digest(field("code_verifier")));
            if field("code") != format!("code-{challenge}") || !field("redirect_uri").ends_with("back") {
                return refuse("another code");
            }
            field("code")
        }
        "refresh_token" if field("refresh_token").starts_with("refresh-") => field("refresh_token"),
        _ => return refuse("no grant"),
    };
    if !memory.spent.insert(proof.to_owned()) {
        return refuse("good for once");
    }
    memory.tokens += 1;
    let number = memory.tokens;
    let (access, refresh) = (format!("access-{number}"), format!("refresh-{number}"));
    (
        StatusCode::OK,
        Json(json!({"access_token": access, "refresh_token": refresh, "expires_in": memory.lives, "token_type": "bearer", "scope": "a b"})),
    )
}

async fn user(headers: HeaderMap) -> Json<Value> {
    let is_known = headers["authorization"].to_str().unwrap().starts_with("Bearer access-");
    Json(if is_known {
        json!({"login": "ada", "data": {"username": "ada"}})
    } else {
        json!({})
    })
}

async fn revoke(State(memory): State<Shared>, Form(fields): Form<Fields>) -> StatusCode {
    memory.lock().unwrap().revoked.push(fields["token"].clone());
    StatusCode::OK
}

/// The service, as GitHub and as X.
async fn service() -> (String, Shared) {
    let memory = Shared::default();
    memory.lock().unwrap().lives = 7200;
    let router = Router::new()
        .route("/login/oauth/access_token", post(tokens))
        .route("/user", get(user))
        .route("/2/oauth2/token", post(tokens))
        .route("/2/users/me", get(user))
        .route("/2/oauth2/revoke", post(revoke))
        .with_state(memory.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let host = format!("http://{}", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (host, memory)
}

async fn app(host: &str) -> TestApp {
    let hosts = json!([format!("github={host}"), format!("twitter={host}")]).to_string();
    let builder = TestApp::builder()
        .set("OAUTH_HOSTS", &hosts)
        .set("FRONTEND_BASE_URL", "https://app.example.test");
    let builder = builder.set("GITHUB_CLIENT_ID", "client").set("GITHUB_CLIENT_SECRET", "hush");
    let builder = builder.set("TWITTER_CLIENT_ID", "client").set("TWITTER_CLIENT_SECRET", "hush");
    builder.set("NOTION_CLIENT_ID", "without a secret").start().await
}

/// What the browser brings back from a login: the state token, the code and where it came back to.
fn consent(begun: &Value) -> (String, String, String) {
    let url = Url::parse(text(begun, "login_url")).unwrap();
    let fields: Fields = url.query_pairs().into_owned().collect();
    assert_eq!((fields["response_type"].as_str(), fields["client_id"].as_str()), ("code", "client"));
    assert_eq!(fields["code_challenge_method"], "S256");
    assert_eq!(fields["state"], text(begun, "state_token"));
    (
        fields["state"].clone(),
        format!("code-{}", fields["code_challenge"]),
        fields["redirect_uri"].clone(),
    )
}

#[tokio::test]
async fn a_login_becomes_a_credential_and_its_state_is_good_for_once() {
    let (host, _) = service().await;
    let app = app(&host).await;
    let (user, other) = (TestUser::new(), TestUser::new());
    let begun = app.get(&user, "/api/integrations/github/login?scopes=repo,%20user,").await.body;
    let url = text(&begun, "login_url");
    assert!(
        url.starts_with(&format!("{host}/login/oauth/authorize?")) && url.ends_with("&scope=repo+user"),
        "{url}"
    );
    let (state, code, back) = consent(&begun);
    assert_eq!(back, "https://app.example.test/auth/integrations/oauth_callback");
    let exchange = async |user: &TestUser, provider: &str, code: &str| {
        let body = json!({"code": code, "state_token": state});
        app.post(user, &format!("/api/integrations/{provider}/callback"), body).await
    };
    for (user, provider) in [(&other, "github"), (&user, "twitter")] {
        let refused = exchange(user, provider, &code).await;
        assert_eq!(refused.refusal(), (400, &json!("Invalid or expired state token")), "{provider}");
    }
    let done = exchange(&user, "github", &code).await;
    let id = text(&done.body, "id").to_owned();
    let meta = json!({"id": id, "provider": "github", "type": "oauth2", "title": null, "scopes": ["a", "b"], "username": "ada", "host": null});
    assert_eq!((done.status.as_u16(), &done.body), (200, &meta), "{}", done.text);
    assert_eq!(app.get(&user, "/api/integrations/credentials").await.body, json!([meta]));
    assert_eq!(exchange(&user, "github", &code).await.status, 400, "a second time");
    let path = format!("/api/integrations/github/credentials/{id}");
    let open = app.get(&user, &path).await.body;
    assert_eq!(
        (&open["access_token"], &open["refresh_token"], &open["type"]),
        (&json!("access-1"), &json!("refresh-1"), &json!("oauth2"))
    );
    assert_eq!(app.get(&other, &path).await.status, 404);
    let deleted = app.request(Method::DELETE, &path).by(&user).send().await.body;
    assert_eq!(deleted, json!({"deleted": true, "revoked": null}), "GitHub has no address for it");

    let begun = app.get(&user, "/api/integrations/github/login").await.body;
    let wrong = json!({"code": "code-x", "state_token": begun["state_token"]});
    let refused = app.post(&user, "/api/integrations/github/callback", wrong).await;
    let reason = "The code could not be exchanged for tokens: the provider answered 400: another code";
    assert_eq!(refused.refusal(), (400, &json!(reason)));
    assert_eq!(app.get(&user, "/api/integrations/credentials").await.body, json!([]));
}

#[tokio::test]
async fn a_token_that_ends_is_refreshed_and_one_that_is_deleted_revoked() {
    let (host, memory) = service().await;
    let app = app(&host).await;
    let user = TestUser::new();
    memory.lock().unwrap().lives = 60;
    let begun = app.get(&user, "/api/integrations/twitter/login").await.body;
    assert!(text(&begun, "login_url").contains("scope=tweet.read+users.read+offline.access"));
    let (state_token, code, _) = consent(&begun);
    let exchange = json!({"code": code, "state_token": state_token});
    let done = app.post(&user, "/api/integrations/twitter/callback", exchange).await.body;
    let path = format!("/api/integrations/twitter/credentials/{}", text(&done, "id"));
    let open = async || app.get(&user, &path).await.body;
    memory.lock().unwrap().lives = 7200;
    let renewed = open().await;
    assert_eq!(
        (&renewed["access_token"], &renewed["refresh_token"]),
        (&json!("access-2"), &json!("refresh-2")),
        "within five minutes of its end"
    );
    assert_eq!((&renewed["username"], &open().await), (&json!("ada"), &renewed), "and no earlier");
    let deleted = app.request(Method::DELETE, &path).by(&user).send().await.body;
    assert_eq!(deleted, json!({"deleted": true, "revoked": true}));
    assert_eq!(memory.lock().unwrap().revoked, ["refresh-2"]);

    // A refresh that fails leaves what there is.
    let spent = json!({"type": "oauth2", "provider": "twitter", "access_token": "mine", "refresh_token": "refresh-1", "access_token_expires_at": 5,
        "scopes": ["s"], "title": "given"});
    let given = app.post(&user, "/api/integrations/twitter/credentials", spent).await;
    assert_eq!(
        (given.status.as_u16(), text(&given.body, "access_token")),
        (201, "mine"),
        "{}",
        given.text
    );
    let path = format!("/api/integrations/twitter/credentials/{}", text(&given.body, "id"));
    assert_eq!(app.get(&user, &path).await.body, given.body);
}

#[tokio::test]
async fn a_login_needs_a_provider_that_knows_the_platform() {
    let app = app("http://127.0.0.1:1").await;
    let user = TestUser::new();
    let refusal = |provider: &str| format!("/api/integrations/{provider}/login?scopes=a");
    let unconfigured = app.get(&user, &refusal("google")).await;
    assert_eq!(unconfigured.status, 501);
    assert!(
        unconfigured.text.contains("GOOGLE_CLIENT_ID and GOOGLE_CLIENT_SECRET"),
        "{}",
        unconfigured.text
    );
    assert_eq!(app.get(&user, &refusal("notion")).await.status, 501, "half a client is none");
    for none in ["openai", "nobody"] {
        assert_eq!(app.get(&user, &refusal(none)).await.status, 404, "{none}");
    }
    let exchange = async |body: Value| app.post(&user, "/api/integrations/google/callback", body).await.status.as_u16();
    assert_eq!(exchange(json!({"code": "c", "state_token": "s"})).await, 501);
    assert_eq!(exchange(json!({"code": "c"})).await, 422);
    let begun = app.get(&user, &refusal("github")).await.body;
    let body = json!({"code": "c", "state_token": begun["state_token"]});
    assert_eq!(
        app.post(&user, "/api/integrations/github/callback", body).await.status,
        400,
        "nobody is there"
    );
}

#[tokio::test]
async fn programs_log_their_user_in_where_they_may() {
    let (host, _) = service().await;
    let app = app(&host).await;
    let user = TestUser::new();
    let (_, key) = app.api_key(&user, json!(["MANAGE_INTEGRATIONS"])).await;
    let begin = async |url: &str| {
        let body = json!({"callback_url": url, "scopes": ["repo"], "state_metadata": {"n": 1}});
        app.with_key(Method::POST, "/integrations/github/oauth/initiate", &key, body).await
    };
    for foreign in [
        "https://evil.test/back",
        "http://localhost:3001/back",
        "data:x",
        "back",
        "http://localhost:3000.evil.test/back",
    ] {
        assert_eq!(begin(foreign).await.status, 400, "{foreign}");
    }
    let begun = begin("http://localhost:3000/my/back").await;
    assert!(text(&begun.body, "expires_at").ends_with('Z'), "{}", begun.text);
    let (state_token, code, back) = consent(&begun.body);
    assert_eq!(back, "http://localhost:3000/my/back");
    let body = json!({"code": code, "state_token": state_token});
    let done = app.with_key(Method::POST, "/integrations/github/oauth/complete", &key, body).await.body;
    let id = done["credentials_id"].clone();
    let expected = json!({"credentials_id": id, "provider": "github", "type": "oauth2", "title": null, "scopes": ["a", "b"], "username": "ada",
        "state_metadata": {"n": 1}});
    assert_eq!(done, expected);
    assert_eq!(app.get(&user, "/api/integrations/credentials").await.body[0]["id"], id);
}
