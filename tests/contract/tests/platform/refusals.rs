//! Bad graphs and bad inputs get a clear answer at the door.

use contract_tests::client::{Answer, Client};
use contract_tests::graphs::{self, block, link, node};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::app;

async fn create(user: &Client, nodes: Vec<Value>, links: Vec<Value>) -> Answer {
    user.post("/api/graphs", &json!({"graph": graphs::graph("refused", nodes, links)})).await
}

/// A 4xx whose body says what is wrong and names what is meant.
fn assert_refused(answer: &Answer, names: &[&str]) {
    assert!((400..500).contains(&answer.status), "{answer:?}");
    let detail = answer.body["detail"].to_string();
    assert!(detail.len() > 10, "no explanation: {answer:?}");
    for name in names {
        assert!(detail.contains(name), "{name} is not named: {answer:?}");
    }
}

#[tokio::test]
async fn an_unknown_block_is_named() {
    let user = app().user().await;
    let unknown = Uuid::new_v4().to_string();
    let answer = create(&user, vec![node("a", &unknown, json!({}))], vec![]).await;
    assert_refused(&answer, &[&unknown]);
}

#[tokio::test]
async fn a_dangling_link_is_refused() {
    let user = app().user().await;
    let nodes = vec![node("out", block::OUTPUT, json!({"name": "y"}))];
    assert_refused(&create(&user, nodes, vec![link("ghost.result", "out.value")]).await, &[]);
}

#[tokio::test]
async fn a_link_to_an_unknown_pin_is_named() {
    let user = app().user().await;
    let nodes = vec![
        node("in", block::INPUT, json!({"name": "x"})),
        node("out", block::OUTPUT, json!({"name": "y"})),
    ];
    assert_refused(&create(&user, nodes, vec![link("in.result", "out.nothing")]).await, &["nothing"]);
}

#[tokio::test]
async fn a_missing_required_input_is_told_per_node() {
    let user = app().user().await;
    let nodes = vec![node("fill", block::FILL_TEMPLATE, json!({"values": {}}))];
    let created = create(&user, nodes, vec![]).await;
    assert_eq!(created.status, 200, "{created:?}");
    let (graph, fill) = (text(&created.body["id"]), text(&created.body["nodes"][0]["id"]));
    let answer = user.post(&format!("/api/graphs/{graph}/execute/1"), &json!({"inputs": {}})).await;
    assert_refused(&answer, &[]);
    assert_eq!(
        answer.body["detail"]["node_errors"][&fill]["format"], "This field is required",
        "{answer:?}"
    );
}

#[tokio::test]
async fn a_cycle_without_a_start_is_refused() {
    let user = app().user().await;
    let nodes = vec![
        node("a", block::FILL_TEMPLATE, json!({"format": "{{v}}"})),
        node("b", block::FILL_TEMPLATE, json!({"format": "{{v}}"})),
    ];
    let links = vec![link("a.output", "b.values_#_v"), link("b.output", "a.values_#_v")];
    let created = create(&user, nodes, links).await;
    assert_eq!(created.status, 200, "{created:?}");
    let graph = text(&created.body["id"]);
    assert_refused(&user.post(&format!("/api/graphs/{graph}/execute/1"), &json!({"inputs": {}})).await, &[]);
}

#[tokio::test]
async fn a_graph_that_does_not_exist_is_neither_shown_nor_run() {
    let user = app().user().await;
    let nothing = Uuid::new_v4();
    assert_eq!(user.get(&format!("/api/graphs/{nothing}")).await.status, 404);
    let answer = user.post(&format!("/api/graphs/{nothing}/execute/1"), &json!({"inputs": {}})).await;
    assert_refused(&answer, &[&nothing.to_string()]);
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_owned()
}
