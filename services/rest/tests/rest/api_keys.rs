//! Keys for programs.

use http::Method;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;

use crate::app::{Answer, TestApp, TestUser, text};

impl TestApp {
    /// A fresh key of the user: what is shown of it, and itself.
    pub async fn api_key(&self, user: &TestUser, permissions: Value) -> (Value, String) {
        let answer = self
            .post(user, "/api/api-keys", json!({"name": "robot", "permissions": permissions}))
            .await;
        assert_eq!(answer.status, 200, "{}", answer.text);
        (answer.body["api_key"].clone(), text(&answer.body, "plain_text_key").to_owned())
    }

    pub async fn with_key(&self, method: Method, path: &str, key: &str, body: Value) -> Answer {
        self.request(method, &format!("/external-api/v1{path}"))
            .header("X-API-Key", key)
            .json(&body)
            .send()
            .await
    }
}

#[tokio::test]
async fn a_key_is_shown_once_listed_changed_and_revoked() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    assert_eq!(app.get(&user, "/api/api-keys").await.body, json!([]));
    let (info, key) = app.api_key(&user, json!(["READ_BLOCK", "EXECUTE_BLOCK", "READ_BLOCK"])).await;
    assert_eq!((&key[..5], key.len()), ("agpt_", 48));
    assert_eq!((text(&info, "head"), text(&info, "tail")), (&key[..8], &key[40..]));
    assert_eq!(
        (&info["status"], &info["permissions"]),
        (&json!("ACTIVE"), &json!(["EXECUTE_BLOCK", "READ_BLOCK"]))
    );
    let (second, _) = app.api_key(&user, json!([])).await;
    let listed = app.get(&user, "/api/api-keys").await;
    assert_eq!(listed.body, json!([second, info]));
    assert!(!listed.text.contains(&key));

    let path = format!("/api/api-keys/{}", text(&info, "id"));
    assert_eq!(app.get(&user, &path).await.body, info);
    let changed = app
        .request(Method::PUT, &format!("{path}/permissions"))
        .by(&user)
        .json(&json!({"permissions": ["READ_STORE"]}))
        .send()
        .await;
    assert_eq!(changed.body["permissions"], json!(["READ_STORE"]));
    assert_eq!(app.post(&user, &format!("{path}/suspend"), Value::Null).await.body["status"], "SUSPENDED");
    let revoked = app.request(Method::DELETE, &path).by(&user).send().await;
    assert_eq!(
        (revoked.body["status"].as_str(), revoked.body["revoked_at"].is_string()),
        (Some("REVOKED"), true)
    );
    assert_eq!(app.post(&user, &format!("{path}/suspend"), Value::Null).await.body["status"], "REVOKED");
}

#[tokio::test]
async fn what_is_no_request_for_a_key_is_refused() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    for body in [
        json!({}),
        json!({"name": "x"}),
        json!({"name": "x", "permissions": ["ALL"]}),
        json!({"name": 1, "permissions": []}),
        json!(null),
    ] {
        assert_eq!(app.post(&user, "/api/api-keys", body.clone()).await.status, 422, "{body}");
    }
    for id in ["nonsense".to_owned(), Uuid::new_v4().to_string()] {
        assert_eq!(
            app.get(&user, &format!("/api/api-keys/{id}")).await.refusal(),
            (404, &json!("API key not found"))
        );
    }
}

#[tokio::test]
async fn only_a_whole_active_key_with_the_permission_gets_in() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let (info, key) = app.api_key(&user, json!(["READ_BLOCK"])).await;
    let missing = app.request(Method::GET, "/external-api/v1/blocks").send().await;
    assert_eq!(missing.refusal(), (401, &json!("Missing API key")));
    let other = format!("{}{}", &key[..47], if key.ends_with('A') { 'B' } else { 'A' });
    for wrong in ["agpt_x", &other, &user.token, &key[..47]] {
        let answer = app.with_key(Method::GET, "/blocks", wrong, Value::Null).await;
        assert_eq!(answer.refusal(), (401, &json!("Invalid API key")), "{wrong}");
    }
    assert_eq!(app.with_key(Method::GET, "/blocks", &key, Value::Null).await.status, 200);
    assert_eq!(
        app.with_key(Method::GET, "/integrations/credentials", &key, Value::Null).await.status,
        403
    );
    let answer = app.request(Method::GET, "/api/executions").header("X-API-Key", &key).send().await;
    assert_eq!(answer.status, 401, "keys are for the external interface only");

    let used = app.get(&user, &format!("/api/api-keys/{}", text(&info, "id"))).await;
    assert!(used.body["last_used_at"].is_string(), "{}", used.text);
    app.request(Method::DELETE, &format!("/api/api-keys/{}", text(&info, "id")))
        .by(&user)
        .send()
        .await;
    let answer = app.with_key(Method::GET, "/blocks", &key, Value::Null).await;
    assert_eq!(answer.refusal(), (401, &json!("Invalid API key")), "at once");
}

#[tokio::test]
async fn keys_of_the_reference_still_work_and_are_kept_anew() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    app.post(&user, "/api/auth/user", json!({})).await;
    let mut connection = PgConnection::connect(&app.database).await.unwrap();
    let key = "agpt_AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";
    // What Python's hashlib.scrypt makes of it with the salt 00 01 … 1f, and its SHA-256.
    let salt: String = (0..32).map(|byte| format!("{byte:02x}")).collect();
    let scrypt = "809580738dd6e6fe8fba6f0c9b60b7dc9d2199c497647f6214b0772b6441bfe7";
    let other = "agpt_AAABBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBBB";
    let sha256: String = Sha256::digest(other.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    for (hash, salt) in [(scrypt, Some(salt.as_str())), (&sha256, None)] {
        sqlx::query("INSERT INTO api_keys (id, user_id, name, head, tail, hash, salt, permissions) VALUES ($1, $2, 'old', 'agpt_AAA', 'AAAAAAAA', $3, $4, '{READ_BLOCK,UNKNOWN}')")
            .bind(Uuid::new_v4())
            .bind(user.id)
            .bind(hash)
            .bind(salt)
            .execute(&mut connection)
            .await
            .unwrap();
    }
    for key in [key, other, key] {
        assert_eq!(app.with_key(Method::GET, "/blocks", key, Value::Null).await.status, 200, "{key}");
    }
    let slow: i64 = sqlx::query_scalar("SELECT count(*) FROM api_keys WHERE hash IS NOT NULL OR lookup IS NULL")
        .fetch_one(&mut connection)
        .await
        .unwrap();
    assert_eq!(slow, 0);
    let third = "agpt_AAACCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCCC";
    assert_eq!(app.with_key(Method::GET, "/blocks", third, Value::Null).await.status, 401);
}
