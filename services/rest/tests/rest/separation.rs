//! Users are separate: every operation of the served document is called by a stranger with the ids of somebody else. Nothing
//! of that somebody shows in an answer, and nothing of theirs changes.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";

/// Operations that answer a stranger otherwise than with 404, if they take an id of somebody's, or than any user, and why that is right.
const OTHERWISE: [(&str, &[u16], &str); 10] = [
    (
        "postV1Handle postmark email webhooks",
        &[401],
        "takes the token of the mail service, no user's",
    ),
    ("getV2Get creator details", &[200], "what its owner shows to everybody"),
    ("postV2Review store submission", &[403], "administrators only"),
    ("getV2Admin download agent file", &[403], "administrators only"),
    ("getV1List graph executions", &[200], "a list of what the caller has of it: empty"),
    (
        "getV1List execution schedules for a graph",
        &[200],
        "a list of what the caller has of it: empty",
    ),
    (
        "postV1Execute graph agent",
        &[403],
        "the contract's status for a graph that may not be used (rest.md §2.9)",
    ),
    ("postV1Stop graph execution", &[200], "null: there is nothing to stop (rest.md §2.6)"),
    (
        "getV2Get pending reviews for execution",
        &[403],
        "the contract's status, also when there is no such run (rest.md §1)",
    ),
    (
        "deleteV1Delete execution schedule",
        &[403],
        "the contract's status for a foreign schedule (rest.md §2.9)",
    ),
];

/// Parameters that name nothing of anybody's.
const PUBLIC: [&str; 4] = ["block_id", "provider", "version", "graph_version"];

struct Operation {
    id: String,
    method: Method,
    path: String,
    parameters: Vec<String>,
    body: Option<Value>,
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array().into_iter().flatten();
            let in_path = parameters.filter(|parameter| parameter["in"] == "path");
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            operations.push(Operation {
                id: text(operation, "operationId").to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                parameters: in_path.map(|parameter| text(parameter, "name").to_owned()).collect(),
                body: schema.is_object().then(|| sample(document, schema)),
            });
        }
    }
    operations
}

/// The smallest value that a schema admits.
fn sample(document: &Value, schema: &Value) -> Value {
    if let Some(reference) = schema["$ref"].as_str() {
        return sample(document, document.pointer(&reference[1..]).unwrap());
    }
    if let Some(fixed) = schema.get("const") {
        return fixed.clone();
    }
    if let Some(words) = schema["enum"].as_array() {
        return words[0].clone();
    }
    // The second of the credentials' kinds is the one with a key.
    for choices in ["anyOf", "oneOf"] {
        if let Some(choices) = schema[choices].as_array() {
            let choice = choices
                .iter()
                .filter(|choice| choice["type"] != "null")
                .nth(usize::from(schema.get("discriminator").is_some()));
            return choice.map_or(Value::Null, |choice| sample(document, choice));
        }
    }
    let kind = schema["type"]
        .as_str()
        .or_else(|| schema["type"].as_array().and_then(|types| types[0].as_str()));
    match kind {
        Some("string") if schema["format"] == "email" => json!(format!("{}@example.test", Uuid::new_v4())),
        Some("string") if schema["format"] == "date-time" => json!("2026-01-02T03:04:05Z"),
        Some("string") => json!(format!("{}@example.test", Uuid::new_v4())),
        Some("integer") => json!(schema["minimum"].as_f64().unwrap_or(1.0) as i64),
        Some("number") => json!(1.5),
        Some("boolean") => json!(false),
        Some("array") => json!([sample(document, &schema["items"])]),
        Some("object") => {
            let required = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str);
            // The discriminator of a union has a default, and is needed nevertheless.
            let fixed = schema["properties"]
                .as_object()
                .into_iter()
                .flatten()
                .filter(|(_, inner)| inner.get("const").is_some());
            let names: Vec<&str> = required.chain(fixed.map(|(name, _)| name.as_str())).collect();
            let fields = names
                .into_iter()
                .map(|name| (name.to_owned(), sample(document, &schema["properties"][name])));
            Value::Object(fields.collect::<Map<_, _>>())
        }
        _ => json!({}),
    }
}

/// Somebody with one of everything. All of it carries the marker, and nothing else does.
struct Owner {
    user: TestUser,
    marker: String,
    ids: BTreeMap<&'static str, String>,
}

impl Owner {
    async fn new(app: &TestApp) -> Self {
        let (user, marker) = (TestUser::new(), format!("marker-{}", Uuid::new_v4().simple()));
        let mut graph = echo();
        graph["description"] = json!(marker);
        let graph = app.graph(&user, graph).await;
        let run = app.run(&user, &graph, json!({ "x": marker })).await;
        let graph_id = text(&graph, "id").to_owned();
        let schedule = json!({"name": marker, "cron": "0 9 * * 1", "inputs": {"x": 1}});
        let schedule = app.post(&user, &format!("/api/graphs/{graph_id}/schedules"), schedule).await.body;
        let key = app.post(&user, "/api/api-keys", json!({"name": marker, "permissions": []})).await.body;
        let credential = json!({"provider": "openai", "type": "api_key", "title": marker, "api_key": marker});
        let credential = app.post(&user, "/api/integrations/openai/credentials", credential).await.body;
        let profile = json!({"name": "Somebody", "username": "somebody", "description": "", "links": [], "avatar_url": ""});
        app.post(&user, "/api/store/profile", profile).await;
        let agent = app.get(&user, &format!("/api/library/agents/by-graph/{graph_id}")).await.body;
        let preset = json!({"graph_id": graph_id, "graph_version": 1, "inputs": {}, "credentials": {}, "name": marker, "description": marker});
        let preset = app.post(&user, "/api/library/presets", preset).await.body;
        let submission = json!({"agent_id": graph_id, "agent_version": 1, "slug": "agent", "name": marker, "sub_heading": marker});
        let submission = app.post(&user, "/api/store/submissions", submission).await.body;
        let version_id = text(&submission, "store_listing_version_id").to_owned();
        let ids = BTreeMap::from([
            ("library_agent_id", text(&agent, "id").to_owned()),
            ("preset_id", text(&preset, "id").to_owned()),
            ("store_listing_version_id", version_id.clone()),
            ("submission_id", version_id),
            ("username", "somebody".to_owned()),
            ("agent_name", "agent".to_owned()),
            // Nothing is shared, and the operations that name these are not there.
            ("share_token", Uuid::new_v4().to_string()),
            ("transaction_key", "key".to_owned()),
            ("webhook_id", Uuid::new_v4().to_string()),
            ("session_id", Uuid::new_v4().to_string()),
            ("graph_id", graph_id),
            ("graph_version", "1".to_owned()),
            ("version", "1".to_owned()),
            ("graph_exec_id", text(&run, "id").to_owned()),
            ("schedule_id", text(&schedule, "id").to_owned()),
            ("key_id", text(&key["api_key"], "id").to_owned()),
            ("cred_id", text(&credential, "id").to_owned()),
            ("provider", "openai".to_owned()),
            ("block_id", CALCULATOR.to_owned()),
        ]);
        Self { user, marker, ids }
    }

    fn path(&self, operation: &Operation) -> String {
        let mut path = operation.path.clone();
        for name in &operation.parameters {
            let value = self.ids.get(name.as_str());
            let value = value.unwrap_or_else(|| panic!("{}: give the owner something that {name} names", operation.id));
            path = path.replace(&format!("{{{name}}}"), value);
        }
        path
    }

    /// Everything that the owner can read.
    async fn everything(&self, app: &TestApp, operations: &[Operation]) -> BTreeMap<String, Value> {
        let mut read = BTreeMap::new();
        for operation in operations.iter().filter(|operation| operation.method == Method::GET) {
            let mut answer = app.get(&self.user, &self.path(operation)).await;
            // The time of the answer.
            if let Some(body) = answer.body.as_object_mut() {
                body.remove("last_reset_date");
            }
            read.insert(operation.id.clone(), json!([answer.status.as_u16(), answer.body]));
        }
        read
    }
}

#[tokio::test]
async fn a_stranger_gets_nothing_and_changes_nothing() {
    let app = TestApp::start().await;
    let owner = Owner::new(&app).await;
    let document = app.request(Method::GET, "/openapi.json").send().await.body;
    let operations = operations(&document);
    assert!(operations.len() > 30, "{} operations", operations.len());
    let before = owner.everything(&app, &operations).await;
    let shown = before.values().filter(|answer| answer.to_string().contains(&owner.marker)).count();
    assert!(shown >= 10, "the owner sees the marker in {shown} answers only");

    let stranger = TestUser::new();
    let mut problems = Vec::new();
    for operation in &operations {
        let request = app.request(operation.method.clone(), &owner.path(operation)).by(&stranger);
        let answer = match &operation.body {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        };
        let status = answer.status.as_u16();
        let takes_an_id = operation.parameters.iter().any(|name| !PUBLIC.contains(&name.as_str()));
        let otherwise = OTHERWISE.iter().find(|(id, ..)| *id == operation.id).map(|(_, statuses, _)| *statuses);
        let expected = match otherwise {
            Some(statuses) => statuses.contains(&status),
            // 501: the platform does not have the operation, whoever asks.
            None if takes_an_id => status == 404 || status == 501,
            None => status < 500 && status != 401 || status == 501,
        };
        if !expected {
            problems.push(format!("{} answered {status}: {}", operation.id, answer.text));
        }
        if answer.text.contains(&owner.marker) || answer.text.contains(&owner.user.id.to_string()) || answer.text.contains(&owner.user.email) {
            problems.push(format!("{} shows what is not the stranger's: {}", operation.id, answer.text));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let after = owner.everything(&app, &operations).await;
    for (id, answer) in &before {
        assert_eq!(Some(answer), after.get(id), "{id} reads otherwise after a stranger's calls");
    }
    for (id, ..) in OTHERWISE {
        assert!(operations.iter().any(|operation| operation.id == id), "{id} is no operation any more");
    }
}
