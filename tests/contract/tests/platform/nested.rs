//! Agents inside agents (internals §2.14).

use std::time::Duration;

use contract_tests::client::{Client, status};
use contract_tests::graphs::{self, block, link, node};
use futures::future::join_all;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::app;

const SOON: Duration = Duration::from_secs(30);

/// The only run of a graph that the user has not started himself.
async fn child_of(user: &Client, graph: Uuid) -> Value {
    let deadline = std::time::Instant::now() + SOON;
    loop {
        let answer = user.get(&format!("/api/graphs/{graph}/executions")).await;
        if let Some(child) = answer.body["executions"].as_array().and_then(|runs| runs.first()) {
            return child.clone();
        }
        assert!(std::time::Instant::now() < deadline, "no run of {graph}: {answer:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test]
async fn an_agent_passes_on_the_outputs_of_another_and_counts_its_nodes() {
    let user = app().user().await;
    let inner = user.create_graph(&graphs::greeting()).await;
    let outer = user.create_graph(&graphs::around(&inner.to_string(), "name", "greeting")).await;
    let run = user.execute(outer, json!({"name": "Ada"})).await;
    let execution = user.finished(outer, run, SOON).await;
    assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
    assert_eq!(execution["outputs"], json!({"result": ["Hello, Ada!"]}));
    // Three nodes here and three there.
    assert_eq!(execution["stats"]["node_exec_count"], 6);
    assert_eq!(child_of(&user, inner).await["status"], "COMPLETED");
}

#[tokio::test]
async fn the_outputs_of_an_agent_come_in_their_order_although_their_nodes_run_side_by_side() {
    let user = app().user().await;
    let inner = graphs::graph(
        "each",
        vec![
            node("in", block::INPUT, json!({"name": "items"})),
            node("each", block::STEP_THROUGH, json!({})),
            node("out", block::OUTPUT, json!({"name": "item"})),
        ],
        vec![link("in.result", "each.items"), link("each.item", "out.value")],
    );
    let inner = user.create_graph(&inner).await;
    let outer = user.create_graph(&graphs::around(&inner.to_string(), "items", "item")).await;
    let items: Vec<Value> = (0..200).map(Value::from).collect();
    let run = user.execute(outer, json!({"items": items})).await;
    let execution = user.finished(outer, run, SOON).await;
    assert_eq!(execution["outputs"]["result"], Value::from(items));
}

#[tokio::test]
async fn more_parents_than_slots_do_not_keep_their_children_from_running() {
    let user = app().user().await;
    let inner = user.create_graph(&graphs::greeting()).await;
    let middle = user.create_graph(&graphs::around(&inner.to_string(), "name", "greeting")).await;
    let outer = user.create_graph(&graphs::around(&middle.to_string(), "name", "result")).await;
    let runs = join_all((0..40).map(|number| {
        let user = user.clone();
        async move { (number, user.execute(outer, json!({"name": format!("{number}")})).await) }
    }))
    .await;
    for (number, run) in runs {
        let execution = user.finished(outer, run, Duration::from_secs(60)).await;
        assert_eq!(execution["outputs"], json!({"result": [format!("Hello, {number}!")]}), "{execution:#}");
    }
}

#[tokio::test]
async fn stopping_a_run_stops_the_runs_inside_it() {
    let user = app().user().await;
    let inner = user.create_graph(&graphs::endless()).await;
    let outer = user.create_graph(&graphs::around(&inner.to_string(), "start", "none")).await;
    let run = user.execute(outer, json!({"start": "x"})).await;
    let child = child_of(&user, inner).await;
    let child_id: Uuid = child["id"].as_str().and_then(|id| id.parse().ok()).expect("an id");
    user.wait_for(inner, child_id, SOON, |execution| status(execution) == "RUNNING").await;
    let answer = user.post(&format!("/api/graphs/{outer}/executions/{run}/stop"), &json!({})).await;
    assert_eq!(answer.status, 200, "{answer:?}");
    assert_eq!(status(&user.execution(outer, run).await), "TERMINATED");
    // The answer came after the end of all of them.
    assert_eq!(status(&user.execution(inner, child_id).await), "TERMINATED");
}

#[tokio::test]
async fn an_agent_that_runs_itself_comes_to_an_end() {
    let user = app().user().await;
    let mut graph = graphs::around("self", "name", "result");
    graph["id"] = json!("self");
    let graph = user.create_graph(&graph).await;
    let run = user.execute(graph, json!({"name": "x"})).await;
    let execution = user.finished(graph, run, Duration::from_secs(60)).await;
    assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
    let answer = user.get(&format!("/api/graphs/{graph}/executions?page_size=100")).await;
    let runs = answer.body["executions"].as_array().map(Vec::len);
    assert_eq!(runs, Some(17), "sixteen runs above the last one: {answer:?}");
}

#[tokio::test]
async fn an_agent_comes_with_the_agents_that_it_runs_but_not_with_those_of_others() {
    let (user, stranger) = (app().user().await, app().user().await);
    let inner = user.create_graph(&graphs::greeting()).await;
    let middle = user.create_graph(&graphs::around(&inner.to_string(), "name", "greeting")).await;
    let outer = user.create_graph(&graphs::around(&middle.to_string(), "name", "result")).await;
    let bundled = |body: &Value| -> Vec<String> {
        let graphs = body["sub_graphs"].as_array().cloned().unwrap_or_default();
        graphs.iter().filter_map(|graph| Some(graph["id"].as_str()?.to_owned())).collect()
    };
    let answer = user.get(&format!("/api/graphs/{outer}")).await;
    assert_eq!(bundled(&answer.body), [middle.to_string(), inner.to_string()], "{answer:?}");
    let spy = stranger.create_graph(&graphs::around(&inner.to_string(), "name", "greeting")).await;
    let answer = stranger.get(&format!("/api/graphs/{spy}")).await;
    assert!(bundled(&answer.body).is_empty(), "{answer:?}");
    let run = stranger.execute(spy, json!({"name": "Eve"})).await;
    let execution = stranger.finished(spy, run, SOON).await;
    assert_eq!((&execution["outputs"], &execution["stats"]["node_error_count"]), (&json!({}), &json!(1)));
}

#[tokio::test]
async fn an_inner_agent_that_is_gone_fails_its_node_with_the_reason() {
    let user = app().user().await;
    let outer = user.create_graph(&graphs::around(&Uuid::new_v4().to_string(), "name", "greeting")).await;
    let run = user.execute(outer, json!({"name": "Ada"})).await;
    let execution = user.finished(outer, run, SOON).await;
    assert_eq!(execution["stats"]["node_error_count"], 1, "{execution:#}");
    let nodes = execution["node_executions"].as_array().expect("node executions");
    let error = nodes.iter().find_map(|node| node["output_data"]["error"][0].as_str()).unwrap_or_default();
    assert!(error.contains("not found") && error.contains("AgentExecutorBlock"), "{error}");
}
