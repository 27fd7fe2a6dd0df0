//! Runs that come back without having been handed over: attempts, backoff, the dead list, deadlines, and why runs wait.

use std::time::Duration;

use model::{ClaimedRun, ExecutionStatus, GivenUpRun, GraphExecId, PAST_DEADLINE, Timestamp, WaitingReason};
use serde_json::json;
use uuid::Uuid;

use crate::world::{TestGraph, World, io_blocks, node_status, run_status};

impl World {
    /// Gives a claimed run up, lets its backoff be over and claims it again: none when it is dead.
    async fn attempt(&self, owner: Uuid, run: &ClaimedRun) -> Option<ClaimedRun> {
        let given_up = [GivenUpRun {
            held: run.held(),
            reason: "it broke".to_owned(),
        }];
        self.store.give_up_runs(owner, &given_up).await.unwrap();
        self.end_backoff().await;
        self.claim(owner, 1).await.pop()
    }

    async fn end_backoff(&self) {
        self.sql(
            "UPDATE graph_executions SET not_before = now() - interval '1 second' WHERE not_before IS NOT NULL;
             UPDATE run_alarms SET due_at = now() - interval '1 second'",
        )
        .await;
        self.store.ring_alarms().await.unwrap();
    }

    async fn reason(&self, id: GraphExecId) -> Option<WaitingReason> {
        self.store.waiting(id, 2).await.unwrap().map(|waiting| waiting.reason)
    }

    async fn error(&self, graph: TestGraph, id: GraphExecId) -> String {
        let execution = self.store.get_execution(Some(graph.user_id), id, &io_blocks()).await.unwrap().unwrap();
        execution.meta.stats.unwrap().error.unwrap()
    }
}

#[tokio::test]
async fn a_run_that_nobody_gets_on_with_is_dead_after_its_last_attempt() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let mut run = world.claimed_run(graph, owner).await;
    for epoch in 2..=5 {
        run = world.attempt(owner, &run).await.unwrap();
        assert_eq!(run.epoch, epoch);
    }
    assert!(world.attempt(owner, &run).await.is_none());
    assert_eq!(world.status(run.graph_exec_id).await, ExecutionStatus::Failed);
    let error = world.error(graph, run.graph_exec_id).await;
    assert!(error.contains("5 attempts") && error.contains("it broke"), "{error}");
    let dead = world.store.list_dead_runs(Some(graph.user_id), true, 10).await.unwrap();
    assert_eq!(dead.len(), 1);
    assert_eq!(
        (dead[0].graph_exec_id, dead[0].attempts, dead[0].error.as_str()),
        (run.graph_exec_id, 5, "it broke")
    );
    assert_eq!(dead[0].executor.as_deref(), Some("test"));
    assert!(world.store.list_dead_runs(Some(Uuid::new_v4()), false, 10).await.unwrap().is_empty());
    assert_eq!(world.number("SELECT count(*) FROM run_alarms").await, 0);
}

#[tokio::test]
async fn a_node_that_ends_begins_a_new_count_and_a_hand_over_is_not_counted() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let mut run = world.claimed_run(graph, owner).await;
    let node = run.node_executions[0].node_exec_id;
    for _ in 0..4 {
        run = world.attempt(owner, &run).await.unwrap();
    }
    let entries = vec![
        run_status(ExecutionStatus::Running),
        node_status(node, ExecutionStatus::Running, None),
        node_status(node, ExecutionStatus::Completed, None),
    ];
    world.append(owner, &run, 1, entries).await;
    run = world.attempt(owner, &run).await.unwrap();
    assert_eq!(world.number("SELECT attempts::bigint FROM graph_executions").await, 1);
    for _ in 0..10 {
        world.store.release_runs(owner, &[run.held()]).await.unwrap();
        run = world.claim(owner, 1).await.pop().unwrap();
    }
    assert_eq!(world.number("SELECT attempts::bigint FROM graph_executions").await, 1);
    world.store.release_lease(owner).await.unwrap();
    assert_eq!(world.number("SELECT attempts::bigint FROM graph_executions").await, 1);
}

#[tokio::test]
async fn a_lost_lease_counts_the_first_time_without_a_wait_and_then_with_one() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let id = world.run(graph).await;
    for (attempts, waits) in [(1, 0), (2, 1)] {
        assert_eq!(world.claim(Uuid::new_v4(), 1).await.len(), 1);
        world
            .sql("DELETE FROM outbox; UPDATE executor_leases SET expires_at = now() - interval '1 second'")
            .await;
        assert_eq!(world.store.sweep().await.unwrap().requeued, 1);
        assert_eq!(world.number("SELECT attempts::bigint FROM graph_executions").await, attempts);
        assert_eq!(world.number("SELECT count(*) FROM run_alarms").await, waits);
        assert_eq!(world.store.outbox_length().await.unwrap(), 1 - waits);
    }
    // Nobody gets it before its time, and nobody is told to look.
    assert!(world.claim(Uuid::new_v4(), 1).await.is_empty());
    world.sql("UPDATE graph_executions SET updated_at = now() - interval '1 hour'").await;
    assert_eq!(world.store.sweep().await.unwrap().woken, 0);
    let waiting = world.store.waiting(id, 2).await.unwrap().unwrap();
    assert_eq!(waiting.reason, WaitingReason::RetryingLater);
    assert!(waiting.until.is_some());
    let rung = world.store.ring_alarms().await.unwrap();
    assert_eq!(rung.woken, 0);
    assert!(rung.next.unwrap() <= Duration::from_secs(1), "{rung:?}");
    world.end_backoff().await;
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
    assert_eq!(world.claim(Uuid::new_v4(), 1).await[0].graph_exec_id, id);
}

#[tokio::test]
async fn what_another_executor_holds_cannot_be_given_up() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let run = world.claimed_run(graph, Uuid::new_v4()).await;
    let given_up = [GivenUpRun {
        held: run.held(),
        reason: String::new(),
    }];
    let swept = world.store.give_up_runs(Uuid::new_v4(), &given_up).await.unwrap();
    assert_eq!(swept, store::Swept::default());
}

#[tokio::test]
async fn a_run_that_is_cancelled_during_its_backoff_ends_and_stays_ended() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let id = world.run(graph).await;
    world
        .sql("UPDATE graph_executions SET not_before = now() + interval '1 hour'; INSERT INTO run_alarms SELECT id, not_before FROM graph_executions")
        .await;
    world.store.request_cancel(None, id).await.unwrap();
    assert_eq!(world.status(id).await, ExecutionStatus::Terminated);
    world.end_backoff().await;
    assert_eq!(world.number("SELECT count(*) FROM run_alarms").await, 0);
    assert!(world.claim(Uuid::new_v4(), 1).await.is_empty());
}

#[tokio::test]
async fn a_waiting_run_ends_at_its_deadline_and_so_do_those_that_it_started() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let deadline = Timestamp::from(Timestamp::now().into_inner() + Duration::from_millis(300));
    let mut new_run = graph.new_run();
    new_run.deadline_at = Some(deadline);
    let parent = world.store.accept_run(new_run).await.unwrap().execution.id;
    let mut new_run = graph.new_run();
    new_run.parent = Some(parent);
    let child = world.store.accept_run(new_run).await.unwrap().execution.id;
    let free = world.run(graph).await;
    assert_eq!(world.number("SELECT count(DISTINCT deadline_at) FROM graph_executions").await, 1);
    let mut ended = 0;
    for _ in 0..100 {
        let rung = world.store.ring_alarms().await.unwrap();
        ended += rung.ended;
        let Some(next) = rung.next else { break };
        tokio::time::sleep(next).await;
    }
    assert_eq!(ended, 2);
    for id in [parent, child] {
        assert_eq!(world.status(id).await, ExecutionStatus::Terminated);
        assert_eq!(world.error(graph, id).await, PAST_DEADLINE);
    }
    assert_eq!(world.status(free).await, ExecutionStatus::Queued);
}

#[tokio::test]
async fn a_run_under_way_learns_its_deadline_with_the_claim_and_is_looked_after_later() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let mut new_run = graph.new_run();
    new_run.deadline_at = Some(Timestamp::from(Timestamp::now().into_inner() + Duration::from_secs(3600)));
    let id = world.store.accept_run(new_run).await.unwrap().execution.id;
    let run = world.claim(owner, 1).await.pop().unwrap();
    assert!((3500.0..=3600.0).contains(&run.seconds_left.unwrap()));
    world
        .sql("UPDATE graph_executions SET deadline_at = now() - interval '1 second'; UPDATE run_alarms SET due_at = now() - interval '1 second'")
        .await;
    let rung = world.store.ring_alarms().await.unwrap();
    assert_eq!((rung.ended, world.status(id).await), (0, ExecutionStatus::Queued));
    assert!(rung.next.unwrap() > Duration::from_secs(3));
    // Its executor goes: the alarm ends it.
    world.store.release_lease(owner).await.unwrap();
    world.sql("UPDATE run_alarms SET due_at = now() - interval '1 second'").await;
    assert_eq!(world.store.ring_alarms().await.unwrap().ended, 1);
    assert_eq!(world.status(id).await, ExecutionStatus::Terminated);
}

#[tokio::test]
async fn every_waiting_run_has_a_reason() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let mut unqueued = graph.new_run();
    unqueued.queued = false;
    let unqueued = world.store.accept_run(unqueued).await.unwrap().execution.id;
    assert_eq!(world.reason(unqueued).await, Some(WaitingReason::NotQueued));
    let run = world.run(graph).await;
    assert_eq!(world.reason(run).await, Some(WaitingReason::WaitingForExecutor));
    let claimed = world.claim(owner, 1).await.pop().unwrap();
    assert_eq!(world.reason(run).await, Some(WaitingReason::Starting));
    world.append(owner, &claimed, 1, vec![run_status(ExecutionStatus::Running)]).await;
    assert_eq!(world.reason(run).await, None);
    world.claimed_run(graph, owner).await;
    let third = world.run(graph).await;
    assert_eq!(world.reason(third).await, Some(WaitingReason::LimitReached));
    world.append(owner, &claimed, 2, vec![run_status(ExecutionStatus::Review)]).await;
    assert_eq!(world.reason(run).await, Some(WaitingReason::WaitingForReview));
    assert_eq!(world.reason(third).await, Some(WaitingReason::WaitingForExecutor));
    world.store.request_cancel(None, third).await.unwrap();
    assert_eq!(world.reason(third).await, None);
    assert_eq!(world.reason(Uuid::new_v4()).await, None);
    assert_eq!(
        serde_json::to_value(world.store.waiting(run, 2).await.unwrap()).unwrap(),
        json!({"waiting_reason": "waiting_for_review", "waiting_until": null})
    );
}
