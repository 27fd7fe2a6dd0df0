//! Deliveries from outside: where a graph's webhook is, what a delivery starts, and what it does not.

use http::Method;
use serde_json::{Value, json};

use crate::app::{Answer, TestApp, TestUser, text};
use crate::graphs::echo;

const TRIGGER: &str = "8fa8c167-2002-47ce-aba8-97572fc5d387";
const BASE: &str = "https://agents.example.test";

fn triggered() -> Value {
    json!({"graph": {"name": "hook", "description": "", "links": [], "nodes": [{"block_id": TRIGGER, "input_default": {"constants": {"c": 1}}}]}})
}

/// A saved graph with a trigger, and the path of its webhook.
async fn listening(app: &TestApp, user: &TestUser) -> (Value, String) {
    let saved = app.post(user, "/api/graphs", triggered()).await;
    assert_eq!(saved.status, 200, "{}", saved.text);
    let path = path_of(&saved.body);
    (saved.body, path)
}

fn path_of(graph: &Value) -> String {
    let url = text(&graph["nodes"][0]["webhook"], "url");
    url.strip_prefix(BASE).unwrap_or_else(|| panic!("{url}")).to_owned()
}

async fn deliver(app: &TestApp, path: &str, name: Option<&str>, body: &str) -> Answer {
    let request = app.request(Method::POST, path);
    match name {
        Some(name) => request.header("webhook-id", name).raw(body).send().await,
        None => request.raw(body).send().await,
    }
}

async fn runs(app: &TestApp, user: &TestUser) -> Vec<Value> {
    app.get(user, "/api/executions").await.body.as_array().unwrap().clone()
}

async fn start() -> TestApp {
    TestApp::builder().set("PLATFORM_BASE_URL", BASE).start().await
}

#[tokio::test]
async fn a_delivery_starts_the_graph_with_its_payload() {
    let app = start().await;
    let user = TestUser::new();
    let (graph, path) = listening(&app, &user).await;
    let webhook = &graph["nodes"][0]["webhook"];
    assert_eq!(
        (&webhook["provider"], &graph["nodes"][0]["webhook_id"]),
        (&json!("generic_webhook"), &webhook["id"])
    );
    let answer = deliver(&app, &path, None, r#"{"event": "push", "n": [1, 2.5]}"#).await;
    assert_eq!((answer.status.as_u16(), &answer.body), (200, &Value::Null), "{}", answer.text);

    let started = runs(&app, &user).await;
    assert_eq!(started.len(), 1);
    let run = format!("/api/graphs/{}/executions/{}", text(&graph, "id"), text(&started[0], "id"));
    let detail = app.get(&user, &run).await.body;
    let input = &detail["node_executions"][0]["input_data"];
    assert_eq!(
        (&input["payload"], &input["constants"]),
        (&json!({"event": "push", "n": [1, 2.5]}), &json!({"c": 1}))
    );
}

#[tokio::test]
async fn a_named_delivery_starts_nothing_twice_even_when_it_comes_at_once() {
    let app = start().await;
    let user = TestUser::new();
    let (_, path) = listening(&app, &user).await;
    let (first, second, third) = tokio::join!(
        deliver(&app, &path, Some("d1"), "{}"),
        deliver(&app, &path, Some("d1"), "{}"),
        deliver(&app, &path, Some("d1"), "{}")
    );
    for answer in [first, second, third] {
        assert_eq!(answer.status, 200, "{}", answer.text);
    }
    assert_eq!(runs(&app, &user).await.len(), 1);
    deliver(&app, &path, Some("d2"), "{}").await;
    deliver(&app, &path, None, "{}").await;
    deliver(&app, &path, None, "").await;
    assert_eq!(runs(&app, &user).await.len(), 4);
}

#[tokio::test]
async fn the_address_outlives_versions_and_only_the_active_one_listens() {
    let app = start().await;
    let user = TestUser::new();
    let (graph, path) = listening(&app, &user).await;
    let graph_path = format!("/api/graphs/{}", text(&graph, "id"));
    let update = app.request(Method::PUT, &graph_path).by(&user).json(&triggered()["graph"]).send().await;
    assert_eq!(update.status, 200, "{}", update.text);
    assert_eq!(path_of(&update.body), path);
    assert_eq!(path_of(&app.get(&user, &graph_path).await.body), path, "a later read shows it too");
    deliver(&app, &path, Some("d1"), "{}").await;
    let started = runs(&app, &user).await;
    assert_eq!((started.len(), &started[0]["graph_version"]), (1, &json!(2)));
}

#[tokio::test]
async fn what_is_no_delivery_starts_nothing() {
    let app = start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let (graph, path) = listening(&app, &user).await;
    for body in ["[1]", "5", "no json", "{\"a\":"] {
        assert_eq!(deliver(&app, &path, None, body).await.status, 400, "{body}");
    }
    let id = text(&graph["nodes"][0]["webhook"], "id");
    for wrong in [
        format!("/api/integrations/github/webhooks/{id}/ingress"),
        format!("/api/integrations/generic_webhook/webhooks/{}/ingress", uuid::Uuid::new_v4()),
        "/api/integrations/generic_webhook/webhooks/x/ingress".to_owned(),
    ] {
        assert_eq!(deliver(&app, &wrong, None, "{}").await.status, 404, "{wrong}");
    }
    assert!(runs(&app, &user).await.is_empty());

    let ping = format!("/api/integrations/webhooks/{id}/ping");
    let own = app.request(Method::POST, &ping).by(&user).send().await;
    assert_eq!((own.status.as_u16(), &own.body), (200, &json!(false)));
    assert_eq!(app.request(Method::POST, &ping).by(&stranger).send().await.status, 404);
    assert_eq!(app.request(Method::POST, &ping).send().await.status, 401);
    let plain = app.graph(&user, echo()).await;
    assert_eq!(plain["nodes"][0]["webhook"], Value::Null);
}
