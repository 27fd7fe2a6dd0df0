//! Schedules go through the scheduler service.

use http::Method;
use rpc::{RpcError, RpcErrorKind};
use serde_json::json;

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

#[tokio::test]
async fn a_schedule_is_created_listed_and_deleted() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let path = format!("/api/graphs/{}/schedules", text(&graph, "id"));
    // The legacy builder sends no zone and an extra graph_id.
    let body = json!({"graph_id": graph["id"], "name": "Mornings", "cron": "0 9 * * 1", "inputs": {"x": 1}});
    let created = app.post(&user, &path, body).await;
    assert_eq!(created.status, 200, "{}", created.text);
    assert_eq!(
        (&created.body["name"], &created.body["agent_name"]),
        (&json!("Mornings"), &json!("Mornings"))
    );
    assert_eq!((&created.body["graph_version"], &created.body["timezone"]), (&json!(1), &json!("UTC")));
    assert_eq!(created.body["next_run_time"], "2030-01-01T09:00:00+00:00");

    for list in [path.as_str(), "/api/schedules"] {
        assert_eq!(app.get(&user, list).await.body, json!([created.body]), "{list}");
    }
    let stranger = TestUser::new();
    assert_eq!(app.get(&stranger, "/api/schedules").await.body, json!([]));

    let one = format!("/api/schedules/{}", text(&created.body, "id"));
    assert_eq!(app.request(Method::DELETE, &one).by(&stranger).send().await.status, 403);
    assert_eq!(
        app.request(Method::DELETE, &one).by(&user).send().await.body,
        json!({"id": created.body["id"]})
    );
    let again = app.request(Method::DELETE, &one).by(&user).send().await;
    assert_eq!(again.status, 404);
    assert!(again.body["detail"].is_string());
}

#[tokio::test]
async fn the_users_zone_is_taken_when_the_request_names_none() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    app.post(&user, "/api/auth/user/timezone", json!({"timezone": "Asia/Tokyo"})).await;
    let graph = app.graph(&user, echo()).await;
    let path = format!("/api/graphs/{}/schedules", text(&graph, "id"));
    let stored = app.post(&user, &path, json!({"name": "n", "cron": "* * * * *", "inputs": {}})).await;
    assert_eq!(stored.body["timezone"], "Asia/Tokyo");
    let given = app
        .post(
            &user,
            &path,
            json!({"name": "n", "cron": "* * * * *", "inputs": {}, "timezone": "Europe/Rome"}),
        )
        .await;
    assert_eq!(given.body["timezone"], "Europe/Rome");
}

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let body = json!({"name": "n", "cron": "* * * * *", "inputs": {}});
    let path = format!("/api/graphs/{}/schedules", text(&graph, "id"));
    assert_eq!(app.post(&user, "/api/graphs/nope/schedules", body.clone()).await.status, 404);
    assert_eq!(app.post(&TestUser::new(), &path, body.clone()).await.status, 404, "another user's graph");
    let mut unknown_version = body.clone();
    unknown_version["graph_version"] = json!(7);
    assert_eq!(app.post(&user, &path, unknown_version).await.status, 404);
    let incomplete = app.post(&user, &path, json!({"name": "n"})).await;
    assert_eq!(incomplete.status, 422);
    assert_eq!(incomplete.body["detail"].as_array().unwrap().len(), 2);

    app.scheduler.fail_next(RpcError::value("Wrong number of fields; got 1, expected 5"));
    assert_eq!(app.post(&user, &path, body.clone()).await.status, 400);
    app.scheduler.fail_next(RpcError::graph_validation(
        "Graph validation failed: 1 issues on 1 nodes",
        json!({"n": {"text": "This field is required"}}),
    ));
    let invalid = app.post(&user, &path, body.clone()).await;
    assert_eq!(invalid.status, 400);
    assert_eq!(invalid.body["detail"]["node_errors"], json!({"n": {"text": "This field is required"}}));
    app.scheduler.fail_next(RpcError::new(RpcErrorKind::Connection, "no scheduler"));
    assert_eq!(app.post(&user, &path, body).await.status, 503);
}
