//! Users are separate: every operation of the served document is called by a stranger with the ids of somebody else. Nothing
//! of that somebody shows in an answer, and nothing of theirs changes.

use std::collections::BTreeMap;

use http::Method;
use serde_json::{Map, Value, json};
use uuid::Uuid;

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";
const TRIGGER: &str = "8fa8c167-2002-47ce-aba8-97572fc5d387";

/// Operations that answer a stranger otherwise than with 404, if they take an id of somebody's, or than any user, and why that is right.
const OTHERWISE: [(&str, &[u16], &str); 15] = [
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
    ("getV2List presets", &[200], "a list of what the caller has of it: empty"),
    (
        "postV1Execute graph agent",
        &[403, 404],
        "the contract's status for a graph that may not be used (rest.md §2.9), and that of a preset",
    ),
    (
        "postV2ProcessReviewAction",
        &[200],
        "counts what could not be decided and says why (rest.md §2.8)",
    ),
    ("getV2Get execution analytics configuration", &[403], "administrators only"),
    ("postV2Generate execution analytics", &[403], "administrators only"),
    ("postV2Add credits to user", &[403], "administrators only"),
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
    /// Names in the query, and a value for those that must be there.
    query: Vec<(String, Option<Value>)>,
    /// One for each form that the body may have.
    bodies: Vec<Value>,
    /// Whether a body names something of the owner's.
    body_takes_an_id: bool,
}

impl Operation {
    fn takes_an_id(&self, owner: &Owner) -> bool {
        let in_query = self.query.iter().map(|(name, _)| name);
        let mut names = self
            .parameters
            .iter()
            .chain(in_query.filter(|name| owner.ids.contains_key(name.as_str())));
        self.body_takes_an_id || names.any(|name| !PUBLIC.contains(&name.as_str()))
    }
}

fn operations(document: &Value, owner: &Owner) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let parameters = operation["parameters"].as_array();
            let within = |place: &'static str| parameters.into_iter().flatten().filter(move |parameter| parameter["in"] == place);
            let mut sampler = Sampler {
                document,
                owner,
                took_an_id: false,
            };
            let query = within("query").map(|parameter| {
                let needed = (parameter["required"] == true).then(|| sampler.sample(&parameter["schema"]));
                (text(parameter, "name").to_owned(), needed)
            });
            let query = query.collect();
            let schema = &operation["requestBody"]["content"]["application/json"]["schema"];
            operations.push(Operation {
                id: text(operation, "operationId").to_owned(),
                method: method.to_uppercase().parse().unwrap(),
                path: path.clone(),
                parameters: within("path").map(|parameter| text(parameter, "name").to_owned()).collect(),
                query,
                bodies: sampler.bodies(schema),
                body_takes_an_id: sampler.took_an_id,
            });
        }
    }
    operations
}

/// Makes the smallest value that a schema admits, with the owner's ids wherever it has a place for them.
struct Sampler<'a> {
    document: &'a Value,
    owner: &'a Owner,
    took_an_id: bool,
}

impl Sampler<'_> {
    /// One for each form of the body; none without a body.
    fn bodies(&mut self, schema: &Value) -> Vec<Value> {
        let forms = schema["anyOf"].as_array().or_else(|| schema["oneOf"].as_array());
        match forms {
            Some(forms) => forms.iter().filter(|form| form["type"] != "null").map(|form| self.sample(form)).collect(),
            None => schema.is_object().then(|| self.sample(schema)).into_iter().collect(),
        }
    }

    fn sample(&mut self, schema: &Value) -> Value {
        if let Some(reference) = schema["$ref"].as_str() {
            let document = self.document;
            return self.sample(document.pointer(&reference[1..]).unwrap());
        }
        if let Some(fixed) = schema.get("const") {
            return fixed.clone();
        }
        if let Some(words) = schema["enum"].as_array() {
            return words[0].clone();
        }
        for choices in ["anyOf", "oneOf"] {
            if let Some(choices) = schema[choices].as_array() {
                let choice = choices.iter().find(|choice| choice["type"] != "null");
                return choice.map_or(Value::Null, |choice| self.sample(choice));
            }
        }
        let kind = schema["type"]
            .as_str()
            .or_else(|| schema["type"].as_array().and_then(|types| types[0].as_str()));
        match kind {
            Some("string") if schema["format"] == "date-time" => json!("2026-01-02T03:04:05Z"),
            Some("string") => json!(format!("{}@example.test", Uuid::new_v4())),
            Some("integer") => json!(schema["minimum"].as_f64().unwrap_or(1.0) as i64),
            Some("number") => json!(1.5),
            Some("boolean") => json!(false),
            Some("array") => json!([self.sample(&schema["items"])]),
            Some("object") => self.object(schema),
            _ => json!({}),
        }
    }

    /// The fields that must be there, those that are fixed, and those that name something of the owner's.
    fn object(&mut self, schema: &Value) -> Value {
        let required: Vec<&str> = schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        let mut fields = Map::new();
        for (name, inner) in schema["properties"].as_object().into_iter().flatten() {
            // The discriminator of a union has a default, and is needed nevertheless.
            let is_needed = required.contains(&name.as_str()) || inner.get("const").is_some();
            let took_before = std::mem::take(&mut self.took_an_id);
            let mut sample = self.sample(inner);
            if let Some(id) = self.owner.id_in_body(name).filter(|_| sample.is_string()) {
                self.took_an_id = true;
                sample = json!(id);
            }
            if name == "slug" {
                sample = json!("a-slug");
            }
            if is_needed || self.took_an_id {
                fields.insert(name.clone(), sample);
            }
            self.took_an_id |= took_before;
        }
        Value::Object(fields)
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
        let trigger = json!({"name": marker, "description": marker, "nodes": [{"block_id": TRIGGER, "input_default": {}}]});
        let trigger = app.graph(&user, trigger).await;
        let chat = app.post(&user, "/api/chat/sessions", Value::Null).await.body;
        let run_path = format!("/api/graphs/{graph_id}/executions/{}", text(&run, "id"));
        let started = app.get(&user, &run_path).await.body;
        let ids = BTreeMap::from([
            ("library_agent_id", text(&agent, "id").to_owned()),
            ("preset_id", text(&preset, "id").to_owned()),
            ("store_listing_version_id", version_id.clone()),
            ("submission_id", version_id),
            ("username", "somebody".to_owned()),
            ("agent_name", "agent".to_owned()),
            // Nothing is shared, and nothing is there that names a transaction.
            ("share_token", Uuid::new_v4().to_string()),
            ("transaction_key", "key".to_owned()),
            ("webhook_id", text(&trigger["nodes"][0], "webhook_id").to_owned()),
            ("session_id", text(&chat, "id").to_owned()),
            ("node_exec_id", text(&started["node_executions"][0], "node_exec_id").to_owned()),
            ("graph_execution_id", text(&run, "id").to_owned()),
            ("agent_id", graph_id.clone()),
            ("user_id", user.id.to_string()),
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

    /// What a body means by a field of this name; names that people choose for themselves are no ids.
    fn id_in_body(&self, name: &str) -> Option<&str> {
        let id = self.ids.get(name).filter(|id| Uuid::try_parse(id).is_ok())?;
        (!PUBLIC.contains(&name)).then_some(id.as_str())
    }

    /// The address, with whatever of the query names something of the owner's.
    fn path(&self, operation: &Operation) -> String {
        self.address(operation, |_| None)
    }

    /// The address, with all of the query that must be there besides.
    fn whole_path(&self, operation: &Operation) -> String {
        self.address(operation, |needed| needed.and_then(Value::as_str).map(str::to_owned))
    }

    fn address(&self, operation: &Operation, otherwise: impl Fn(Option<&Value>) -> Option<String>) -> String {
        let mut path = operation.path.clone();
        for name in &operation.parameters {
            let value = self.ids.get(name.as_str());
            let value = value.unwrap_or_else(|| panic!("{}: give the owner something that {name} names", operation.id));
            path = path.replace(&format!("{{{name}}}"), value);
        }
        let query = operation.query.iter().filter_map(|(name, needed)| {
            let value = self.ids.get(name.as_str()).cloned().or_else(|| otherwise(needed.as_ref()))?;
            Some(format!("{name}={value}"))
        });
        let query: Vec<String> = query.collect();
        if query.is_empty() { path } else { format!("{path}?{}", query.join("&")) }
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

/// With an address for webhooks and a chat, so that there is one of each. Nobody asks the model anything.
async fn start() -> TestApp {
    let app = TestApp::builder()
        .set("PLATFORM_BASE_URL", "https://agents.example.test")
        .set("CHAT_BASE_URL", "http://127.0.0.1:1/v1")
        .set("CHAT_MODEL", "none");
    app.start().await
}

#[tokio::test]
async fn a_stranger_gets_nothing_and_changes_nothing() {
    let app = start().await;
    let owner = Owner::new(&app).await;
    let document = app.request(Method::GET, "/openapi.json").send().await.body;
    let operations = operations(&document, &owner);
    assert!(operations.len() > 30, "{} operations", operations.len());
    let before = owner.everything(&app, &operations).await;
    let shown = before.values().filter(|answer| answer.to_string().contains(&owner.marker)).count();
    assert!(shown >= 10, "the owner sees the marker in {shown} answers only");

    let (stranger, owner_id) = (TestUser::new(), owner.user.id.to_string());
    let mut problems = Vec::new();
    let mut ids_in_bodies = 0;
    for operation in &operations {
        let bodies = operation.bodies.iter().map(Some).chain(operation.bodies.is_empty().then_some(None));
        ids_in_bodies += usize::from(operation.body_takes_an_id);
        for body in bodies {
            let request = app.request(operation.method.clone(), &owner.whole_path(operation)).by(&stranger);
            let answer = match body {
                Some(body) => request.json(body).send().await,
                None => request.send().await,
            };
            let status = answer.status.as_u16();
            let otherwise = OTHERWISE.iter().find(|(id, ..)| *id == operation.id).map(|(_, statuses, _)| *statuses);
            let expected = match otherwise {
                Some(statuses) => statuses.contains(&status),
                // 501: the platform does not have the operation, whoever asks.
                None if operation.takes_an_id(&owner) => status == 404 || status == 501,
                None => status < 500 && status != 401 || status == 501,
            };
            if !expected {
                problems.push(format!("{} answered {status}: {}", operation.id, answer.text));
            }
            let of_the_owner = [&owner.marker, &owner.user.email, &owner_id];
            if of_the_owner.iter().any(|theirs| answer.text.contains(theirs.as_str())) {
                problems.push(format!("{} shows what is not the stranger's: {}", operation.id, answer.text));
            }
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    assert!(ids_in_bodies >= 8, "only {ids_in_bodies} bodies name something of the owner's");
    let after = owner.everything(&app, &operations).await;
    for (id, answer) in &before {
        assert_eq!(Some(answer), after.get(id), "{id} reads otherwise after a stranger's calls");
    }
    for (id, ..) in OTHERWISE {
        assert!(operations.iter().any(|operation| operation.id == id), "{id} is no operation any more");
    }
}

/// The same with an API key of a stranger. Statuses other than 404 are those of lists, of what everybody may read, and the one of the
/// contract for whatever keeps a run from being accepted.
#[tokio::test]
async fn a_strangers_key_gets_nothing_and_changes_nothing() {
    let app = start().await;
    let owner = Owner::new(&app).await;
    let all = json!([
        "EXECUTE_GRAPH",
        "READ_GRAPH",
        "EXECUTE_BLOCK",
        "READ_BLOCK",
        "READ_STORE",
        "USE_TOOLS",
        "MANAGE_INTEGRATIONS",
        "READ_INTEGRATIONS",
        "DELETE_INTEGRATIONS"
    ]);
    let (_, key) = app.api_key(&TestUser::new(), all).await;
    let internal = app.request(Method::GET, "/openapi.json").send().await.body;
    let internal = operations(&internal, &owner);
    let before = owner.everything(&app, &internal).await;
    let document = app.request(Method::GET, "/external-api/openapi.json").send().await.body;
    let mut problems = Vec::new();
    for operation in operations(&document, &owner) {
        let path = owner.whole_path(&operation);
        let request = app.request(operation.method.clone(), &path).header("X-API-Key", &key);
        let answer = match operation.bodies.first() {
            Some(body) => request.json(body).send().await,
            None => request.send().await,
        };
        let status = answer.status.as_u16();
        let expected = match operation.path.strip_prefix("/external-api/v1") {
            Some("/graphs/{graph_id}/execute/{graph_version}") => status == 400,
            Some("/store/creators/{username}") => status == 200,
            _ if operation.takes_an_id(&owner) => status == 404,
            _ => status < 500 && status != 401 && status != 403 || status == 501,
        };
        if !expected {
            problems.push(format!("{} {path} answered {status}: {}", operation.method, answer.text));
        }
        if answer.text.contains(&owner.marker) || answer.text.contains(&owner.user.id.to_string()) {
            problems.push(format!("{} {path} shows what is not the stranger's: {}", operation.method, answer.text));
        }
    }
    assert!(problems.is_empty(), "{}", problems.join("\n"));
    let after = owner.everything(&app, &internal).await;
    for (id, answer) in &before {
        assert_eq!(Some(answer), after.get(id), "{id} reads otherwise after a stranger's calls");
    }
}
