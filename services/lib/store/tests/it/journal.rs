use std::time::Duration;

use model::{AppendOutcome, ClaimedRun, ExecutionStatus, JournalEntry, NodeStats, StoredStats, Timestamp};
use serde_json::json;
use uuid::Uuid;

use crate::world::{World, applied, batch, created, input, io_blocks, map, node_status, output, run_status};

use ExecutionStatus::{Completed, Failed, Queued, Running, Terminated};

#[tokio::test]
async fn a_run_from_begin_to_end_reads_as_it_was_written() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let (start, sink) = (run.node_executions[0].node_exec_id, Uuid::now_v7());
    let stats = StoredStats {
        cost: 3,
        node_count: 2,
        ..StoredStats::default()
    };
    let entries = vec![
        run_status(Running),
        node_status(start, Running, None),
        output(start, "result", json!({"b": 1, "aa": "x\u{1}y"})),
        created(sink, graph.output_node),
        input(sink, "value", json!([1.5, null])),
        node_status(sink, Queued, Some(json!({"name": "out", "value": [1.5, null]}))),
        node_status(start, Completed, None),
    ];
    assert_eq!(world.append(owner, &run, 1, entries).await, applied(8));
    let end = vec![
        node_status(sink, Running, None),
        output(sink, "output", json!("formatted")),
        JournalEntry::NodeStatus {
            node_exec_id: sink,
            status: Completed,
            execution_data: None,
            stats: Some(NodeStats {
                output_size: 9,
                ..NodeStats::default()
            }),
            at: Timestamp::now(),
        },
        JournalEntry::RunStatus {
            status: Completed,
            stats: Some(stats),
            at: Timestamp::now(),
        },
    ];
    assert_eq!(world.append(owner, &run, 8, end).await, applied(12));
    let whole = world
        .store
        .get_execution_with_nodes(None, run.graph_exec_id, &io_blocks())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(whole.execution.meta.status, Completed);
    assert_eq!(
        whole.execution.meta.stats.as_ref().map(|stats| (stats.cost, stats.node_exec_count)),
        Some((3, 2))
    );
    assert_eq!(json!(whole.execution.outputs), json!({"out": [[1.5, null]]}));
    let [first, second] = whole.node_executions.as_slice() else {
        panic!("{whole:?}")
    };
    assert_eq!(
        (first.node_exec_id, first.status, first.block_id),
        (start, Completed, crate::world::INPUT_BLOCK)
    );
    // Objects come back in jsonb's key order, control characters are gone (findings 16).
    assert_eq!(serde_json::to_string(&first.output_data).unwrap(), r#"{"result":[{"b":1,"aa":"xy"}]}"#);
    assert_eq!(second.input_data, map(json!({"name": "out", "value": [1.5, null]})));
    assert!(second.start_time.is_some() && second.end_time.is_some());
    assert_eq!(
        world
            .number("SELECT count(*) FROM graph_executions WHERE lease_owner IS NULL AND ended_at IS NOT NULL")
            .await,
        1
    );
}

#[tokio::test]
async fn what_a_run_gives_to_another_comes_in_the_order_of_arrival_whichever_node_ended_first() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let nodes = [Uuid::now_v7(), Uuid::now_v7(), Uuid::now_v7()];
    let mut entries = vec![run_status(Running)];
    for (node, value) in nodes.into_iter().zip(["a", "b", "c"]) {
        entries.push(created(node, graph.output_node));
        entries.push(node_status(node, Queued, Some(json!({"name": "out", "value": value}))));
        entries.push(node_status(node, Running, None));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    // They run side by side, and the last one is the first to end.
    for (node, value) in nodes.into_iter().zip(["A", "B", "C"]).rev() {
        entries.push(output(node, "output", json!(value)));
        entries.push(node_status(node, Completed, None));
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    let next = entries.len() as i64 + 1;
    assert_eq!(world.append(owner, &run, 1, entries).await, applied(next));
    let given = world.store.formatted_outputs(run.graph_exec_id, &io_blocks()).await.unwrap();
    let values: Vec<&str> = given.iter().filter_map(|(_, value)| value.as_str()).collect();
    assert_eq!(values, ["A", "B", "C"]);
}

#[tokio::test]
async fn the_same_range_twice_changes_nothing_and_is_fine() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let node = run.node_executions[0].node_exec_id;
    let entries = vec![run_status(Running), node_status(node, Running, None), output(node, "result", json!(1))];
    assert_eq!(world.append(owner, &run, 1, entries.clone()).await, applied(4));
    assert_eq!(world.append(owner, &run, 1, entries.clone()).await, applied(4));
    // A longer batch that begins before: only its new part counts.
    let mut longer = entries;
    longer.push(output(node, "result", json!(2)));
    assert_eq!(world.append(owner, &run, 1, longer).await, applied(5));
    assert_eq!(world.number("SELECT count(*) FROM node_outputs").await, 2);
}

#[tokio::test]
async fn a_gap_is_answered_with_what_is_expected() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let outcome = world.append(owner, &run, 2, vec![run_status(Running)]).await;
    assert_eq!(outcome, AppendOutcome::Retry { expected_seq: 1 });
    assert_eq!(world.status(run.graph_exec_id).await, Queued);
}

#[tokio::test]
async fn a_zombie_writes_nothing() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let (zombie, heir) = (Uuid::new_v4(), Uuid::new_v4());
    let old = world.claimed_run(graph, zombie).await;
    world.store.release_runs(zombie, &[old.held()]).await.unwrap();
    let new = world.claim(heir, 1).await.pop().unwrap();
    let node = old.node_executions[0].node_exec_id;
    assert_eq!(world.append(zombie, &old, 1, vec![run_status(Running)]).await, AppendOutcome::Stale);
    // Neither with the right epoch and the wrong name.
    assert_eq!(world.append(zombie, &new, 1, vec![run_status(Running)]).await, AppendOutcome::Stale);
    assert_eq!(
        world
            .append(heir, &new, 1, vec![run_status(Running), node_status(node, Running, None)])
            .await,
        applied(3)
    );
}

#[tokio::test]
async fn a_finished_run_never_changes() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let over = vec![run_status(Running), run_status(Completed)];
    assert_eq!(world.append(owner, &run, 1, over.clone()).await, applied(3));
    assert_eq!(world.append(owner, &run, 1, over).await, applied(3));
    assert_eq!(world.append(owner, &run, 3, vec![run_status(Failed)]).await, AppendOutcome::Stale);
    world.store.request_cancel(None, run.graph_exec_id).await.unwrap();
    assert_eq!(world.store.release_runs(owner, &[run.held()]).await.unwrap().requeued, 0);
    assert_eq!(world.status(run.graph_exec_id).await, Completed);
}

#[tokio::test]
async fn one_poisoned_batch_fails_its_own_run_only() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    for _ in 0..3 {
        world.run(graph).await;
    }
    let runs = world.claim(owner, 3).await;
    let ghost = Uuid::now_v7();
    let batches = vec![
        batch(&runs[0], 1, vec![run_status(Running)]),
        batch(&runs[1], 1, vec![run_status(Running), output(ghost, "result", json!(1))]),
        batch(&runs[2], 1, vec![run_status(Running)]),
        batch(&runs[0], 2, vec![run_status(Completed)]),
    ];
    let outcomes = world.store.append_journal(owner, batches).await.unwrap();
    assert_eq!((&outcomes[0], &outcomes[2], &outcomes[3]), (&applied(2), &applied(2), &applied(3)));
    let AppendOutcome::Rejected { reason } = &outcomes[1] else {
        panic!("{outcomes:?}")
    };
    assert!(reason.contains("unknown to its run"), "{reason}");
    assert_eq!(world.status(runs[0].graph_exec_id).await, Completed);
    assert_eq!(world.status(runs[2].graph_exec_id).await, Running);
    let failed = world
        .store
        .get_execution_with_nodes(None, runs[1].graph_exec_id, &io_blocks())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(failed.execution.meta.status, Failed);
    assert_eq!(failed.execution.meta.stats.and_then(|stats| stats.error).as_ref(), Some(reason));
    assert_eq!(failed.node_executions[0].status, Failed);
}

#[tokio::test]
async fn a_status_that_the_stored_one_does_not_allow_fails_the_run() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let node = run.node_executions[0].node_exec_id;
    let jump = vec![run_status(Running), node_status(node, Completed, None)];
    assert!(matches!(world.append(owner, &run, 1, jump).await, AppendOutcome::Rejected { .. }));
    assert_eq!(world.status(run.graph_exec_id).await, Failed);
}

#[tokio::test]
async fn appends_of_the_same_runs_in_different_orders_do_not_deadlock() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    for _ in 0..8 {
        world.run(graph).await;
    }
    let runs = world.claim(owner, 8).await;
    let begin = runs.iter().map(|run| batch(run, 1, vec![run_status(Running)])).collect();
    world.store.append_journal(owner, begin).await.unwrap();
    for round in 0..20 {
        let forward = runs.iter().map(|run| batch(run, 2 + round, vec![run_status(Running)])).collect();
        let backward = runs.iter().rev().map(|run| batch(run, 2 + round, vec![run_status(Running)])).collect();
        let (one, two) = tokio::join!(world.store.append_journal(owner, forward), world.store.append_journal(owner, backward));
        assert!(one.unwrap().iter().chain(&two.unwrap()).all(|outcome| *outcome == applied(3 + round)));
    }
}

#[tokio::test]
async fn the_flag_of_a_cancelled_run_comes_with_the_answer() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    world.store.request_cancel(None, run.graph_exec_id).await.unwrap();
    let outcome = world.append(owner, &run, 1, vec![run_status(Running)]).await;
    assert_eq!(
        outcome,
        AppendOutcome::Applied {
            next_seq: 2,
            cancel_requested: true,
            news: 0
        }
    );
}

fn suspended() -> JournalEntry {
    JournalEntry::Suspended {
        stats: StoredStats::default(),
        at: Timestamp::now(),
    }
}

/// A run that is held, and a run that it has started, claimed as well.
async fn parent_and_child(world: &World, owner: Uuid) -> (ClaimedRun, ClaimedRun) {
    let graph = world.user_with_graph().await;
    let parent = world.claimed_run(graph, owner).await;
    assert_eq!(world.append(owner, &parent, 1, vec![run_status(Running)]).await, applied(2));
    let mut new_run = graph.new_run();
    new_run.parent = Some(parent.graph_exec_id);
    world.store.accept_child(new_run, parent.graph_exec_id, parent.epoch).await.unwrap();
    let child = world.claim(owner, 1).await.pop().unwrap();
    world.sql("DELETE FROM outbox").await;
    (parent, child)
}

#[tokio::test]
async fn the_end_of_a_child_wakes_its_suspended_parent() {
    let world = World::new().await;
    let owner = Uuid::new_v4();
    let (parent, child) = parent_and_child(&world, owner).await;
    assert_eq!(world.append(owner, &parent, 2, vec![suspended()]).await, applied(3));
    assert_eq!(world.store.get_status(parent.graph_exec_id).await.unwrap(), Some(Running));
    assert!(world.claim(owner, 5).await.is_empty(), "nobody is to work on a suspended run");
    assert_eq!(world.store.sweep().await.unwrap().resumed, 0);
    world.append(owner, &child, 1, vec![run_status(Running), run_status(Completed)]).await;
    let taken = world.store.take_outbox().await.unwrap().unwrap();
    assert_eq!(taken.messages[0].graph_exec_id, parent.graph_exec_id);
    drop(taken);
    let again = world.claim(owner, 5).await.pop().unwrap();
    assert_eq!((again.graph_exec_id, again.news, again.next_seq), (parent.graph_exec_id, 1, 3));
}

#[tokio::test]
async fn a_parent_that_is_suspended_after_its_child_has_ended_goes_straight_back_to_the_queue() {
    let world = World::new().await;
    let owner = Uuid::new_v4();
    let (parent, child) = parent_and_child(&world, owner).await;
    world.append(owner, &child, 1, vec![run_status(Running), run_status(Completed)]).await;
    assert_eq!(world.store.renew_lease(owner).await.unwrap().news, [(parent.graph_exec_id, 1)]);
    let outcome = world.append(owner, &parent, 2, vec![suspended()]).await;
    assert!(matches!(outcome, AppendOutcome::Applied { news: 1, .. }), "{outcome:?}");
    assert_eq!(world.claim(owner, 5).await.pop().unwrap().graph_exec_id, parent.graph_exec_id);
}

#[tokio::test]
async fn cancelling_a_suspended_run_ends_it_with_its_children_and_lets_no_further_child_begin() {
    let world = World::new().await;
    let owner = Uuid::new_v4();
    let (parent, child) = parent_and_child(&world, owner).await;
    let mut late = world.user_with_graph().await.new_run();
    late.parent = Some(parent.graph_exec_id);
    world.append(owner, &parent, 2, vec![suspended()]).await;
    world.store.request_cancel(None, parent.graph_exec_id).await.unwrap();
    assert_eq!(world.store.get_status(parent.graph_exec_id).await.unwrap(), Some(Terminated));
    let outcome = world.append(owner, &child, 1, vec![run_status(Running)]).await;
    assert!(matches!(outcome, AppendOutcome::Applied { cancel_requested: true, .. }), "{outcome:?}");
    assert!(world.store.accept_child(late, parent.graph_exec_id, parent.epoch).await.is_err());
    assert!(world.store.is_cancel_requested(parent.graph_exec_id).await.unwrap());
    assert!(
        world.store.is_tree_open(parent.graph_exec_id).await.unwrap(),
        "the child is still at work"
    );
    world.append(owner, &child, 2, vec![run_status(Terminated)]).await;
    assert!(!world.store.is_tree_open(parent.graph_exec_id).await.unwrap());
}
