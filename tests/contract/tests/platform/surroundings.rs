//! What a run leaves around itself: live events, a notification, metrics.

use std::collections::HashMap;
use std::time::Duration;

use contract_tests::client::{Client, TERMINAL, status, token};
use contract_tests::graphs::{self, block, link, node};
use contract_tests::process;
use futures::{SinkExt, StreamExt};
use reqwest::Method;
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

use crate::app::app;

const SOON: Duration = Duration::from_secs(20);

pub type Socket = WebSocketStream<MaybeTlsStream<tokio::net::TcpStream>>;

/// A socket that has asked for nothing yet.
pub async fn connect(user: &Client) -> Socket {
    let base = process::url(&app().variables, "WEBSOCKET_SERVER_PORT").replace("http", "ws");
    let connected = connect_async(format!("{base}/ws?token={}", token(user.user))).await;
    connected.expect("the handshake").0
}

/// A socket that follows all runs of a graph.
pub async fn follow(user: &Client, graph: Uuid) -> Socket {
    let mut socket = connect(user).await;
    let subscribe = json!({"method": "subscribe_graph_executions", "data": {"graph_id": graph}});
    socket.send(Message::text(subscribe.to_string())).await.expect("subscribing");
    let answer = frame(&mut socket).await;
    assert_eq!(answer["success"], true, "{answer}");
    socket
}

pub async fn frame(socket: &mut Socket) -> Value {
    let message = tokio::time::timeout(SOON, socket.next())
        .await
        .expect("a frame in time")
        .expect("an open socket")
        .expect("a frame");
    serde_json::from_str(message.to_text().expect("text")).expect("JSON")
}

#[tokio::test]
async fn a_browser_sees_a_run_from_its_start_to_its_outputs() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::greeting()).await;
    let mut socket = follow(&user, graph).await;
    let run = user.execute(graph, json!({"name": "Ada"})).await;
    let mut statuses = Vec::new();
    let last = loop {
        let event = frame(&mut socket).await;
        assert_eq!(event["method"], "graph_execution_event", "{event}");
        let data = event["data"].clone();
        assert_eq!(data["id"], run.to_string());
        let status = data["status"].as_str().unwrap_or_default().to_owned();
        if statuses.last() != Some(&status) {
            statuses.push(status);
        }
        if data["status"] == "COMPLETED" {
            break data;
        }
    };
    // QUEUED is told by whoever submits, and may come before the subscription is complete.
    assert!(statuses.ends_with(&["RUNNING".to_owned(), "COMPLETED".to_owned()]), "{statuses:?}");
    assert_eq!(last["outputs"], json!({"greeting": ["Hello, Ada!"]}));
    assert_eq!(last["stats"]["node_exec_count"], 3);
}

#[tokio::test]
async fn a_finished_run_is_in_its_owners_batch_of_notifications() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::greeting()).await;
    let run = user.execute(graph, json!({"name": "Ada"})).await;
    user.finished(graph, run, SOON).await;
    let database = process::url(&app().variables, "DATABASE_API_PORT");
    let http = reqwest::Client::builder().no_proxy().build().expect("HTTP client");
    let question = json!({"user_id": user.user, "notification_type": "AGENT_RUN"});
    let deadline = std::time::Instant::now() + SOON;
    let batch = loop {
        let answer = http
            .post(format!("{database}/get_user_notification_batch"))
            .json(&question)
            .send()
            .await
            .expect("an answer");
        let batch: Value = answer.json().await.expect("JSON");
        if !batch.is_null() {
            break batch;
        }
        assert!(std::time::Instant::now() < deadline, "no batch");
        tokio::time::sleep(Duration::from_millis(100)).await;
    };
    let data = &batch["notifications"][0]["data"];
    let data = if data["data"].is_object() { &data["data"] } else { data };
    assert_eq!(data["agent_name"], "greeting", "{batch:#}");
    assert_eq!(data["node_count"], 3);
    assert_eq!(data["graph_id"], graph.to_string());
}

#[tokio::test]
async fn the_executor_shows_its_gauges_on_any_path() {
    let base = process::url(&app().variables, "EXECUTION_MANAGER_PORT");
    for path in ["/", "/metrics", "/anything/else"] {
        let text = reqwest::get(format!("{base}{path}"))
            .await
            .expect("an answer")
            .text()
            .await
            .expect("text");
        let gauges: HashMap<&str, f64> = text
            .lines()
            .filter_map(|line| line.split_once(' '))
            .filter_map(|(name, value)| Some((name, value.parse().ok()?)))
            .collect();
        assert!(gauges.contains_key("execution_manager_active_runs"), "{path}: {text}");
        assert_eq!(gauges["execution_manager_pool_size"], 10.0);
        assert!((0.0..=1.0).contains(&gauges["execution_manager_utilization_ratio"]));
    }
}

/// The series of a service by their names, without what carries labels of its own.
async fn series(port_variable: &str) -> HashMap<String, f64> {
    let base = process::url(&app().variables, port_variable);
    let answer = reqwest::get(format!("{base}/metrics")).await.expect("an answer");
    assert_eq!(answer.status(), 200, "{port_variable}");
    let text = answer.text().await.expect("text");
    let pairs = text.lines().filter_map(|line| line.split_once(' '));
    pairs.filter_map(|(name, value)| Some((name.to_owned(), value.parse().ok()?))).collect()
}

#[tokio::test]
async fn what_a_run_did_shows_in_the_metrics_and_whose_it_was_does_not() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::chain(3)).await;
    let run = user.execute(graph, json!({"x": "a"})).await;
    user.finished(graph, run, SOON).await;

    let executor = series("EXECUTION_MANAGER_PORT").await;
    for counted in [
        "execution_manager_claimed_runs_total",
        "execution_manager_queue_seconds_count",
        "execution_manager_run_seconds_count",
        "execution_manager_node_seconds_count",
        "execution_manager_journal_entries_count",
        "execution_manager_journal_runs_count",
    ] {
        assert!(executor.get(counted).is_some_and(|count| *count >= 1.0), "{counted}: {executor:?}");
    }
    for there in ["executor_node_retries_total", "execution_manager_lost_runs_total"] {
        assert!(executor.contains_key(there), "{there}: {executor:?}");
    }
    let manager = series("DATABASE_API_PORT").await;
    for counted in [
        "database_manager_runs_claimed_total",
        "database_manager_journal_batches_total",
        "database_manager_journal_append_seconds_count",
    ] {
        assert!(manager.get(counted).is_some_and(|count| *count >= 1.0), "{counted}: {manager:?}");
    }
    for there in [
        "database_manager_outbox_relayed_total",
        "database_manager_outbox_lag_seconds",
        "database_manager_leases_expired_total",
        "database_manager_runs_requeued_total",
        "database_manager_runs_dead_total",
        "database_manager_runs_past_deadline_total",
    ] {
        assert!(manager.contains_key(there), "{there}: {manager:?}");
    }
    let owners = [user.user, graph, run].map(|id| id.to_string());
    let names = executor.keys().chain(manager.keys());
    let telling: Vec<&String> = names.filter(|name| owners.iter().any(|id| name.contains(id))).collect();
    assert_eq!(telling, Vec::<&String>::new());
}

#[tokio::test]
async fn a_large_value_travels_whole() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::chain(3)).await;
    let value = "ä".repeat(1 << 17);
    let run = user.execute(graph, json!({"x": value})).await;
    let execution = user.finished(graph, run, SOON).await;
    assert!(execution["outputs"] == json!({"y": [value]}), "{}", execution["status"]);
}

#[tokio::test]
async fn ten_mebibytes_reach_several_nodes() {
    let user = app().user().await;
    let names = ["a", "b", "c"];
    let mut nodes = vec![node("in", block::INPUT, json!({"name": "x"}))];
    nodes.extend(names.map(|name| node(name, block::OUTPUT, json!({"name": name}))));
    let links = names.map(|name| link("in.result", &format!("{name}.value"))).to_vec();
    let graph = user.create_graph(&graphs::graph("large", nodes, links)).await;
    let run = user.execute(graph, json!({"x": "x".repeat(10 << 20)})).await;
    // What tells least: each answer has the input.
    let page = format!("/api/graphs/{graph}/executions?page_size=1");
    let deadline = std::time::Instant::now() + Duration::from_secs(240);
    let ended = loop {
        let seen = user.get(&page).await.body["executions"][0].take();
        if TERMINAL.contains(&status(&seen)) {
            break seen;
        }
        assert!(std::time::Instant::now() < deadline, "still {}", status(&seen));
        tokio::time::sleep(Duration::from_secs(3)).await;
    };
    assert_eq!((&ended["id"], status(&ended)), (&json!(run), "COMPLETED"));
    assert_eq!(
        (&ended["stats"]["node_exec_count"], &ended["stats"]["node_error_count"]),
        (&json!(4), &json!(0))
    );
}

#[tokio::test]
async fn a_completed_step_is_told_to_the_tabs_of_the_user_once() {
    let user = app().user().await;
    let mut socket = follow(&user, Uuid::new_v4()).await;
    let mut other = follow(&app().user().await, Uuid::new_v4()).await;
    for steps in [json!(["WELCOME"]), json!(["WELCOME", "BUILDER_OPEN"])] {
        let patched = user.send(Method::PATCH, "/api/onboarding", Some(&json!({"completedSteps": steps}))).await;
        assert_eq!(patched.status, 200, "{patched:?}");
    }
    for step in ["WELCOME", "BUILDER_OPEN"] {
        let told = json!({"type": "onboarding", "event": "step_completed", "step": step});
        let frame = frame(&mut socket).await;
        assert_eq!(
            frame,
            json!({"method": "notification", "data": told, "success": null, "channel": null, "error": null})
        );
    }
    other
        .send(Message::text(json!({"method": "heartbeat", "data": "ping"}).to_string()))
        .await
        .expect("sending");
    assert_eq!(frame(&mut other).await["data"], "pong", "nobody else hears of it");
}
