//! Credentials of users: sealed at rest, shown to their owner.

use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::app::{TestApp, TestUser, text};

async fn create(app: &TestApp, user: &TestUser, provider: &str, body: Value) -> Value {
    let answer = app.post(user, &format!("/api/integrations/{provider}/credentials"), body).await;
    assert_eq!(answer.status, 201, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn credentials_of_three_kinds_are_kept_listed_and_deleted() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    assert_eq!(app.get(&user, "/api/integrations/credentials").await.body, json!([]));
    let key = create(
        &app,
        &user,
        "openai",
        json!({"provider": "openai", "type": "api_key", "title": "Mine", "api_key": "sk-secret", "expires_at": 4_102_444_800_i64}),
    )
    .await;
    assert_eq!((key["api_key"].as_str(), key["title"].as_str()), (Some("sk-secret"), Some("Mine")));
    assert_eq!(key["expires_at"], 4_102_444_800_i64, "beyond 2038");
    let login = create(
        &app,
        &user,
        "smtp",
        json!({"provider": "smtp", "type": "user_password", "username": "ada", "password": "pw-secret"}),
    )
    .await;
    let host = json!({"provider": "http", "type": "host_scoped", "host": "api.example.test", "headers": {"Authorization": "Bearer hs-secret"}});
    let host = create(&app, &user, "http", host).await;

    let listed = app.get(&user, "/api/integrations/credentials").await;
    let metas: Vec<Value> = listed
        .body
        .as_array()
        .unwrap()
        .iter()
        .map(|meta| json!([meta["type"], meta["username"], meta["host"]]))
        .collect();
    assert_eq!(
        json!(metas),
        json!([
            ["api_key", null, null],
            ["user_password", "ada", null],
            ["host_scoped", null, "api.example.test"]
        ])
    );
    assert!(!listed.text.contains("secret"), "{}", listed.text);
    let of_provider = app.get(&user, "/api/integrations/smtp/credentials").await;
    assert_eq!(of_provider.body, json!([listed.body[1]]));

    let path = |kind: &str, value: &Value| format!("/api/integrations/{kind}/credentials/{}", text(value, "id"));
    assert_eq!(app.get(&user, &path("http", &host)).await.body, host);
    assert_eq!(app.get(&user, &path("openai", &key)).await.body, key);
    assert_eq!(app.get(&user, &path("openai", &host)).await.status, 404, "at another provider");
    let mut connection = PgConnection::connect(&app.database).await.unwrap();
    let rows: Vec<String> = sqlx::query_scalar("SELECT row_to_json(credentials)::text || encode(sealed, 'escape') FROM credentials")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert!(rows.len() == 3 && rows.iter().all(|row| !row.contains("secret")), "{rows:?}");

    let delete = |path: String| app.request(Method::DELETE, &path).by(&user).send();
    assert_eq!(delete(path("smtp", &login)).await.body, json!({"deleted": true, "revoked": null}));
    assert_eq!(delete(path("smtp", &login)).await.refusal(), (404, &json!("Credentials not found")));
    assert_eq!(delete(format!("{}?force=maybe", path("openai", &key))).await.status, 422);
    assert_eq!(app.get(&user, &path("openai", &key)).await.status, 200);
}

#[tokio::test]
async fn what_is_no_credential_is_refused_with_its_place() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let cases = [
        (json!({}), 422),
        (json!({"type": "magic"}), 422),
        (json!({"type": 5}), 422),
        (json!({"type": "api_key", "provider": "openai"}), 422),
        (json!({"type": "api_key", "provider": "openai", "api_key": 5}), 422),
        (json!({"type": "host_scoped", "provider": "http", "host": "h", "headers": {"a": 1}}), 422),
        (json!({"type": "oauth2", "provider": "google", "access_token": "x"}), 422),
        (json!({"type": "oauth2", "provider": "google", "access_token": "x", "scopes": [1]}), 422),
        (
            json!({"type": "api_key", "provider": "openai", "api_key": "x", "expires_at": "soon"}),
            422,
        ),
        (json!(null), 422),
    ];
    for (body, status) in cases {
        let answer = app.post(&user, "/api/integrations/openai/credentials", body.clone()).await;
        assert_eq!(answer.status.as_u16(), status, "{body}: {}", answer.text);
    }
    let answer = app
        .post(
            &user,
            "/api/integrations/openai/credentials",
            json!({"type": "api_key", "provider": "openai"}),
        )
        .await;
    assert_eq!(answer.body["detail"][0]["loc"], json!(["body", "api_key"]));
    for id in ["nonsense".to_owned(), Uuid::new_v4().to_string()] {
        assert_eq!(app.get(&user, &format!("/api/integrations/openai/credentials/{id}")).await.status, 404);
    }
    assert_eq!(app.get(&user, "/api/integrations/credentials").await.body, json!([]));
}

#[tokio::test]
async fn without_a_key_to_seal_with_nothing_is_kept_and_the_reason_is_told() {
    let app = TestApp::builder().set("ENCRYPTION_KEY", "").start().await;
    let user = TestUser::new();
    let body = json!({"provider": "openai", "type": "api_key", "api_key": "x"});
    let answer = app.post(&user, "/api/integrations/openai/credentials", body).await;
    assert_eq!(answer.status, 503);
    assert!(answer.text.contains("ENCRYPTION_KEY"), "{}", answer.text);
}

#[tokio::test]
async fn providers_are_told_to_anybody() {
    let app = TestApp::start().await;
    let open = async |path: &str| app.request(Method::GET, path).send().await;
    let providers = open("/api/integrations/providers").await.body;
    assert!(providers.as_array().unwrap().contains(&json!("openai")), "{providers}");
    assert_eq!(open("/api/integrations/providers/names").await.body, json!({ "providers": providers }));
    assert_eq!(
        open("/api/integrations/providers/constants").await.body["PROVIDER_NAMES"]["OPENAI"],
        "openai"
    );
    assert_eq!(open("/api/integrations/providers/enum-example").await.status, 200);
}
