use std::time::Duration;

use model::Timestamp;
use serde_json::json;
use store::{Decision, NewSchedule, SlotDecision};
use uuid::Uuid;

use crate::world::{TestGraph, World, map};

const MINUTE: Duration = Duration::from_secs(60);

fn schedule(graph: TestGraph, next_run_at: Option<Timestamp>) -> NewSchedule {
    NewSchedule {
        id: Uuid::new_v4(),
        user_id: graph.user_id,
        graph_id: graph.id,
        graph_version: 1,
        name: "every minute".to_owned(),
        cron: "* * * * *".to_owned(),
        timezone: "UTC".to_owned(),
        inputs: map(json!({"in": 1})),
        credentials: Default::default(),
        next_run_at,
    }
}

fn fired(uid: Uuid, slot: Timestamp) -> SlotDecision {
    SlotDecision {
        schedule_uid: uid,
        slot,
        decision: Decision::Fired,
        reason: String::new(),
        graph_exec_id: None,
    }
}

#[tokio::test]
async fn a_due_schedule_is_moved_on_by_one_scheduler_only() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let slot: Timestamp = "2026-01-02T03:04:00Z".parse().unwrap();
    let later: Timestamp = "2999-01-01T00:00:00Z".parse().unwrap();
    let due = world.store.insert_schedule(schedule(graph, Some(slot))).await.unwrap();
    world.store.insert_schedule(schedule(graph, Some(later))).await.unwrap();
    world.store.insert_schedule(schedule(graph, None)).await.unwrap();
    assert_eq!(world.store.next_schedule_due_in().await.unwrap(), Some(Duration::ZERO));
    assert_eq!(
        world.store.claim_due_schedules(10, MINUTE, 4 * MINUTE).await.unwrap(),
        std::slice::from_ref(&due)
    );
    assert!(world.store.claim_due_schedules(10, MINUTE, 4 * MINUTE).await.unwrap().is_empty());
    let decision = fired(due.id, slot);
    let (one, two) = tokio::join!(
        world.store.advance_schedule(&decision, Some(later)),
        world.store.advance_schedule(&decision, Some(later))
    );
    assert_ne!(one.unwrap(), two.unwrap());
    assert!(world.store.claim_due_schedules(10, MINUTE, 4 * MINUTE).await.unwrap().is_empty());
    assert!(world.store.next_schedule_due_in().await.unwrap() > Some(MINUTE));
    assert_eq!(world.number("SELECT count(*) FROM schedule_decisions").await, 1);
    assert_eq!(world.number("SELECT sum(attempts) FROM schedules").await, 0);
}

#[tokio::test]
async fn a_slot_that_was_not_moved_on_is_claimed_again_later_and_later() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let slot: Timestamp = "2026-01-02T03:04:00Z".parse().unwrap();
    world.store.insert_schedule(schedule(graph, Some(slot))).await.unwrap();
    for minutes in [1, 2, 4, 4] {
        assert_eq!(world.store.claim_due_schedules(10, MINUTE, 4 * MINUTE).await.unwrap().len(), 1);
        let wait = world.store.next_schedule_due_in().await.unwrap().unwrap();
        assert!(
            wait <= minutes * MINUTE && wait > minutes * MINUTE - MINUTE / 2,
            "{wait:?} instead of {minutes} min"
        );
        world.sql("UPDATE schedules SET retry_at = now()").await;
    }
}

#[tokio::test]
async fn the_first_decision_about_a_slot_stands() {
    let world = World::new().await;
    let (uid, slot) = (Uuid::new_v4(), Timestamp::now());
    assert!(world.store.record_decision(&fired(uid, slot)).await.unwrap());
    let other = SlotDecision {
        decision: Decision::Skipped,
        ..fired(uid, slot)
    };
    assert!(!world.store.record_decision(&other).await.unwrap());
    assert!(world.store.record_decision(&fired(Uuid::new_v4(), slot)).await.unwrap());
}

#[tokio::test]
async fn schedules_are_listed_by_user_and_graph_and_go_with_their_graph() {
    let world = World::new().await;
    let (mine, other) = (world.user_with_graph().await, world.user_with_graph().await);
    let kept = world.store.insert_schedule(schedule(mine, None)).await.unwrap();
    world.store.insert_schedule(schedule(other, None)).await.unwrap();
    assert_eq!(
        world.store.list_schedules(Some(mine.user_id), None).await.unwrap(),
        std::slice::from_ref(&kept)
    );
    assert_eq!(
        world.store.list_schedules(None, Some(mine.id)).await.unwrap(),
        std::slice::from_ref(&kept)
    );
    assert_eq!(world.store.list_schedules(None, None).await.unwrap().len(), 2);
    assert_eq!(world.store.delete_schedules_of_graph(mine.user_id, mine.id).await.unwrap(), 1);
    assert!(!world.store.delete_schedule(kept.id).await.unwrap());
}
