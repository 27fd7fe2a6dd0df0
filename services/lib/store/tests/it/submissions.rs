use std::collections::HashSet;

use model::ExecutionStatus;
use serde_json::json;

use crate::world::{World, io_blocks, map};

#[tokio::test]
async fn an_accepted_run_is_queued_with_its_starting_nodes_and_a_wake_up() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let mut new_run = graph.new_run();
    new_run.inputs = map(json!({"in": "a\u{0}b"}));
    new_run.starting_nodes[0].input = map(json!({"name": "in", "value": "a\u{0}b"}));
    let accepted = world.store.accept_run(new_run).await.unwrap();
    assert!(accepted.created);
    assert_eq!(accepted.execution.status, ExecutionStatus::Queued);
    assert_eq!(accepted.execution.inputs, Some(map(json!({"in": "ab"}))));
    assert_eq!(accepted.execution.nodes_input_masks, Some(Default::default()));
    assert_eq!(accepted.execution.credential_inputs, None);
    assert_eq!(accepted.execution.stats, None);
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
    let whole = world
        .store
        .get_execution_with_nodes(Some(graph.user_id), accepted.execution.id, &io_blocks())
        .await;
    let nodes = whole.unwrap().unwrap().node_executions;
    assert_eq!(nodes.len(), 1);
    assert_eq!(nodes[0].status, ExecutionStatus::Queued);
    assert_eq!(nodes[0].input_data, map(json!({"name": "in", "value": "ab"})));
    assert!(nodes[0].queue_time.is_some());
}

#[tokio::test]
async fn the_same_key_is_the_same_run() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let first = world.keyed_run(graph, "slot/1").await;
    let second = world.keyed_run(graph, "slot/1").await;
    assert!(first.created && !second.created);
    assert_eq!(first.execution.id, second.execution.id);
    assert_ne!(world.keyed_run(graph, "slot/2").await.execution.id, first.execution.id);
    assert_eq!(world.store.outbox_length().await.unwrap(), 2);
}

#[tokio::test]
async fn the_same_key_at_the_same_time_is_one_run() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let submissions = (0..16).map(|_| world.keyed_run(graph, "once"));
    let accepted = futures::future::join_all(submissions).await;
    let ids: HashSet<_> = accepted.iter().map(|accepted| accepted.execution.id).collect();
    assert_eq!(ids.len(), 1);
    assert_eq!(accepted.iter().filter(|accepted| accepted.created).count(), 1);
    assert_eq!(world.number("SELECT count(*) FROM node_executions").await, 1);
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
}

#[tokio::test]
async fn a_run_of_an_unknown_user_is_refused_by_name() {
    let world = World::new().await;
    let mut run = world.user_with_graph().await.new_run();
    run.user_id = uuid::Uuid::new_v4();
    let refused = world.store.accept_run(run).await.unwrap_err();
    assert_eq!(refused.constraint(), Some("graph_executions_user_id_fkey"));
}
