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

/// The settings page: switches and the address in one form.
#[tokio::test]
async fn switches_of_notifications_are_kept_with_the_address() {
    let app = TestApp::start().await;
    let (user, other) = (TestUser::new(), TestUser::new());
    app.post(&other, "/api/auth/user", json!({})).await;
    app.post(&user, "/api/auth/user", json!({})).await;
    let path = "/api/auth/user/preferences";
    let before = app.get(&user, path).await.body;
    assert_eq!((&before["email"], &before["user_id"]), (&json!(user.email), &json!(user.id)), "{before}");
    let mut wanted = before["preferences"].clone();
    wanted["AGENT_RUN"] = json!(false);
    wanted["WEEKLY_SUMMARY"] = json!(true);
    let moved = format!("new-{}", user.email);
    let form = json!({"email": format!(" {} ", moved.to_uppercase()), "preferences": wanted, "daily_limit": 5});
    let saved = app.post(&user, path, form).await;
    assert_eq!(saved.status, 200, "{}", saved.text);
    assert_eq!(
        (&saved.body["preferences"], &saved.body["email"], &saved.body["daily_limit"]),
        (&wanted, &json!(moved), &json!(5))
    );
    assert_eq!(app.get(&user, path).await.body["preferences"], wanted);
    assert_eq!(app.post(&user, "/api/auth/user", json!({})).await.body["email"], json!(moved));
    // What the form does not name stays as it is.
    let one = json!({"email": moved, "preferences": {"AGENT_RUN": true}, "daily_limit": 5});
    let now = app.post(&user, path, one).await.body;
    wanted["AGENT_RUN"] = json!(true);
    assert_eq!(now["preferences"], wanted);

    let taken = json!({"email": other.email, "preferences": {}, "daily_limit": 0});
    let taken = app.post(&user, path, taken).await;
    assert_eq!(taken.status, 400, "{}", taken.text);
    for (form, place) in [
        (json!({"email": "nobody", "preferences": {}, "daily_limit": 1}), json!(["body", "email"])),
        (
            json!({"email": moved, "preferences": {"AGENT_FLIES": true}, "daily_limit": 1}),
            json!(["body", "preferences", "AGENT_FLIES", "[key]"]),
        ),
        (
            json!({"email": moved, "preferences": {"AGENT_RUN": 7}, "daily_limit": 1}),
            json!(["body", "preferences", "AGENT_RUN"]),
        ),
        (
            json!({"email": moved, "preferences": {}, "daily_limit": -1}),
            json!(["body", "daily_limit"]),
        ),
        (json!({"email": moved, "preferences": {}}), json!(["body", "daily_limit"])),
    ] {
        let refused = app.post(&user, path, form).await;
        assert_eq!(
            (refused.status.as_u16(), &refused.body["detail"][0]["loc"]),
            (422, &place),
            "{}",
            refused.text
        );
    }
    assert_eq!(
        app.get(&user, path).await.body["preferences"],
        wanted,
        "nothing of a refused form is kept"
    );
    let bare = app.post(&user, "/api/auth/user/email", json!(user.email)).await;
    assert_eq!((bare.status.as_u16(), bare.body), (200, json!({"email": user.email})));
    for wrong in [json!({"email": user.email}), json!(null), json!("nobody")] {
        assert_eq!(app.post(&user, "/api/auth/user/email", wrong.clone()).await.status, 422, "{wrong}");
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
