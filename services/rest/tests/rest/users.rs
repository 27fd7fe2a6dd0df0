//! Users come into being with their first call.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser};

#[tokio::test]
async fn the_first_call_makes_the_user() {
    let app = TestApp::start().await;
    let user = TestUser::with(json!({"user_metadata": {"name": "Ada"}}));
    assert_eq!(app.get(&user, "/api/executions").await.body, json!([]));
    let row = app.store.get_user(user.id).await.unwrap().unwrap();
    assert_eq!((row.email, row.name.as_deref()), (user.email.clone(), Some("Ada")));
}

#[tokio::test]
async fn asking_for_the_user_returns_the_whole_object_whatever_the_body() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    for body in ["", "null", "{}"] {
        let answer = app.request(Method::POST, "/api/auth/user").by(&user).raw(body).send().await;
        assert_eq!(answer.status, 200, "{body:?}: {}", answer.text);
        assert_eq!(answer.body["id"], json!(user.id));
        assert_eq!(answer.body["email"], json!(user.email));
        assert_eq!(answer.body["timezone"], "not-set");
        assert_eq!(answer.body["integrations"], "");
        assert!(answer.body["created_at"].as_str().unwrap().ends_with('Z'));
        assert_eq!(answer.body["notify_on_agent_run"], true);
        assert!(answer.body.as_object().unwrap().contains_key("stripe_customer_id"));
    }
}

#[tokio::test]
async fn a_token_without_an_address_makes_no_user() {
    let app = TestApp::start().await;
    let user = TestUser::with(json!({"email": null}));
    let answer = app.post(&user, "/api/auth/user", json!({})).await;
    assert_eq!(answer.refusal(), (400, &json!("Email not found in token")));
    assert_eq!(app.get(&user, "/api/graphs").await.status, 200);
    assert_eq!(app.store.get_user(user.id).await.unwrap(), None);
}

#[tokio::test]
async fn two_users_cannot_share_an_address() {
    let app = TestApp::start().await;
    let first = TestUser::new();
    app.post(&first, "/api/auth/user", json!({})).await;
    let second = TestUser::with(json!({ "email": first.email }));
    assert_eq!(app.post(&second, "/api/auth/user", json!({})).await.status, 400);
}

#[tokio::test]
async fn a_time_zone_is_kept_when_it_exists() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let path = "/api/auth/user/timezone";
    assert_eq!(app.get(&user, path).await.body, json!({"timezone": "not-set"}));
    let answer = app.post(&user, path, json!({"timezone": "Europe/Berlin"})).await;
    assert_eq!((answer.status.as_u16(), answer.body), (200, json!({"timezone": "Europe/Berlin"})));
    assert_eq!(app.get(&user, path).await.body, json!({"timezone": "Europe/Berlin"}));
    for wrong in [
        json!({"timezone": "Mars/Olympus"}),
        json!({"timezone": ""}),
        json!({"timezone": 1}),
        json!({}),
        json!(null),
    ] {
        assert_eq!(app.post(&user, path, wrong.clone()).await.status, 422, "{wrong}");
    }
}

#[tokio::test]
async fn an_admin_reads_as_another_user_but_makes_nobody() {
    let app = TestApp::start().await;
    let (user, admin) = (TestUser::new(), TestUser::with(json!({"role": "admin"})));
    app.post(&user, "/api/auth/user/timezone", json!({"timezone": "Asia/Tokyo"})).await;
    let act_as = |caller: &TestUser, id: String| {
        let request = app.request(Method::GET, "/api/auth/user/timezone").by(caller);
        request.header("X-Act-As-User-Id", &id).send()
    };
    assert_eq!(act_as(&admin, user.id.to_string()).await.body, json!({"timezone": "Asia/Tokyo"}));
    let nobody = TestUser::new();
    assert_eq!(act_as(&admin, nobody.id.to_string()).await.status, 404);
    assert_eq!(app.store.get_user(nobody.id).await.unwrap(), None);
    assert_eq!(
        act_as(&user, admin.id.to_string()).await.refusal(),
        (403, &json!("Admin access required"))
    );
}

#[tokio::test]
async fn the_balance_is_a_constant_until_credits_are_enabled() {
    let user = TestUser::new();
    let app = TestApp::start().await;
    assert_eq!(app.get(&user, "/api/credits").await.body, json!({"credits": 100}));
    let app = TestApp::builder().set("ENABLE_CREDIT", "true").start().await;
    app.get(&user, "/api/credits").await;
    assert_eq!(app.get(&user, "/api/credits").await.body, json!({"credits": 1500}));
    app.store.book_credits(user.id, "grant", "GRANT", 250, &Value::Null).await.unwrap();
    assert_eq!(app.get(&user, "/api/credits").await.body, json!({"credits": 1750}));
}
