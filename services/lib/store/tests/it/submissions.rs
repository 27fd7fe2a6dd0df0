use std::collections::HashSet;
use std::time::Duration;

use model::ExecutionStatus;
use serde_json::json;
use store::{Accepted, NewRun, PackedRun};

use crate::world::{TestGraph, World, io_blocks, map};

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

impl World {
    /// Submits together: one answer a run.
    async fn accept_together(&self, runs: Vec<NewRun>) -> Vec<store::Result<Accepted>> {
        let packed: Vec<PackedRun> = runs.into_iter().map(|run| PackedRun::new(run).unwrap()).collect();
        self.store.accept_runs(&packed.iter().collect::<Vec<_>>(), Duration::ZERO).await
    }
}

fn keyed(graph: TestGraph, key: &str) -> NewRun {
    NewRun {
        idempotency_key: Some(key.to_owned()),
        ..graph.new_run()
    }
}

#[tokio::test]
async fn runs_that_arrive_together_share_a_transaction_and_nothing_else() {
    let world = World::new().await;
    let (one, other) = (world.user_with_graph().await, world.user_with_graph().await);
    let runs: Vec<NewRun> = (0..40)
        .map(|number| if number % 2 == 0 { one.new_run() } else { other.new_run() })
        .collect();
    let ids: Vec<_> = runs.iter().map(|run| (run.id, run.user_id)).collect();
    let accepted = world.accept_together(runs).await;
    let answered: Vec<_> = accepted
        .into_iter()
        .map(|answer| answer.unwrap())
        .map(|accepted| (accepted.execution.id, accepted.execution.user_id))
        .collect();
    assert_eq!(answered, ids);
    assert_eq!(world.number("SELECT count(DISTINCT progress_xid) FROM graph_executions").await, 1);
    let complete = "SELECT count(*) FROM graph_executions g JOIN node_executions n ON n.graph_exec_id = g.id AND n.added_seq = 0
        WHERE (SELECT count(*) FROM node_inputs i WHERE i.node_exec_id = n.id AND i.seq IN (-1, 0)) = 2
          AND EXISTS (SELECT FROM outbox o WHERE o.graph_exec_id = g.id)";
    assert_eq!(world.number(complete).await, 40);
}

#[tokio::test]
async fn the_answer_reads_as_what_is_stored() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let mut run = graph.new_run();
    run.preset_id = Some(uuid::Uuid::new_v4());
    run.nodes_input_masks.insert(graph.other_node, map(json!({"pin": "a\u{0}b"})));
    for run in [
        run,
        NewRun {
            queued: false,
            ..graph.new_run()
        },
    ] {
        let answered = world.store.accept_run(run).await.unwrap().execution;
        let stored = world.store.get_execution_meta(graph.user_id, answered.id).await.unwrap().unwrap();
        assert_eq!(answered, stored);
    }
}

#[tokio::test]
async fn a_key_that_is_taken_concerns_only_its_own_run() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let before = world.keyed_run(graph, "b").await.execution.id;
    let answers = world
        .accept_together(vec![
            keyed(graph, "c"),
            keyed(graph, "b"),
            graph.new_run(),
            keyed(graph, "a"),
            keyed(graph, "c"),
        ])
        .await;
    let answers: Vec<Accepted> = answers.into_iter().map(|answer| answer.unwrap()).collect();
    assert_eq!(
        answers.iter().map(|answer| answer.created).collect::<Vec<_>>(),
        [true, false, true, true, false]
    );
    assert_eq!(answers[1].execution.id, before);
    assert_eq!(answers[4].execution.id, answers[0].execution.id, "the key came twice in one batch");
    for (table, rows) in [
        ("SELECT count(*) FROM graph_executions", 4),
        ("SELECT count(*) FROM node_executions", 4),
        ("SELECT count(*) FROM node_inputs", 8),
        ("SELECT count(*) FROM outbox", 4),
    ] {
        assert_eq!(world.number(table).await, rows, "{table}");
    }
}

#[tokio::test]
async fn batches_with_the_same_keys_in_other_orders_do_not_block_each_other() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let batches = (0..8).map(|turn| {
        let mut runs: Vec<NewRun> = (0..30).map(|key| keyed(graph, &format!("key {key}"))).collect();
        runs.rotate_left(turn * 3);
        if turn % 2 == 1 {
            runs.reverse();
        }
        world.accept_together(runs)
    });
    let answers = futures::future::join_all(batches).await;
    let answers: Vec<Accepted> = answers.into_iter().flatten().map(|answer| answer.unwrap()).collect();
    assert_eq!(answers.iter().filter(|accepted| accepted.created).count(), 30);
    assert_eq!(answers.iter().map(|accepted| accepted.execution.id).collect::<HashSet<_>>().len(), 30);
    assert_eq!(world.store.outbox_length().await.unwrap(), 30);
}

#[tokio::test]
async fn what_one_run_is_refused_for_the_others_do_not_notice() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let mut runs: Vec<NewRun> = (0..20).map(|_| graph.new_run()).collect();
    runs[3].user_id = uuid::Uuid::new_v4();
    runs[11].graph_version = 99;
    runs[19].idempotency_key = Some("k".repeat(2000));
    runs[12].idempotency_key = Some("taken".to_owned());
    world.keyed_run(graph, "taken").await;
    let answers = world.accept_together(runs).await;
    let refused: Vec<(usize, Option<&str>)> = answers
        .iter()
        .enumerate()
        .filter_map(|(place, answer)| Some((place, answer.as_ref().err()?.constraint())))
        .collect();
    assert_eq!(
        refused,
        [
            (3, Some("graph_executions_user_id_fkey")),
            (11, Some("graph_executions_graph_id_graph_version_fkey")),
            (19, Some("graph_executions_idempotency_key_check")),
        ]
    );
    assert_eq!(answers.iter().flatten().filter(|accepted| accepted.created).count(), 16);
    assert_eq!(world.number("SELECT count(*) FROM graph_executions").await, 17);
}

#[tokio::test]
async fn without_a_database_everybody_hears_so() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.store.close().await;
    let answers = world.accept_together((0..3).map(|_| graph.new_run()).collect()).await;
    assert_eq!(answers.len(), 3);
    assert!(answers.iter().all(|answer| answer.as_ref().is_err_and(store::Error::is_unavailable)));
}
