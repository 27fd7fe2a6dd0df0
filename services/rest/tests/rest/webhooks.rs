//! Deliveries from outside: where a graph's webhook is, what a delivery starts, and what it does not.

use http::Method;
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};

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

/// What a delivery to a preset of the saved graph is set up with.
fn setup(graph: &Value) -> Value {
    json!({"name": "Hooked", "graph_id": graph["id"], "graph_version": graph["version"], "trigger_config": {"constants": {"c": 2}}})
}

/// A preset that deliveries start, and the path of its own webhook.
async fn hooked(app: &TestApp, user: &TestUser, graph: &Value) -> (Value, String) {
    let preset = app.post(user, "/api/library/presets/setup-trigger", setup(graph)).await;
    assert_eq!(preset.status, 200, "{}", preset.text);
    let url = text(&preset.body["webhook"], "url").to_owned();
    (preset.body, url.strip_prefix(BASE).unwrap().to_owned())
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
    // Numbers that only some parsers know, and so much that it would not leave memory for anybody else.
    assert_eq!(deliver(&app, &path, None, r#"{"a": NaN}"#).await.status, 400);
    let many = deliver(&app, &path, None, &format!(r#"{{"a": [{}0]}}"#, "0,".repeat(3_000_000))).await;
    assert_eq!(many.status, 400, "{}", many.text);
    assert!(many.text.contains("more than 2000000 values"), "{}", many.text);
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

#[tokio::test]
async fn a_delivery_starts_a_preset_with_its_configuration_and_its_credentials() {
    let app = start().await;
    let user = TestUser::new();
    let mut graph = triggered()["graph"].clone();
    let request = json!({"id": "2", "block_id": "fff86bcd-e001-4bad-a7f6-2eae4720c8dc", "input_default": {"url": "https://a.test"}});
    graph["nodes"].as_array_mut().unwrap().push(request);
    let graph = app.graph(&user, graph).await;
    let secret = json!({"provider": "http", "type": "host_scoped", "host": "a.test", "headers": {"X-Key": "k"}});
    let secret = app.post(&user, "/api/integrations/http/credentials", secret).await.body;
    let needed = graph["credentials_input_schema"]["properties"]
        .as_object()
        .unwrap()
        .keys()
        .next()
        .unwrap();
    let reference = json!({"id": secret["id"], "title": null, "provider": "http", "type": "host_scoped"});
    let mut body = setup(&graph);
    let without = app.post(&user, "/api/library/presets/setup-trigger", body.clone()).await;
    assert_eq!(without.status, 400, "the run would lack credentials: {}", without.text);
    body["agent_credentials"] = json!({ needed.as_str(): reference });
    let preset = app.post(&user, "/api/library/presets/setup-trigger", body).await;
    assert_eq!(preset.status, 200, "{}", preset.text);
    let preset = preset.body;
    assert_eq!(
        (&preset["inputs"], &preset["is_active"], &preset["webhook"]["id"]),
        (&json!({"constants": {"c": 2}}), &json!(true), &preset["webhook_id"])
    );
    assert_ne!(preset["webhook_id"], graph["nodes"][0]["webhook_id"], "its own address");
    let read = format!("/api/library/presets/{}", text(&preset, "id"));
    assert_eq!(app.get(&user, &read).await.body, preset);
    assert_eq!(app.get(&user, "/api/library/presets?graph_id=").await.body["presets"], json!([preset]));

    let path = text(&preset["webhook"], "url").strip_prefix(BASE).unwrap().to_owned();
    for name in [Some("d1"), Some("d1"), None] {
        assert_eq!(deliver(&app, &path, name, r#"{"n": 1}"#).await.status, 200);
    }
    let started = runs(&app, &user).await;
    assert_eq!(started.len(), 2, "a named delivery starts nothing twice");
    for run in &started {
        assert_eq!(
            (&run["preset_id"], &run["credential_inputs"]),
            (&preset["id"], &json!({ needed.as_str(): reference }))
        );
        let detail = app
            .get(&user, &format!("/api/graphs/{}/executions/{}", text(&graph, "id"), text(run, "id")))
            .await
            .body;
        let nodes = detail["node_executions"].as_array().unwrap();
        let trigger = nodes.iter().find(|node| node["block_id"] == TRIGGER).unwrap();
        assert_eq!(
            (&trigger["input_data"]["payload"], &trigger["input_data"]["constants"]),
            (&json!({"n": 1}), &json!({"c": 2}))
        );
        let request = nodes.iter().find(|node| node["block_id"] != TRIGGER).unwrap();
        assert_eq!(request["input_data"]["credentials"]["id"], secret["id"]);
    }
}

#[tokio::test]
async fn a_presets_address_rests_while_it_is_off_and_ends_with_it() {
    let app = start().await;
    let user = TestUser::new();
    let (graph, graphs_own) = listening(&app, &user).await;
    let (preset, path) = hooked(&app, &user, &graph).await;
    let read = format!("/api/library/presets/{}", text(&preset, "id"));
    let patch = async |body: Value| app.request(Method::PATCH, &read).by(&user).json(&body).send().await;
    assert_eq!(patch(json!({"is_active": false})).await.status, 200);
    assert_eq!(deliver(&app, &path, None, "{}").await.status, 404);
    assert!(runs(&app, &user).await.is_empty());

    let on = patch(json!({"is_active": true, "inputs": {"constants": {"c": 3}}})).await;
    assert_eq!((on.status.as_u16(), &on.body["webhook"]), (200, &preset["webhook"]), "{}", on.text);
    assert_eq!(deliver(&app, &path, None, "{}").await.status, 200);
    let refused = patch(json!({"inputs": {"constants": 5}})).await;
    assert_eq!(refused.status, 400, "{}", refused.text);
    // By hand it runs with the same configuration.
    let by_hand = app.post(&user, &format!("{read}/execute"), Value::Null).await;
    assert_eq!(by_hand.status, 200, "{}", by_hand.text);
    let started = runs(&app, &user).await;
    assert_eq!(started.len(), 2);
    for run in &started {
        let detail = app
            .get(&user, &format!("/api/graphs/{}/executions/{}", text(&graph, "id"), text(run, "id")))
            .await
            .body;
        assert_eq!(detail["node_executions"][0]["input_data"]["constants"], json!({"c": 3}), "{detail}");
    }

    assert_eq!(app.request(Method::DELETE, &read).by(&user).send().await.status, 204);
    assert_eq!(deliver(&app, &path, None, "{}").await.status, 404);
    let mut connection = PgConnection::connect(&app.database).await.unwrap();
    let kept: Vec<String> = sqlx::query_scalar("SELECT id::text FROM webhooks")
        .fetch_all(&mut connection)
        .await
        .unwrap();
    assert_eq!(kept, [text(&graph["nodes"][0], "webhook_id")], "only the graph's own is left");
    assert_eq!(deliver(&app, &graphs_own, None, "{}").await.status, 200);
    assert_eq!(runs(&app, &user).await.len(), 3);
}

#[tokio::test]
async fn addresses_rest_while_the_agent_is_not_in_the_library() {
    let app = start().await;
    let user = TestUser::new();
    let (graph, graphs_own) = listening(&app, &user).await;
    let (_, presets_own) = hooked(&app, &user, &graph).await;
    let of_graph = format!("/api/library/agents/by-graph/{}", text(&graph, "id"));
    let ping = format!("/api/integrations/webhooks/{}/ping", text(&graph["nodes"][0], "webhook_id"));
    let answers = async || {
        let mut statuses = Vec::new();
        for path in [&graphs_own, &presets_own] {
            statuses.push(deliver(&app, path, None, "{}").await.status.as_u16());
        }
        statuses.push(app.request(Method::POST, &ping).by(&user).send().await.status.as_u16());
        statuses
    };
    let entry = app.get(&user, &of_graph).await.body;
    let entry = format!("/api/library/agents/{}", text(&entry, "id"));
    let archive = async |archived: bool| {
        let body = json!({ "is_archived": archived });
        app.request(Method::PATCH, &entry).by(&user).json(&body).send().await.status
    };
    assert_eq!(archive(true).await, 200);
    assert_eq!(answers().await, [404, 404, 404], "archived");
    assert_eq!(archive(false).await, 200);
    assert_eq!(app.request(Method::DELETE, &entry).by(&user).send().await.status, 204);
    assert_eq!(answers().await, [404, 404, 404], "deleted");
    assert!(runs(&app, &user).await.is_empty());

    // Saved again, it is back in the library.
    let path = format!("/api/graphs/{}", text(&graph, "id"));
    let saved = app.request(Method::PUT, &path).by(&user).json(&triggered()["graph"]).send().await;
    assert_eq!((saved.status.as_u16(), path_of(&saved.body)), (200, graphs_own.clone()), "{}", saved.text);
    assert_eq!(answers().await, [200, 200, 200]);
    assert_eq!(runs(&app, &user).await.len(), 2);
}

#[tokio::test]
async fn a_trigger_that_cannot_start_anything_is_refused() {
    let app = start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let (graph, _) = listening(&app, &user).await;
    let set_up = async |user: &TestUser, body: Value| app.post(user, "/api/library/presets/setup-trigger", body).await;
    assert_eq!(set_up(&stranger, setup(&graph)).await.status, 404);
    let changed = |name: &str, value: Value| {
        let mut body = setup(&graph);
        body[name] = value;
        body
    };
    assert_eq!(set_up(&user, changed("graph_version", json!(9))).await.status, 404);
    let plain = app.graph(&user, echo()).await;
    let cases = [
        (setup(&plain), "has no trigger"),
        (changed("trigger_config", json!({"constants": [1]})), "constants"),
        (changed("trigger_config", json!({"colour": 1})), "no setting 'colour'"),
    ];
    for (body, told) in cases {
        let refused = set_up(&user, body).await;
        assert_eq!(refused.status, 400, "{}", refused.text);
        assert!(text(&refused.body, "detail").contains(told), "{}", refused.text);
    }
    let malformed = set_up(&user, json!({"name": 1})).await;
    assert_eq!(
        (malformed.status.as_u16(), malformed.body["detail"].as_array().unwrap().len()),
        (422, 4),
        "{}",
        malformed.text
    );
    assert_eq!(
        app.get(&user, "/api/library/presets?graph_id=").await.body["presets"],
        json!([]),
        "nothing was kept of them"
    );
}

/// Who sets a sender up copies the address as it is shown.
#[tokio::test]
async fn without_a_public_address_the_shown_one_is_of_this_machine() {
    let app = TestApp::builder().set("AGENT_API_PORT", "18907").start().await;
    let user = TestUser::new();
    let saved = app.post(&user, "/api/graphs", triggered()).await;
    let url = text(&saved.body["nodes"][0]["webhook"], "url");
    let path = url.strip_prefix("http://localhost:18907").unwrap_or_else(|| panic!("{url}"));
    assert_eq!(deliver(&app, path, None, "{}").await.status, 200);
    assert_eq!(runs(&app, &user).await.len(), 1);
}
