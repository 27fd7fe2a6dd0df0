//! What the web frontend asks for, page by page (rest.md §3.4, §3.5): sign up, log in, build, run, schedule, watch, log out.

use std::collections::BTreeMap;
use std::time::Duration;

use contract_tests::client::{Answer, Client, status};
use contract_tests::graphs;
use futures::SinkExt;
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use uuid::Uuid;

use crate::app::app;
use crate::surroundings::{Socket, connect, follow, frame};

const SOON: Duration = Duration::from_secs(20);
const PASSWORD: &str = "correct horse battery staple";

/// The authentication service, as the Next server of the frontend calls it.
struct Auth {
    http: reqwest::Client,
    base: String,
}

impl Auth {
    fn new() -> Self {
        runtime::install_tls_provider();
        Self {
            http: reqwest::Client::builder().no_proxy().build().expect("HTTP client"),
            base: format!("{}/auth/v1", app().rest()),
        }
    }

    async fn call(&self, method: Method, path: &str, token: &str, body: Option<Value>) -> Answer {
        let request = self.http.request(method, format!("{}{path}", self.base));
        let request = request
            .header("apikey", "anon")
            .header("X-Supabase-Api-Version", "2024-01-01")
            .bearer_auth(token);
        let request = match body {
            Some(body) => request.json(&body),
            None => request,
        };
        let response = request.send().await.expect("an answer");
        Answer {
            status: response.status().as_u16(),
            body: response.json().await.unwrap_or_default(),
        }
    }

    async fn sign_up(&self, email: &str) -> Answer {
        let body = json!({
            "email": email, "password": PASSWORD, "data": {}, "gotrue_meta_security": {},
            "code_challenge": null, "code_challenge_method": null,
        });
        self.call(Method::POST, "/signup", "anon", Some(body)).await
    }

    async fn log_in(&self, email: &str, password: &str) -> Answer {
        let body = json!({"email": email, "password": password, "gotrue_meta_security": {}});
        self.call(Method::POST, "/token?grant_type=password", "anon", Some(body)).await
    }
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap_or_else(|| panic!("no text {key} in {value:#}"))
}

/// A logged-in tab.
fn tab(session: &Value) -> Client {
    let user = text(&session["user"], "id").parse().expect("a UUID");
    Client::with_token(&app().rest(), user, text(session, "access_token").to_owned())
}

/// Signs a new user up; the session.
async fn signed_up() -> (String, Value) {
    let email = format!("{}@example.test", Uuid::new_v4());
    let session = Auth::new().sign_up(&email).await;
    assert_eq!(session.status, 200, "{session:?}");
    (email, session.body)
}

async fn page(tab: &Client, path: &str) -> Value {
    let answer = tab.get(path).await;
    assert_eq!(answer.status, 200, "{path}: {answer:?}");
    answer.body
}

fn assert_is_session(session: &Value) {
    for key in ["access_token", "refresh_token"] {
        assert!(!text(session, key).is_empty());
    }
    assert_eq!(session["token_type"], "bearer");
    assert_eq!(session["expires_in"], 3600);
    assert!(session["expires_at"].is_i64(), "{session:#}");
    let user = &session["user"];
    assert_eq!((&user["aud"], &user["role"]), (&json!("authenticated"), &json!("authenticated")));
    for key in ["app_metadata", "user_metadata"] {
        assert!(user[key].is_object(), "{user:#}");
    }
    assert!(user["identities"].is_array(), "{user:#}");
}

#[tokio::test]
async fn a_visitor_signs_up_logs_out_and_logs_in_again() {
    let auth = Auth::new();
    let (email, session) = signed_up().await;
    assert_is_session(&session);
    let token = text(&session, "access_token");
    let user = auth.call(Method::GET, "/user", token, None).await;
    assert_eq!((user.status, text(&user.body, "email")), (200, email.as_str()));
    let new = tab(&session);
    assert!(page(&new, "/api/onboarding/enabled").await.is_boolean());
    assert!(page(&new, "/api/onboarding").await["completedSteps"].is_array());

    let again = auth.sign_up(&email).await;
    assert_eq!((again.status, text(&again.body, "error_code")), (422, "user_already_exists"));
    let wrong = auth.log_in(&email, "not the password at all").await;
    assert_eq!((wrong.status, text(&wrong.body, "error_code")), (400, "invalid_credentials"));

    let out = auth.call(Method::POST, "/logout?scope=local", token, None).await;
    assert_eq!(out.status, 204);
    let gone = auth.call(Method::GET, "/user", token, None).await;
    assert!(matches!(gone.status, 401 | 403), "{gone:?}");

    let back = auth.log_in(&email, PASSWORD).await;
    assert_eq!(back.status, 200, "{back:?}");
    assert_is_session(&back.body);
    let tab = tab(&back.body);
    let answer = tab.post("/api/auth/user", &json!({})).await;
    assert_eq!((answer.status, text(&answer.body, "email")), (200, email.as_str()));

    let refresh = json!({"refresh_token": back.body["refresh_token"]});
    let fresh = auth.call(Method::POST, "/token?grant_type=refresh_token", "anon", Some(refresh)).await;
    assert_eq!(fresh.status, 200, "{fresh:?}");
    assert_is_session(&fresh.body);
    assert_ne!(fresh.body["refresh_token"], back.body["refresh_token"]);
}

#[tokio::test]
async fn every_page_of_a_new_user_has_what_it_asks_for() {
    let (_, session) = signed_up().await;
    let tab = tab(&session);
    // In the head of each page.
    assert!(page(&tab, "/api/integrations/providers").await.is_array());
    assert_eq!(page(&tab, "/api/integrations/credentials").await, json!([]));
    let profile = page(&tab, "/api/store/profile").await;
    assert!(profile["links"].is_array() && profile["username"].is_string(), "{profile:#}");
    assert!(page(&tab, "/api/credits").await["credits"].is_i64());
    assert_eq!(page(&tab, "/api/executions").await, json!([]));
    assert_eq!(page(&tab, "/api/library/agents?page_size=100").await["agents"], json!([]));
    // The marketplace, where a login ends.
    assert!(page(&tab, "/api/store/agents?featured=true").await["agents"].is_array());
    assert!(page(&tab, "/api/store/agents?sorted_by=runs&page_size=1000").await["agents"].is_array());
    assert!(page(&tab, "/api/store/creators?featured=true&sorted_by=num_agents").await["creators"].is_array());
    let step = json!({"completedSteps": ["MARKETPLACE_VISIT"]});
    let onboarding = tab.send(Method::PATCH, "/api/onboarding", Some(&step)).await;
    assert_eq!(
        (onboarding.status, &onboarding.body["completedSteps"]),
        (200, &json!(["MARKETPLACE_VISIT"]))
    );
    // Settings.
    let preferences = page(&tab, "/api/auth/user/preferences").await;
    assert!(preferences["preferences"].is_object(), "{preferences:#}");
    assert_eq!(page(&tab, "/api/auth/user/timezone").await["timezone"], "not-set");
    let zone = json!({"timezone": "Europe/Berlin"});
    let set = tab.post("/api/auth/user/timezone", &zone).await;
    assert_eq!((set.status, set.body), (200, zone));
    // Library and monitoring.
    let library = page(&tab, "/api/library/agents?page=1&page_size=8&sort_by=updatedAt").await;
    assert_eq!(library["pagination"]["total_items"], 0);
    assert_eq!(page(&tab, "/api/library/agents/favorites?page=1&page_size=10").await["agents"], json!([]));
    assert_eq!(page(&tab, "/api/schedules").await, json!([]));
    assert!(!page(&tab, "/api/blocks").await.as_array().expect("blocks").is_empty());
    assert_eq!(page(&tab, "/api/graphs").await, json!([]));
}

#[tokio::test]
async fn an_agent_is_built_run_scheduled_watched_and_deleted() {
    let (_, session) = signed_up().await;
    let tab = tab(&session);
    // First save, drag, second save.
    let created = tab.post("/api/graphs", &json!({"graph": graphs::greeting()})).await;
    assert_eq!(created.status, 200, "{created:?}");
    let graph: Uuid = text(&created.body, "id").parse().expect("a UUID");
    let agent = page(&tab, &format!("/api/library/agents/by-graph/{graph}")).await;
    let mut moved = created.body.clone();
    moved["nodes"][0]["metadata"]["position"] = json!({"x": 123.456_789_012_345_67, "y": -0.1});
    let saved = tab.send(Method::PUT, &format!("/api/graphs/{graph}"), Some(&moved)).await;
    assert_eq!((saved.status, &saved.body["version"]), (200, &json!(2)), "{saved:?}");
    let positions: Vec<&Value> = saved.body["nodes"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| &node["metadata"]["position"])
        .collect();
    assert!(positions.contains(&&moved["nodes"][0]["metadata"]["position"]), "{positions:?}");

    // Run with live results.
    let mut socket = follow(&tab, graph).await;
    let run = tab
        .post(
            &format!("/api/graphs/{graph}/execute/2"),
            &json!({"inputs": {"name": "Ada"}, "credentials_inputs": {}}),
        )
        .await;
    assert_eq!((run.status, &run.body["status"]), (200, &json!("QUEUED")), "{run:?}");
    let run: Uuid = text(&run.body, "id").parse().expect("a UUID");
    loop {
        let event = frame(&mut socket).await;
        if event["data"]["status"] == "COMPLETED" {
            assert_eq!(event["data"]["outputs"], json!({"greeting": ["Hello, Ada!"]}));
            break;
        }
    }
    assert_eq!(page(&tab, &format!("/api/review/execution/{run}")).await, json!([]));
    let finished = tab.finished(graph, run, SOON).await;
    assert_eq!(status(&finished), "COMPLETED");

    // The agent's page.
    let agent_id = text(&agent, "id");
    let agent = page(&tab, &format!("/api/library/agents/{agent_id}")).await;
    assert_eq!(
        (text(&agent, "graph_id"), &agent["graph_version"]),
        (graph.to_string().as_str(), &json!(2))
    );
    assert!(agent["input_schema"]["properties"]["name"].is_object(), "{agent:#}");
    assert_eq!(page(&tab, &format!("/api/graphs/{graph}?version=2")).await["version"], 2);
    let runs = page(&tab, &format!("/api/graphs/{graph}/executions?page=1&page_size=20")).await;
    assert_eq!(runs["executions"][0]["id"], run.to_string());
    assert_eq!(page(&tab, &format!("/api/library/presets?graph_id={graph}")).await["presets"], json!([]));

    // A schedule, in Monday-based weekdays: Mondays at nine.
    let schedule = json!({"name": "Mondays", "cron": "0 9 * * 0", "inputs": {"name": "Ada"}, "graph_version": 2});
    let schedule = tab.post(&format!("/api/graphs/{graph}/schedules"), &schedule).await;
    assert_eq!(schedule.status, 200, "{schedule:?}");
    assert!(text(&schedule.body, "next_run_time").ends_with("T09:00:00+00:00"), "{schedule:?}");
    let schedule_id = text(&schedule.body, "id");
    assert_eq!(page(&tab, "/api/schedules").await[0]["id"], schedule_id);
    assert_eq!(page(&tab, &format!("/api/graphs/{graph}/schedules")).await[0]["id"], schedule_id);
    let deleted = tab.send(Method::DELETE, &format!("/api/schedules/{schedule_id}"), None).await;
    assert_eq!((deleted.status, &deleted.body["id"]), (200, &json!(schedule_id)));

    // Away with the run and the agent.
    let deleted = tab.send(Method::DELETE, &format!("/api/executions/{run}"), None).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(page(&tab, "/api/executions").await, json!([]));
    let deleted = tab.send(Method::DELETE, &format!("/api/library/agents/{agent_id}"), None).await;
    assert_eq!(deleted.status, 204);
    assert_eq!(page(&tab, "/api/library/agents?page_size=100").await["agents"], json!([]));
}

/// What the builder knows of the run that it shows: it subscribes to the run, reads it once, and believes the events from then on.
struct Shown {
    socket: Socket,
    status: String,
    /// By node execution.
    nodes: BTreeMap<String, Value>,
}

impl Shown {
    async fn open(tab: &Client, graph: Uuid, run: Uuid) -> Self {
        let mut socket = connect(tab).await;
        let subscribe = json!({"method": "subscribe_graph_execution", "data": {"graph_exec_id": run}});
        socket.send(Message::text(subscribe.to_string())).await.expect("subscribing");
        let answer = frame(&mut socket).await;
        assert_eq!(
            (&answer["method"], &answer["success"]),
            (&json!("subscribe_graph_execution"), &json!(true))
        );
        let (status, nodes) = present(tab, graph, run).await;
        Self { socket, status, nodes }
    }

    async fn watch_until(&mut self, enough: impl Fn(&Self) -> bool) {
        while !enough(self) {
            let event = frame(&mut self.socket).await;
            match text(&event, "method") {
                "node_execution_event" => self.nodes.extend([picture(&event["data"])]),
                "graph_execution_event" => self.status = text(&event["data"], "status").to_owned(),
                other => panic!("a frame that nobody asked for: {other}"),
            }
        }
    }
}

/// Status and nodes of a run as a read shows them.
async fn present(tab: &Client, graph: Uuid, run: Uuid) -> (String, BTreeMap<String, Value>) {
    let read = page(tab, &format!("/api/graphs/{graph}/executions/{run}")).await;
    let nodes = read["node_executions"].as_array().expect("node executions");
    (status(&read).to_owned(), nodes.iter().map(picture).collect())
}

/// What is shown of a node execution, by its id.
fn picture(node: &Value) -> (String, Value) {
    let picture = json!([node["node_id"], node["status"], node["input_data"], node["output_data"]]);
    (text(node, "node_exec_id").to_owned(), picture)
}

#[tokio::test]
async fn the_builder_shows_every_node_of_its_run() {
    let (_, session) = signed_up().await;
    let tab = tab(&session);
    let graph = tab.create_graph(&graphs::chain(5)).await;
    for round in 0..5 {
        let run = tab.execute(graph, json!({"x": format!("value {round}")})).await;
        let mut shown = Shown::open(&tab, graph, run).await;
        shown.watch_until(|shown| shown.status == "COMPLETED").await;
        let (_, nodes) = present(&tab, graph, run).await;
        assert_eq!(nodes.len(), 7);
        assert_eq!(shown.nodes, nodes, "round {round}: what is shown at the end is what there is");
    }
}

#[tokio::test]
async fn the_builder_sees_the_run_that_it_stops_end() {
    let (_, session) = signed_up().await;
    let tab = tab(&session);
    let graph = tab.create_graph(&graphs::endless()).await;
    let run = tab.execute(graph, json!({})).await;
    let mut shown = Shown::open(&tab, graph, run).await;
    shown.watch_until(|shown| shown.nodes.len() > 3).await;
    let stopped = tab.post(&format!("/api/graphs/{graph}/executions/{run}/stop"), &Value::Null).await;
    assert_eq!((stopped.status, &stopped.body["status"]), (200, &json!("RUNNING")), "as it was before");
    shown.watch_until(|shown| shown.status == "TERMINATED").await;
    assert_eq!(present(&tab, graph, run).await.0, "TERMINATED");
}
