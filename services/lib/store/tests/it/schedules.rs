use std::time::Duration;

use model::Timestamp;
use model::schedule::{ScheduleDecision, SlotOutcome};
use serde_json::json;
use store::{DueRun, DueSlot, NewSchedule, SettledSlot, SlotDecision, SlotDecisions};
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

fn at(text: &str) -> Timestamp {
    text.parse().unwrap()
}

fn fired(schedule_id: Uuid, slot: Timestamp) -> SettledSlot {
    SettledSlot {
        schedule_id,
        slot,
        outcome: SlotOutcome::Fired,
        reason: None,
        graph_exec_id: None,
    }
}

/// It is to run, and the schedule moves on to `next`.
fn runs(due: &DueSlot, next: Option<Timestamp>) -> SlotDecisions {
    let decision = SlotDecision {
        slot: due.slot,
        through: None,
        count: 1,
        outcome: SlotOutcome::Fired,
        reason: "due".to_owned(),
    };
    SlotDecisions {
        decisions: vec![decision],
        next,
    }
}

/// Decides what is due and moves it on to `later`.
async fn decide(world: &World, limit: i64, later: Option<Timestamp>) -> usize {
    world.store.decide_due_slots(limit, |due, _| runs(due, later)).await.unwrap().slots
}

async fn claim(world: &World) -> Vec<DueRun> {
    world.store.claim_due_runs(10, MINUTE, 4 * MINUTE).await.unwrap()
}

#[tokio::test]
async fn a_due_slot_is_decided_once_and_its_schedule_moves_on() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let (slot, later) = (at("2026-01-02T03:04:00Z"), at("2999-01-01T00:00:00Z"));
    assert_eq!(world.store.next_slot_due_in().await.unwrap(), None);
    let due = world.store.insert_schedule(schedule(graph, Some(slot))).await.unwrap();
    world.store.insert_schedule(schedule(graph, Some(later))).await.unwrap();
    world.store.insert_schedule(schedule(graph, None)).await.unwrap();
    assert_eq!(world.store.next_slot_due_in().await.unwrap(), Some(Duration::ZERO));
    let (one, two) = tokio::join!(decide(&world, 10, Some(later)), decide(&world, 10, Some(later)));
    assert_eq!(one + two, 1);
    assert_eq!(decide(&world, 10, Some(later)).await, 0);
    assert!(world.store.next_slot_due_in().await.unwrap() > Some(MINUTE));
    assert_eq!(world.store.get_schedule(due.id).await.unwrap().unwrap().next_run_at, Some(later));
    assert_eq!(
        world
            .number("SELECT count(*) FROM schedule_decisions WHERE decision = 'Fired' AND graph_exec_id IS NULL")
            .await,
        1
    );
    let claimed = claim(&world).await;
    let expected = DueRun {
        schedule_id: due.id,
        slot,
        schedule: world.store.get_schedule(due.id).await.unwrap(),
    };
    assert_eq!(claimed, [expected]);
}

#[tokio::test]
async fn the_earliest_slots_are_decided_first_with_what_the_next_one_is_computed_from() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    for minute in [3, 1, 2] {
        let slot = at(&format!("2026-01-02T03:0{minute}:00Z"));
        world.store.insert_schedule(schedule(graph, Some(slot))).await.unwrap();
    }
    let mut seen = Vec::new();
    let decided = world.store.decide_due_slots(2, |due, now| {
        seen.push((due.slot.to_string(), due.cron.clone(), due.timezone.clone()));
        assert!((chrono::Utc::now() - now).num_seconds().abs() < 30);
        runs(due, None)
    });
    let decided = decided.await.unwrap();
    assert!(decided.slots == 2 && decided.late > MINUTE, "{decided:?}");
    let due = |slot: &str| (slot.to_owned(), "* * * * *".to_owned(), "UTC".to_owned());
    assert_eq!(seen, [due("2026-01-02T03:01:00Z"), due("2026-01-02T03:02:00Z")]);
    assert_eq!(world.number("SELECT count(*) FROM schedules WHERE next_run_at IS NULL").await, 2);
}

#[tokio::test]
async fn slots_that_another_scheduler_is_at_are_left_to_it() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    for _ in 0..20 {
        world
            .store
            .insert_schedule(schedule(graph, Some(at("2026-01-02T03:04:00Z"))))
            .await
            .unwrap();
    }
    let many = futures::future::join_all((0..4).map(|_| decide(&world, 5, None))).await;
    assert_eq!(many, [5, 5, 5, 5]);
    assert_eq!(world.number("SELECT count(*) FROM schedule_submissions").await, 20);
}

#[tokio::test]
async fn a_slot_that_was_not_settled_is_claimed_again_later_and_later() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world
        .store
        .insert_schedule(schedule(graph, Some(at("2026-01-02T03:04:00Z"))))
        .await
        .unwrap();
    assert_eq!(world.store.next_run_due_in().await.unwrap(), None);
    decide(&world, 10, None).await;
    assert_eq!(world.store.next_run_due_in().await.unwrap(), Some(Duration::ZERO));
    for minutes in [1, 2, 4, 4] {
        assert_eq!(claim(&world).await.len(), 1);
        assert!(claim(&world).await.is_empty());
        let wait = world.store.next_run_due_in().await.unwrap().unwrap();
        assert!(
            wait <= minutes * MINUTE && wait > minutes * MINUTE - MINUTE / 2,
            "{wait:?} instead of {minutes} min"
        );
        world.sql("UPDATE schedule_submissions SET retry_at = now()").await;
    }
}

#[tokio::test]
async fn what_became_of_a_slot_is_settled_once() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let slot = at("2026-01-02T03:04:00Z");
    let due = world.store.insert_schedule(schedule(graph, Some(slot))).await.unwrap();
    decide(&world, 10, None).await;
    let run = SettledSlot {
        graph_exec_id: Some(Uuid::new_v4()),
        ..fired(due.id, slot)
    };
    let refused = SettledSlot {
        outcome: SlotOutcome::Missed,
        reason: Some("too late".to_owned()),
        ..fired(due.id, slot)
    };
    world.store.settle_due_runs(&[fired(Uuid::new_v4(), slot), run.clone()]).await.unwrap();
    world.store.settle_due_runs(&[refused]).await.unwrap();
    let decided = "SELECT count(*) FROM schedule_decisions WHERE decision = 'Fired' AND reason = 'due' AND graph_exec_id IS NOT NULL";
    assert_eq!(world.number(decided).await, 1);
    assert_eq!(world.number("SELECT count(*) FROM schedule_submissions").await, 0);
}

/// Decides about one slot and moves its schedule on; which slots were said not to be over.
async fn decide_knowing(world: &World, next: Timestamp) -> Vec<Timestamp> {
    let mut active = Vec::new();
    let decided = world.store.decide_due_slots(1, |due, _| {
        active.clone_from(&due.active);
        runs(due, Some(next))
    });
    assert_eq!(decided.await.unwrap().slots, 1);
    active
}

#[tokio::test]
async fn a_decision_knows_the_slots_that_are_not_over() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let slots = [0, 1, 2, 3, 4].map(|minute| at(&format!("2026-01-02T03:0{minute}:00Z")));
    let due = world.store.insert_schedule(schedule(graph, Some(slots[0]))).await.unwrap();
    assert_eq!(decide_knowing(&world, slots[1]).await, []);
    assert_eq!(decide_knowing(&world, slots[2]).await, [slots[0]], "it has no run yet");
    let refused = SettledSlot {
        outcome: SlotOutcome::Missed,
        reason: Some("refused".to_owned()),
        ..fired(due.id, slots[0])
    };
    let accepted = |slot, run| SettledSlot {
        graph_exec_id: Some(run),
        ..fired(due.id, slot)
    };
    let run = world.run(graph).await;
    world.store.settle_due_runs(&[refused, accepted(slots[1], run)]).await.unwrap();
    assert_eq!(decide_knowing(&world, slots[3]).await, [slots[1]], "it goes on");
    let deleted = Uuid::new_v4();
    world.store.settle_due_runs(&[accepted(slots[2], deleted)]).await.unwrap();
    world.sql("UPDATE graph_executions SET status = 'COMPLETED', ended_at = now()").await;
    assert_eq!(decide_knowing(&world, slots[4]).await, [], "one has ended, one was deleted");
    assert_eq!(
        world.number("SELECT count(*) FROM schedule_decisions WHERE unfinished").await,
        1,
        "the newest"
    );
}

#[tokio::test]
async fn a_slot_outlives_its_schedule() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let due = world
        .store
        .insert_schedule(schedule(graph, Some(at("2026-01-02T03:04:00Z"))))
        .await
        .unwrap();
    decide(&world, 10, None).await;
    assert!(world.store.delete_schedule(due.id).await.unwrap());
    let claimed = claim(&world).await;
    assert_eq!(
        claimed.iter().map(|due| (due.schedule_id, &due.schedule)).collect::<Vec<_>>(),
        [(due.id, &None)]
    );
}

/// However many schedules there are, only those that are due are read.
#[tokio::test]
async fn looking_for_what_is_due_goes_by_the_index() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world
        .store
        .insert_schedule(schedule(graph, Some(at("2999-01-02T03:04:00Z"))))
        .await
        .unwrap();
    world
        .sql(
            "INSERT INTO schedules (id, user_id, graph_id, graph_version, name, cron, timezone, next_run_at)
             SELECT gen_random_uuid(), user_id, graph_id, graph_version, name, cron, timezone, next_run_at
             FROM schedules, generate_series(1, 5000)",
        )
        .await;
    let read = "SELECT coalesce(seq_tup_read, 0) + coalesce(idx_tup_fetch, 0) FROM pg_stat_user_tables WHERE relname = 'schedules'";
    world.sql("SELECT pg_stat_reset()").await;
    assert_eq!(decide(&world, 100, None).await, 0);
    assert!(world.store.next_slot_due_in().await.unwrap() > Some(MINUTE));
    // A session reports what it has read when it ends.
    world.store.close().await;
    while world
        .number("SELECT idx_scan FROM pg_stat_user_indexes WHERE indexrelname = 'schedules_due'")
        .await
        < 2
    {
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    let rows = world.number(read).await;
    assert!(rows < 20, "{rows} rows were read");
}

fn decision(schedule_uid: Uuid, slot: &str, outcome: SlotOutcome, decided_at: &str) -> ScheduleDecision {
    ScheduleDecision {
        schedule_uid,
        slot: at(slot),
        request: String::new(),
        through: None,
        count: 1,
        outcome,
        reason: "because".to_owned(),
        execution: None,
        graph_exec_id: None,
        decided_at: at(decided_at),
    }
}

#[tokio::test]
async fn the_last_word_about_something_due_stands_however_often_and_in_which_order_words_come() {
    let world = World::new().await;
    let (uid, slot) = (Uuid::new_v4(), "2026-01-02T03:00:00Z");
    let waits = decision(uid, slot, SlotOutcome::Buffered, "2026-01-02T03:00:01Z");
    let fires = ScheduleDecision {
        execution: Some("s-1\u{0}".to_owned()),
        ..decision(uid, slot, SlotOutcome::Fired, "2026-01-02T03:00:02Z")
    };
    let asked = ScheduleDecision {
        request: "run-now/a".to_owned(),
        ..fires.clone()
    };
    world.store.record_decisions(&[]).await.unwrap();
    world
        .store
        .record_decisions(&[waits.clone(), fires.clone(), asked.clone()])
        .await
        .unwrap();
    world.store.record_decisions(&[fires.clone(), waits]).await.unwrap();
    let of_execution = |decision: ScheduleDecision| ScheduleDecision {
        execution: Some("s-1".to_owned()),
        ..decision
    };
    let listed = world.store.list_decisions(uid, None, None, 10).await.unwrap();
    assert_eq!(listed, [of_execution(fires), of_execution(asked)]);
    assert_eq!(world.store.list_decisions(Uuid::new_v4(), None, None, 10).await.unwrap(), []);
}

#[tokio::test]
async fn decisions_are_found_by_their_due_time_and_by_the_range_that_has_it() {
    let world = World::new().await;
    let uid = Uuid::new_v4();
    let range = ScheduleDecision {
        through: Some(at("2026-01-02T05:00:00Z")),
        count: 120,
        ..decision(uid, "2026-01-02T03:00:00Z", SlotOutcome::Missed, "2026-01-02T06:00:00Z")
    };
    let before = decision(uid, "2026-01-02T02:00:00Z", SlotOutcome::Fired, "2026-01-02T02:00:00Z");
    let after = decision(uid, "2026-01-02T06:00:00Z", SlotOutcome::Fired, "2026-01-02T06:00:00Z");
    world
        .store
        .record_decisions(&[range.clone(), before.clone(), after.clone()])
        .await
        .unwrap();
    let listed = async |since: &str, until: &str, limit| {
        let listed = world.store.list_decisions(uid, Some(at(since)), Some(at(until)), limit).await;
        listed.unwrap()
    };
    let (four, seven) = ("2026-01-02T04:00:00Z", "2026-01-02T07:00:00Z");
    assert_eq!(listed(four, four, 9).await, std::slice::from_ref(&range));
    assert_eq!(listed("2026-01-02T05:30:00Z", "2026-01-02T05:30:00Z", 9).await, []);
    assert_eq!(listed(four, seven, 9).await, [after.clone(), range.clone()]);
    assert_eq!(listed(four, seven, 1).await, std::slice::from_ref(&after));
    assert_eq!(world.store.list_decisions(uid, None, Some(at(four)), 9).await.unwrap(), [range, before]);
}

#[tokio::test]
async fn old_decisions_are_forgotten_in_batches() {
    let world = World::new().await;
    let uid = Uuid::new_v4();
    let old: Vec<_> = (0..5)
        .map(|minute| decision(uid, &format!("2020-01-01T00:0{minute}:00Z"), SlotOutcome::Fired, "2020-01-01T00:09:00Z"))
        .collect();
    // The same due time, decided today.
    let kept = ScheduleDecision {
        request: "backfill/b".to_owned(),
        decided_at: Timestamp::now(),
        ..old[0].clone()
    };
    world.store.record_decisions(&old).await.unwrap();
    world.store.record_decisions(std::slice::from_ref(&kept)).await.unwrap();
    for deleted in [3, 2, 0] {
        assert_eq!(world.store.forget(MINUTE, 3).await.unwrap(), Some(deleted));
    }
    assert_eq!(world.store.list_decisions(uid, None, None, 9).await.unwrap(), [kept]);
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
