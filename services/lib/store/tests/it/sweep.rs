use model::ExecutionStatus;
use store::Swept;
use uuid::Uuid;

use crate::world::{World, run_status};

#[tokio::test]
async fn a_living_executor_keeps_its_runs() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.claimed_run(graph, Uuid::new_v4()).await;
    assert_eq!(world.store.sweep().await.unwrap(), Swept::default());
}

#[tokio::test]
async fn an_expired_lease_frees_its_runs_and_announces_them() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    world.append(owner, &run, 1, vec![run_status(ExecutionStatus::Running)]).await;
    world
        .sql("DELETE FROM outbox; UPDATE executor_leases SET expires_at = now() - interval '1 second'")
        .await;
    let swept = world.store.sweep().await.unwrap();
    assert_eq!((swept.leases, swept.requeued), (1, 1));
    assert_eq!(world.status(run.graph_exec_id).await, ExecutionStatus::Queued);
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
    assert!(!world.store.renew_lease(owner).await.unwrap().alive);
    assert_eq!(world.claim(Uuid::new_v4(), 1).await[0].epoch, 2);
}

#[tokio::test]
async fn a_late_renewal_before_the_sweep_keeps_the_runs() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    world.claimed_run(graph, owner).await;
    world.sql("UPDATE executor_leases SET expires_at = now() - interval '1 minute'").await;
    assert!(world.store.renew_lease(owner).await.unwrap().alive);
    assert_eq!(world.store.sweep().await.unwrap(), Swept::default());
}

#[tokio::test]
async fn a_cancelled_run_of_a_dead_executor_ends() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let run = world.claimed_run(graph, Uuid::new_v4()).await;
    world.store.request_cancel(None, run.graph_exec_id).await.unwrap();
    world.sql("UPDATE executor_leases SET expires_at = now() - interval '1 second'").await;
    let swept = world.store.sweep().await.unwrap();
    assert_eq!((swept.requeued, swept.cancelled), (0, 1));
    assert_eq!(world.status(run.graph_exec_id).await, ExecutionStatus::Terminated);
}

#[tokio::test]
async fn a_claim_whose_answer_was_lost_does_not_hold_the_run_for_ever() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    world.claimed_run(graph, owner).await;
    world.sql("UPDATE graph_executions SET claimed_at = now() - interval '2 minutes'").await;
    assert_eq!(world.store.sweep().await.unwrap().requeued, 1);
}

#[tokio::test]
async fn a_waiting_run_without_a_wake_up_is_announced_again_but_not_at_every_look() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.run(graph).await;
    world
        .sql("DELETE FROM outbox; UPDATE graph_executions SET updated_at = now() - interval '1 minute'")
        .await;
    assert_eq!(world.store.sweep().await.unwrap().woken, 1);
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
    world.sql("DELETE FROM outbox").await;
    assert_eq!(world.store.sweep().await.unwrap().woken, 0);
}

#[tokio::test]
async fn an_executor_that_says_goodbye_leaves_its_runs_to_others_at_once() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    let swept = world.store.release_lease(owner).await.unwrap();
    assert_eq!((swept.leases, swept.requeued), (1, 1));
    assert_eq!(world.claim(Uuid::new_v4(), 1).await[0].graph_exec_id, run.graph_exec_id);
}

#[tokio::test]
async fn cancelling_ends_waiting_runs_at_once_children_included() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let parent = world.claimed_run(graph, owner).await;
    let mut new_run = graph.new_run();
    new_run.parent = Some(parent.graph_exec_id);
    let child = world.store.accept_run(new_run).await.unwrap().execution.id;
    let requests = world.store.request_cancel(Some(graph.user_id), parent.graph_exec_id).await.unwrap();
    assert_eq!(requests[0].graph_exec_id, parent.graph_exec_id);
    assert!(requests[0].held);
    assert_eq!(world.status(child).await, ExecutionStatus::Terminated);
    assert!(world.store.request_cancel(Some(Uuid::new_v4()), parent.graph_exec_id).await.is_err());
}
