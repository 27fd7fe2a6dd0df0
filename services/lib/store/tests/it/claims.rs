use std::collections::{HashMap, HashSet};

use model::ExecutionStatus;
use serde_json::json;
use store::ClaimLimits;
use uuid::Uuid;

use crate::world::{World, applied, limits, map, node_status, run_status};

#[tokio::test]
async fn a_claim_hands_over_everything_that_the_run_needs() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    assert_eq!((run.user_id, run.graph_id, run.graph_version), (graph.user_id, graph.id, 1));
    assert_eq!((run.epoch, run.next_seq, run.status), (1, 1, ExecutionStatus::Queued));
    assert_eq!(run.inputs, map(json!({"in": "given"})));
    assert_eq!(run.node_executions.len(), 1);
    let node = &run.node_executions[0];
    assert_eq!(node.node_id, graph.input_node);
    assert_eq!(node.execution_data, Some(map(json!({"name": "in", "value": "given"}))));
    assert!(world.claim(Uuid::new_v4(), 5).await.is_empty());
}

#[tokio::test]
async fn users_are_served_in_turns_however_long_one_queue_is() {
    let world = World::new().await;
    let (busy, quiet) = (world.user_with_graph().await, world.user_with_graph().await);
    for _ in 0..10 {
        world.run(busy).await;
    }
    for _ in 0..2 {
        world.run(quiet).await;
    }
    let runs = world.claim(Uuid::new_v4(), 4).await;
    let of_quiet = runs.iter().filter(|run| run.user_id == quiet.user_id).count();
    assert_eq!((runs.len(), of_quiet), (4, 2));
}

#[tokio::test]
async fn with_one_slot_at_a_time_users_alternate() {
    let world = World::new().await;
    let (one, two) = (world.user_with_graph().await, world.user_with_graph().await);
    for _ in 0..3 {
        world.run(one).await;
        world.run(two).await;
    }
    let owner = Uuid::new_v4();
    let mut served = Vec::new();
    for _ in 0..6 {
        served.push(world.claim(owner, 1).await[0].user_id);
    }
    assert!(served.windows(2).all(|pair| pair[0] != pair[1]), "{served:?}");
}

#[tokio::test]
async fn no_more_than_the_limit_of_one_graph_is_leased_whoever_claims_at_once() {
    let world = World::new().await;
    let user = world.user().await;
    let (crowded, free) = (world.graph(user).await, world.graph(user).await);
    for _ in 0..20 {
        world.run(crowded).await;
    }
    for _ in 0..3 {
        world.run(free).await;
    }
    let limits = ClaimLimits {
        free_slots: 4,
        per_user_and_graph: 5,
    };
    let claims = (0..8).map(|_| world.store.claim(Uuid::new_v4(), "test", limits));
    let mut claimed: HashMap<Uuid, usize> = HashMap::new();
    let mut ids = HashSet::new();
    for runs in futures::future::join_all(claims).await {
        for run in runs.unwrap() {
            *claimed.entry(run.graph_id).or_default() += 1;
            assert!(ids.insert(run.graph_exec_id), "claimed twice");
        }
    }
    // What claims that overlapped left over is there for the next.
    while let Some(run) = world.store.claim(Uuid::new_v4(), "test", limits).await.unwrap().pop() {
        *claimed.entry(run.graph_id).or_default() += 1;
    }
    assert!(claimed[&crowded.id] <= 5, "{claimed:?}");
    assert_eq!(
        world.number("SELECT count(*) FROM graph_executions WHERE lease_owner IS NOT NULL").await,
        8
    );
    assert_eq!(claimed[&free.id], 3);
}

#[tokio::test]
async fn a_slot_that_frees_lets_the_next_run_in() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    for _ in 0..2 {
        world.run(graph).await;
    }
    let owner = Uuid::new_v4();
    let one = ClaimLimits {
        free_slots: 5,
        per_user_and_graph: 1,
    };
    let first = world.store.claim(owner, "test", one).await.unwrap();
    assert_eq!(first.len(), 1);
    assert!(world.store.claim(owner, "test", one).await.unwrap().is_empty());
    let over = vec![run_status(ExecutionStatus::Running), run_status(ExecutionStatus::Completed)];
    assert_eq!(world.append(owner, &first[0], 1, over).await, applied(3));
    assert_eq!(world.store.claim(owner, "test", one).await.unwrap().len(), 1);
}

#[tokio::test]
async fn every_claim_raises_the_epoch_and_continues_the_journal() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let (first, second) = (Uuid::new_v4(), Uuid::new_v4());
    let run = world.claimed_run(graph, first).await;
    let node = run.node_executions[0].node_exec_id;
    let begun = vec![run_status(ExecutionStatus::Running), node_status(node, ExecutionStatus::Running, None)];
    assert_eq!(world.append(first, &run, 1, begun).await, applied(3));
    assert_eq!(world.store.release_runs(first, &[run.held()]).await.unwrap().requeued, 1);
    let again = world.claim(second, 1).await.pop().unwrap();
    assert_eq!((again.graph_exec_id, again.epoch, again.next_seq), (run.graph_exec_id, 2, 3));
    assert_eq!(again.node_executions[0].status, ExecutionStatus::Running);
    assert!(again.started_at.is_some());
}

#[tokio::test]
async fn a_release_that_arrives_late_takes_nothing_from_a_later_claim() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    assert_eq!(world.store.release_runs(owner, &[run.held()]).await.unwrap().requeued, 1);
    let again = world.claim(owner, 1).await.pop().unwrap();
    assert_eq!(world.store.release_runs(owner, &[run.held()]).await.unwrap().requeued, 0);
    assert_eq!(world.store.renew_lease(owner).await.unwrap().owned, [again.held()]);
}

#[tokio::test]
async fn a_renewal_names_what_is_held_and_what_is_cancelled() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    assert!(!world.store.renew_lease(owner).await.unwrap().alive);
    let run = world.claimed_run(graph, owner).await;
    let renewed = world.store.renew_lease(owner).await.unwrap();
    assert!(renewed.alive && renewed.cancelled.is_empty());
    assert_eq!(renewed.owned, [run.held()]);
    let requests = world.store.request_cancel(Some(graph.user_id), run.graph_exec_id).await.unwrap();
    assert!(requests[0].held);
    assert_eq!(requests[0].status, ExecutionStatus::Queued);
    assert_eq!(world.store.renew_lease(owner).await.unwrap().cancelled, [run.graph_exec_id]);
}

#[tokio::test]
async fn without_free_slots_a_claim_only_registers_the_executor() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.run(graph).await;
    let owner = Uuid::new_v4();
    assert!(world.store.claim(owner, "test", limits(0)).await.unwrap().is_empty());
    assert!(world.store.renew_lease(owner).await.unwrap().alive);
}

#[tokio::test]
async fn an_order_that_is_out_of_date_hides_nobody() {
    let world = World::new().await;
    let owner = Uuid::new_v4();
    for _ in 0..5 {
        world.run(world.user_with_graph().await).await;
    }
    // Reads the order of five and uses one of them up.
    assert_eq!(world.claim(owner, 1).await.len(), 1);
    world
        .sql("UPDATE graph_executions SET status = 'TERMINATED', ended_at = now() WHERE lease_owner IS NULL")
        .await;
    let late = world.user_with_graph().await;
    let run = world.run(late).await;
    let claimed = world.claim(owner, 1).await;
    assert_eq!(claimed.iter().map(|run| run.graph_exec_id).collect::<Vec<_>>(), [run]);
    assert!(world.claim(owner, 1).await.is_empty());
}

#[tokio::test]
async fn a_noisy_user_gets_one_turn_a_round_whoever_else_waits() {
    let world = World::new().await;
    let owner = Uuid::new_v4();
    let noisy = world.user().await;
    for _ in 0..4 {
        let graph = world.graph(noisy).await;
        for _ in 0..10 {
            world.run(graph).await;
        }
    }
    let mut quiet = Vec::new();
    for _ in 0..10 {
        let graph = world.user_with_graph().await;
        for _ in 0..3 {
            world.run(graph).await;
        }
        quiet.push(graph.user_id);
    }
    let mut served: HashMap<Uuid, i32> = HashMap::new();
    for round in 1..=3 {
        for _ in 0..11 {
            let run = world.claim(owner, 1).await.pop().unwrap();
            *served.entry(run.user_id).or_default() += 1;
        }
        // What an order still held of the last round may be served early, by no more than one.
        for user in quiet.iter().chain([&noisy]) {
            let turns = served.get(user).copied().unwrap_or_default();
            assert!((turns - round).abs() <= 1, "round {round}: {served:?}");
        }
    }
}
