//! Credits with and without a ledger, and what administrators do with them.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser, text};

fn admin() -> TestUser {
    TestUser::with(json!({"role": "admin"}))
}

async fn with_ledger() -> TestApp {
    TestApp::builder()
        .set("ENABLE_CREDIT", "true")
        .set("NUM_USER_CREDITS_REFILL", "0")
        .start()
        .await
}

async fn give(app: &TestApp, admin: &TestUser, user: &TestUser, amount: i64) -> crate::app::Answer {
    let body = json!({"user_id": user.id, "amount": amount, "comments": "thanks"});
    app.post(admin, "/api/credits/admin/add_credits", body).await
}

#[tokio::test]
async fn without_a_ledger_everybody_has_the_same() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    assert_eq!(app.get(&user, "/api/credits").await.body, json!({"credits": 100}));
    assert_eq!(
        app.get(&user, "/api/credits/transactions").await.body,
        json!({"transactions": [], "next_transaction_time": null})
    );
    assert_eq!(app.get(&user, "/api/credits/refunds").await.body, json!([]));
    assert_eq!(give(&app, &admin(), &user, 5).await.status, 400);
}

#[tokio::test]
async fn the_ledger_is_read_page_by_page() {
    let app = with_ledger().await;
    let user = TestUser::new();
    assert_eq!(app.get(&user, "/api/credits").await.body, json!({"credits": 0}));
    let admin = admin();
    for amount in [500, 20, -100] {
        let given = give(&app, &admin, &user, amount).await;
        assert_eq!(given.status, 200, "{}", given.text);
    }
    assert_eq!(app.get(&user, "/api/credits").await.body, json!({"credits": 420}));
    for node in ["n1", "n2"] {
        let metadata = json!({"graph_exec_id": "run", "graph_id": "graph", "node_exec_id": node});
        app.store
            .book_credits(user.id, &format!("USAGE-{node}"), "USAGE", -10, &metadata)
            .await
            .unwrap();
    }
    let history = app.get(&user, "/api/credits/transactions?transaction_count_limit=1000").await;
    assert_eq!(history.status, 200, "{}", history.text);
    let entries = history.body["transactions"].as_array().unwrap();
    let usage = &entries[0];
    assert_eq!(
        (&usage["amount"], &usage["usage_node_count"], &usage["usage_execution_id"]),
        (&json!(-20), &json!(2), &json!("run"))
    );
    assert_eq!((&usage["running_balance"], &usage["current_balance"]), (&json!(400), &json!(400)));
    let amounts: Vec<_> = entries.iter().map(|entry| entry["amount"].as_i64().unwrap()).collect();
    assert_eq!(amounts, [-20, -100, 20, 500]);
    assert_eq!(
        (&entries[3]["transaction_type"], &entries[3]["reason"]),
        (&json!("GRANT"), &json!("thanks"))
    );
    assert_eq!(entries[3]["usage_start_time"], "9999-12-31T23:59:59.999999Z");

    let mut seen = Vec::new();
    let mut path = "/api/credits/transactions?transaction_type=GRANT&transaction_count_limit=1".to_owned();
    for _ in 0..4 {
        let page = app.get(&user, &path).await.body;
        seen.extend(
            page["transactions"]
                .as_array()
                .unwrap()
                .iter()
                .map(|entry| entry["amount"].as_i64().unwrap()),
        );
        let Some(next) = page["next_transaction_time"].as_str() else { break };
        path = format!("/api/credits/transactions?transaction_type=GRANT&transaction_count_limit=1&transaction_time={next}");
    }
    assert_eq!(seen, [-100, 20, 500]);
    for query in ["transaction_count_limit=0", "transaction_count_limit=1001"] {
        assert_eq!(app.get(&user, &format!("/api/credits/transactions?{query}")).await.status, 400, "{query}");
    }
    for query in ["transaction_time=yesterday", "transaction_type=GIFT", "transaction_count_limit=x"] {
        assert_eq!(app.get(&user, &format!("/api/credits/transactions?{query}")).await.status, 422, "{query}");
    }
    assert_eq!(
        app.get(&TestUser::new(), "/api/credits/transactions").await.body["transactions"],
        json!([])
    );
}

#[tokio::test]
async fn administrators_give_and_take_and_see_everything() {
    let app = with_ledger().await;
    let (admin, user) = (admin(), TestUser::new());
    app.get(&user, "/api/credits").await;
    let given = give(&app, &admin, &user, 50).await;
    assert_eq!((given.status.as_u16(), &given.body["new_balance"]), (200, &json!(50)));
    assert_eq!(give(&app, &admin, &user, -51).await.status, 400);
    assert_eq!(give(&app, &admin, &user, 0).await.status, 422);
    assert_eq!(give(&app, &admin, &TestUser::new(), 1).await.status, 404);
    assert_eq!(give(&app, &user, &user, 1).await.status, 403);

    let path = format!("/api/credits/admin/users_history?search={}&transaction_filter=GRANT", user.id);
    let history = app.get(&admin, &path).await;
    assert_eq!(
        (history.status.as_u16(), &history.body["pagination"]["total_items"]),
        (200, &json!(1)),
        "{}",
        history.text
    );
    let entry = &history.body["history"][0];
    assert_eq!(
        (&entry["transaction_key"], text(entry, "user_email")),
        (&given.body["transaction_key"], user.email.as_str())
    );
    assert_eq!(text(entry, "admin_email"), admin.email);
    assert_eq!(app.get(&user, &path).await.status, 403);
}

#[tokio::test]
async fn rules_of_the_automatic_top_up() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    assert_eq!(
        app.get(&user, "/api/credits/auto-top-up").await.body,
        json!({"amount": 0, "threshold": 0})
    );
    let set = |amount: i64, threshold: i64| app.post(&user, "/api/credits/auto-top-up", json!({"amount": amount, "threshold": threshold}));
    for (amount, threshold) in [(500, -1), (1, 0), (499, 0), (-1, 0), (500, 501)] {
        let refused = set(amount, threshold).await;
        assert_eq!(
            (refused.status.as_u16(), refused.body["detail"].is_string()),
            (422, true),
            "{amount} {threshold}"
        );
    }
    assert_eq!(set(1000, 500).await.body, json!("Auto top-up settings updated"));
    assert_eq!(
        app.get(&user, "/api/credits/auto-top-up").await.body,
        json!({"amount": 1000, "threshold": 500})
    );
    assert_eq!(app.get(&TestUser::new(), "/api/credits/auto-top-up").await.body["amount"], 0);
    let body = app
        .request(Method::POST, "/api/credits/auto-top-up")
        .by(&user)
        .json(&Value::Null)
        .send()
        .await;
    assert_eq!(body.status, 422);
}
