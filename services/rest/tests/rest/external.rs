//! `/external-api`: what a program does with a key.

use http::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";

#[tokio::test]
async fn blocks_are_listed_without_prices_and_executed() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let (_, key) = app.api_key(&user, json!(["READ_BLOCK", "EXECUTE_BLOCK"])).await;
    let blocks = app.with_key(Method::GET, "/blocks", &key, Value::Null).await.body;
    let blocks = blocks.as_array().unwrap();
    assert!(!blocks.is_empty() && blocks.iter().all(|block| block.get("costs").is_none() && block.get("id").is_some()));
    let execute = async |id: &str, body: Value| app.with_key(Method::POST, &format!("/blocks/{id}/execute"), &key, body).await;
    let sum = execute(CALCULATOR, json!({"operation": "Add", "a": 2, "b": 3})).await;
    assert_eq!((sum.status.as_u16(), &sum.body), (200, &json!({"result": [5.0]})), "{}", sum.text);
    let missing = execute(&Uuid::new_v4().to_string(), json!({})).await;
    assert_eq!(missing.status, 404);
    let bad = execute(CALCULATOR, json!({"operation": "Add"})).await;
    assert_eq!(bad.status, 400, "{}", bad.text);
    assert_eq!(bad.body.as_object().unwrap().keys().collect::<Vec<_>>(), ["detail"]);
    let malformed = execute(CALCULATOR, json!([])).await;
    assert_eq!(
        (malformed.status.as_u16(), malformed.body["detail"].is_array()),
        (422, true),
        "{}",
        malformed.text
    );
    assert_eq!(malformed.body.as_object().unwrap().len(), 1);
}

#[tokio::test]
async fn a_graph_is_run_and_its_results_are_read() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let (_, key) = app.api_key(&user, json!(["EXECUTE_GRAPH", "READ_GRAPH"])).await;
    let id = text(&graph, "id");
    let execute = async |path: String, body: Value| app.with_key(Method::POST, &path, &key, body).await;
    let started = execute(format!("/graphs/{id}/execute/1"), json!({"node_input": {"x": 5}})).await;
    assert_eq!(started.status, 200, "{}", started.text);
    assert_eq!(started.body.as_object().unwrap().keys().collect::<Vec<_>>(), ["id"]);
    let run = text(&started.body, "id");
    let results = app
        .with_key(Method::GET, &format!("/graphs/{id}/executions/{run}/results"), &key, Value::Null)
        .await;
    assert_eq!(
        (&results.body["status"], &results.body["output"]),
        (&json!("QUEUED"), &Value::Null),
        "{}",
        results.text
    );
    assert_eq!(
        (&results.body["execution_id"], &results.body["nodes"][0]["input"]),
        (&json!(run), &json!(5))
    );

    for path in [
        format!("/graphs/{id}/execute/99"),
        format!("/graphs/{}/execute/1", Uuid::new_v4()),
        "/graphs/x/execute/1".to_owned(),
    ] {
        let answer = execute(path.clone(), json!({})).await;
        assert_eq!(
            (answer.status.as_u16(), answer.body["detail"].is_string()),
            (400, true),
            "{path}: {}",
            answer.text
        );
    }
    // Another user's key does not see the run.
    let stranger = TestUser::new();
    let (_, strange) = app.api_key(&stranger, json!(["EXECUTE_GRAPH", "READ_GRAPH"])).await;
    let path = format!("/graphs/{id}/executions/{run}/results");
    assert_eq!(app.with_key(Method::GET, &path, &strange, Value::Null).await.status, 404);
    assert_eq!(
        app.with_key(Method::POST, &format!("/graphs/{id}/execute/1"), &strange, json!({}))
            .await
            .status,
        400
    );
}

#[tokio::test]
async fn credentials_are_managed_with_the_permission_for_it() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let (_, key) = app
        .api_key(&user, json!(["MANAGE_INTEGRATIONS", "READ_INTEGRATIONS", "DELETE_INTEGRATIONS"]))
        .await;
    let created = app
        .with_key(
            Method::POST,
            "/integrations/openai/credentials",
            &key,
            json!({"type": "api_key", "api_key": "sk-secret"}),
        )
        .await;
    assert_eq!(created.status, 201, "{}", created.text);
    assert!(!created.text.contains("secret"), "{}", created.text);
    let id = text(&created.body, "id");
    let listed = app.with_key(Method::GET, "/integrations/credentials", &key, Value::Null).await.body;
    assert_eq!(listed[0]["id"], json!(id));
    assert_eq!(
        app.with_key(Method::GET, "/integrations/openai/credentials", &key, Value::Null)
            .await
            .body,
        listed
    );
    assert_eq!(app.with_key(Method::GET, "/integrations/providers", &key, Value::Null).await.status, 200);
    let login = json!({"callback_url": "http://localhost:3000/back"});
    let path = "/integrations/google/oauth/initiate";
    assert_eq!(app.with_key(Method::POST, path, &key, login).await.status, 501, "no client is configured");
    let (_, reader) = app.api_key(&user, json!(["READ_INTEGRATIONS"])).await;
    let path = format!("/integrations/openai/credentials/{id}");
    assert_eq!(app.with_key(Method::DELETE, &path, &reader, Value::Null).await.status, 403);
    assert_eq!(app.with_key(Method::DELETE, &path, &key, Value::Null).await.body["deleted"], true);
    assert_eq!(app.with_key(Method::DELETE, &path, &key, Value::Null).await.status, 404);
}

#[tokio::test]
async fn every_described_operation_is_there_and_takes_a_key() {
    let app = TestApp::start().await;
    let described = app.request(Method::GET, "/external-api/openapi.json").send().await.body;
    let mut count = 0;
    for (path, item) in described["paths"].as_object().unwrap() {
        let parts = path.split('/').map(|part| if part.starts_with('{') { "0" } else { part });
        let address = parts.collect::<Vec<_>>().join("/");
        for method in item.as_object().unwrap().keys() {
            let method: Method = method.to_uppercase().parse().unwrap();
            let answer = app.request(method.clone(), &address).send().await;
            assert_eq!(answer.refusal(), (401, &json!("Missing API key")), "{method} {path}");
            let empty = app.request(method.clone(), &address).header("x-api-key", "").send().await;
            assert_eq!(empty.refusal(), (401, &json!("Missing API key")), "{method} {path}");
            count += 1;
        }
    }
    assert_eq!(count, 17);
}
