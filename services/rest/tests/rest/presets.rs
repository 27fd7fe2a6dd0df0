//! Presets: kept, changed, run.

use http::Method;
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

async fn preset(app: &TestApp, user: &TestUser, graph: &Value) -> Value {
    let body = json!({"graph_id": graph["id"], "graph_version": graph["version"], "inputs": {"x": "kept"}, "credentials": {},
                      "name": "Mine", "description": "d"});
    let answer = app.post(user, "/api/library/presets", body).await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

#[tokio::test]
async fn a_preset_is_kept_listed_changed_and_forgotten() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let preset = preset(&app, &user, &graph).await;
    assert_eq!(
        (&preset["is_active"], &preset["webhook"], &preset["webhook_id"]),
        (&json!(true), &Value::Null, &Value::Null)
    );
    assert_eq!((&preset["inputs"], &preset["user_id"]), (&json!({"x": "kept"}), &json!(user.id)));

    let path = format!("/api/library/presets/{}", text(&preset, "id"));
    assert_eq!(app.get(&user, &path).await.body, preset);
    for query in [format!("graph_id={}", text(&graph, "id")), "graph_id=".to_owned()] {
        let page = app.get(&user, &format!("/api/library/presets?{query}&page=1&page_size=100")).await.body;
        assert_eq!(page["presets"], json!([preset]));
        assert_eq!(
            page["pagination"],
            json!({"total_items": 1, "total_pages": 1, "current_page": 1, "page_size": 100})
        );
    }
    let without = app.get(&user, "/api/library/presets").await;
    assert_eq!(
        (without.status.as_u16(), &without.body["detail"][0]["loc"]),
        (422, &json!(["query", "graph_id"]))
    );
    assert_eq!(app.get(&user, "/api/library/presets?graph_id=x").await.body["presets"], json!([]));

    let patch = |user, body: Value| app.request(Method::PATCH, &path).by(user).json(&body).send();
    let changed = patch(&user, json!({"name": "New", "inputs": {"x": 2}, "description": null, "is_active": false})).await;
    assert_eq!(changed.status, 200, "{}", changed.text);
    assert_eq!(
        (
            &changed.body["name"],
            &changed.body["inputs"],
            &changed.body["description"],
            &changed.body["is_active"]
        ),
        (&json!("New"), &json!({"x": 2}), &json!("d"), &json!(false))
    );
    let stranger = TestUser::new();
    assert_eq!(patch(&stranger, json!({"name": "x"})).await.status, 404);
    assert_eq!(app.get(&stranger, &path).await.status, 404);
    assert_eq!(app.get(&stranger, "/api/library/presets?graph_id=").await.body["presets"], json!([]));
    assert_eq!(app.request(Method::DELETE, &path).by(&stranger).send().await.status, 404);
    assert_eq!(app.request(Method::DELETE, &path).by(&user).send().await.status, 204);
    assert_eq!(app.get(&user, &path).await.status, 404);
}

#[tokio::test]
async fn a_preset_runs_with_what_is_given_over_what_it_holds() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let preset = preset(&app, &user, &graph).await;
    let path = format!("/api/library/presets/{}/execute", text(&preset, "id"));
    for (body, x) in [(Value::Null, json!("kept")), (json!({"inputs": {"x": 7}}), json!(7))] {
        let run = app.post(&user, &path, body).await;
        assert_eq!(run.status, 200, "{}", run.text);
        assert_eq!(
            (&run.body["status"], &run.body["inputs"]["x"], &run.body["preset_id"]),
            (&json!("QUEUED"), &x, &preset["id"])
        );
    }
    assert_eq!(app.post(&TestUser::new(), &path, Value::Null).await.status, 404);
    let run = format!("/api/graphs/{}/execute/1?preset_id={}", text(&graph, "id"), text(&preset, "id"));
    assert_eq!(app.post(&user, &run, json!({"inputs": {"x": 1}})).await.body["preset_id"], preset["id"]);
    let unknown = format!("/api/graphs/{}/execute/1?preset_id=nothing", text(&graph, "id"));
    assert_eq!(app.post(&user, &unknown, json!({"inputs": {"x": 1}})).await.status, 404);
}

#[tokio::test]
async fn a_preset_is_made_of_a_run() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({"x": [1, 2]})).await;
    let body = json!({"graph_execution_id": run["id"], "name": "n", "description": ""});
    let made = app.post(&user, "/api/library/presets", body.clone()).await;
    assert_eq!(
        (made.status.as_u16(), &made.body["inputs"]),
        (200, &json!({"x": [1, 2]})),
        "{}",
        made.text
    );
    assert_eq!((&made.body["graph_id"], &made.body["graph_version"]), (&graph["id"], &json!(1)));
    assert_eq!(app.post(&TestUser::new(), "/api/library/presets", body).await.status, 404);
}

#[tokio::test]
async fn a_preset_that_cannot_be_is_refused() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let good = json!({"graph_id": graph["id"], "graph_version": 1, "inputs": {}, "credentials": {}, "name": "n", "description": "d"});
    assert_eq!(app.post(&stranger, "/api/library/presets", good.clone()).await.status, 404);
    let mut other = good.clone();
    other["graph_version"] = json!(2);
    assert_eq!(app.post(&user, "/api/library/presets", other).await.status, 404);
    let mut hooked = good.clone();
    hooked["webhook_id"] = json!("w");
    assert_eq!(app.post(&user, "/api/library/presets", hooked).await.status, 404);
    let refused = app.post(&user, "/api/library/presets", json!({"graph_id": 1})).await;
    assert_eq!(refused.status, 422);
    assert_eq!(refused.body["detail"].as_array().unwrap().len(), 6, "{}", refused.text);
}

#[tokio::test]
async fn a_preset_whose_graph_is_gone_says_so() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let preset = preset(&app, &user, &graph).await;
    let deleted = app
        .request(Method::DELETE, &format!("/api/graphs/{}", text(&graph, "id")))
        .by(&user)
        .send()
        .await;
    assert_eq!(deleted.status, 200, "{}", deleted.text);
    let path = format!("/api/library/presets/{}", text(&preset, "id"));
    let patched = app.request(Method::PATCH, &path).by(&user).json(&json!({"name": "x"})).send().await;
    assert_eq!(patched.status, 410);
    assert_eq!(app.post(&user, &format!("{path}/execute"), Value::Null).await.status, 400);
    assert_eq!(app.request(Method::DELETE, &path).by(&user).send().await.status, 204);
}
