//! From a posted graph to its outputs.

use std::time::Duration;

use contract_tests::client::status;
use contract_tests::graphs::{self, block, link, node};
use serde_json::{Value, json};

use crate::app::app;

const SOON: Duration = Duration::from_secs(20);

#[tokio::test]
async fn a_run_ends_with_its_outputs_statistics_and_node_executions() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::greeting()).await;
    let run = user.execute(graph, json!({"name": "Ada"})).await;
    let execution = user.finished(graph, run, SOON).await;
    assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
    assert_eq!(execution["outputs"], json!({"greeting": ["Hello, Ada!"]}));
    assert_eq!(execution["stats"]["node_exec_count"], 3);
    assert_eq!(execution["stats"]["node_error_count"], 0);
    assert_eq!(execution["inputs"], json!({"name": "Ada"}));
    let nodes = execution["node_executions"].as_array().expect("node executions");
    assert_eq!(nodes.len(), 3);
    assert!(nodes.iter().all(|node| node["status"] == "COMPLETED"), "{execution:#}");
    assert!(execution["started_at"].as_str() <= execution["ended_at"].as_str());
}

#[tokio::test]
async fn runs_of_one_graph_do_not_mix() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::chain(5)).await;
    let runs = futures::future::join_all((0..30).map(|number| {
        let user = user.clone();
        async move { (number, user.execute(graph, json!({"x": format!("value {number}")})).await) }
    }))
    .await;
    for (number, run) in runs {
        let execution = user.finished(graph, run, SOON).await;
        assert_eq!(execution["outputs"], json!({"y": [format!("value {number}")]}), "{execution:#}");
    }
}

#[tokio::test]
async fn every_item_of_a_list_reaches_the_output_in_order() {
    let user = app().user().await;
    let items: Vec<Value> = (0..200).map(Value::from).collect();
    let graph = graphs::graph(
        "steps",
        vec![
            node("in", block::INPUT, json!({"name": "items"})),
            node("each", block::STEP_THROUGH, json!({})),
            node("out", block::OUTPUT, json!({"name": "item"})),
        ],
        vec![link("in.result", "each.items"), link("each.item", "out.value")],
    );
    let graph = user.create_graph(&graph).await;
    let run = user.execute(graph, json!({"items": items})).await;
    let execution = user.finished(graph, run, SOON).await;
    assert_eq!(execution["outputs"]["item"], Value::from(items));
}

#[tokio::test]
async fn a_failed_node_leaves_the_run_completed_and_is_counted() {
    let user = app().user().await;
    let graph = graphs::graph(
        "failing",
        vec![
            node("in", block::INPUT, json!({"name": "template"})),
            node("fill", block::FILL_TEMPLATE, json!({"values": {}})),
            node("out", block::OUTPUT, json!({"name": "text"})),
        ],
        vec![link("in.result", "fill.format"), link("fill.output", "out.value")],
    );
    let graph = user.create_graph(&graph).await;
    let run = user.execute(graph, json!({"template": "{% if %}"})).await;
    let execution = user.finished(graph, run, SOON).await;
    assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
    assert_eq!(execution["stats"]["node_error_count"], 1);
    let nodes = execution["node_executions"].as_array().expect("node executions");
    let failed = nodes.iter().find(|node| node["status"] == "FAILED").expect("a failed node");
    let text = failed["output_data"]["error"][0].as_str().unwrap_or_default();
    assert!(text.starts_with("raised by FillTextTemplateBlock with message: "), "{text}");
}

#[tokio::test]
async fn a_stopped_run_ends_terminated_and_starts_nothing_more() {
    let user = app().user().await;
    let graph = user.create_graph(&graphs::endless()).await;
    let run = user.execute(graph, json!({})).await;
    user.wait_for(graph, run, SOON, |execution| {
        execution["node_executions"].as_array().is_some_and(|nodes| nodes.len() > 10)
    })
    .await;
    let stopped = user.post(&format!("/api/graphs/{graph}/executions/{run}/stop"), &json!({})).await;
    assert!(stopped.status == 200 || stopped.status == 204, "{stopped:?}");
    let execution = user.finished(graph, run, SOON).await;
    assert_eq!(status(&execution), "TERMINATED", "{execution:#}");
    tokio::time::sleep(Duration::from_millis(300)).await;
    let later = user.execution(graph, run).await;
    assert_eq!(later["stats"], execution["stats"]);
    let nodes = later["node_executions"].as_array().expect("node executions");
    assert!(
        nodes.iter().all(|node| node["status"] != "RUNNING" && node["status"] != "QUEUED"),
        "{later:#}"
    );
}

#[tokio::test]
async fn another_user_sees_neither_graph_nor_run() {
    let owner = app().user().await;
    let graph = owner.create_graph(&graphs::greeting()).await;
    let run = owner.execute(graph, json!({"name": "Ada"})).await;
    let stranger = app().user().await;
    assert_eq!(stranger.get(&format!("/api/graphs/{graph}")).await.status, 404);
    assert_eq!(stranger.get(&format!("/api/graphs/{graph}/executions/{run}")).await.status, 404);
    let started = stranger
        .post(&format!("/api/graphs/{graph}/execute/1"), &json!({"inputs": {"name": "Eve"}}))
        .await;
    assert!((400..500).contains(&started.status), "{started:?}");
}
