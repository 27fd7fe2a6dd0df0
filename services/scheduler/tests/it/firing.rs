use std::time::Duration;

use model::Timestamp;
use model::schedule::SlotOutcome;
use serde_json::json;
use store::{DueSlot, SlotDecision, SlotDecisions};
use submit::SubmitCommand;

use crate::world::{TestGraph, World, map, now};

const RUNS: &str = "SELECT count(*) FROM graph_executions";
/// Decisions about one slot, which was to run.
const DECISIONS: &str = "SELECT count(*) FROM schedule_decisions WHERE through IS NULL";
/// Those that nothing is left to do for.
const SETTLED: &str = "SELECT count(*) FROM schedule_decisions
    WHERE through IS NULL AND (schedule_uid, slot) NOT IN (SELECT schedule_id, slot FROM schedule_submissions)";
/// Decisions whose run exists, once for each.
const FIRED: &str =
    "SELECT count(DISTINCT g.id) FROM schedule_decisions d JOIN graph_executions g ON g.id = d.graph_exec_id WHERE d.decision = 'Fired'";
const PENDING: &str = "SELECT count(*) FROM schedule_submissions";

#[tokio::test]
async fn a_due_schedule_starts_one_run_with_its_inputs_and_moves_on() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let schedule = world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    let _services = (world.serve().await, world.serve().await);
    world.until(SETTLED, 1).await;
    let lines = world.store.list_decisions(schedule.id, None, None, 10).await.unwrap();
    // Thousands of slots have passed since: the newest has the run, the others are one line.
    let [newest, passed] = lines.as_slice() else { panic!("{lines:?}") };
    let key = format!("{}/{}", schedule.id, newest.slot);
    let run = world.store.find_by_idempotency_key(&key).await.unwrap().unwrap();
    assert_eq!(
        (run.user_id, run.graph_id, run.inputs),
        (graph.user_id, graph.id, Some(map(json!({"x": "from the schedule"}))))
    );
    assert_eq!((newest.outcome, newest.graph_exec_id), (SlotOutcome::Fired, Some(run.id)));
    assert!(newest.reason.ends_with("nothing of this schedule was running"), "{}", newest.reason);
    assert!((0.0..3600.0).contains(&newest.decided_at.seconds_since(newest.slot)), "{newest:?}");
    assert_eq!(
        (passed.outcome, passed.slot.to_string().as_str(), passed.count),
        (SlotOutcome::Missed, "2026-01-02T03:00:00Z", 1000)
    );
    assert!(passed.reason.contains("catchUp.policy Latest"), "{}", passed.reason);
    assert_eq!(passed.through.map(|through| newest.slot.seconds_since(through)), Some(3600.0));
    let next = world.schedule(schedule.id).await.unwrap().next_run_at.unwrap();
    assert_eq!(next.seconds_since(newest.slot), 3600.0);
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(world.number(RUNS).await, 1);
}

#[tokio::test]
async fn a_schedule_fires_within_moments_of_its_slot() {
    let world = World::new().await;
    let service = world.serve().await;
    service.until_ready().await;
    let graph = world.user_with_graph().await;
    let slot = Timestamp::from(now().into_inner() + chrono::Duration::milliseconds(1500));
    let schedule = world.scheduled(graph, &slot.to_string()).await;
    // A schedule that is added through the service wakes the loop, which then sees the other one as well.
    service.add(graph, "0 0 * * *", None).await.unwrap();
    world.until(SETTLED, 1).await;
    let run = world
        .store
        .find_by_idempotency_key(&format!("{}/{slot}", schedule.id))
        .await
        .unwrap()
        .unwrap();
    let late = run.started_at.seconds_since(slot);
    assert!((0.0..1.0).contains(&late), "{late} s after the slot");
}

#[tokio::test]
async fn a_graph_that_left_the_library_takes_its_schedules_along() {
    let world = World::new().await;
    let gone = world.user_with_graph().await;
    let kept = world.graph(gone.user_id).await;
    world.scheduled(gone, "2026-01-02T03:00:00Z").await;
    world.scheduled(gone, "2999-01-02T03:00:00Z").await;
    let other = world.scheduled(kept, "2999-01-02T03:00:00Z").await;
    world.store.get_graph(gone.id, None).await.unwrap().unwrap();
    delete_from_library(&world, gone).await;
    let _service = world.serve().await;
    world.until("SELECT count(*) FROM schedules", 1).await;
    assert!(world.schedule(other.id).await.is_some());
    assert_eq!(world.number(RUNS).await, 0);
}

#[tokio::test]
async fn a_graph_that_cannot_run_any_more_loses_this_schedule_only() {
    let world = World::new().await;
    let graph = world.unfinished_graph().await;
    let due = world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    let later = world.scheduled(graph, "2999-01-02T03:00:00Z").await;
    let _service = world.serve().await;
    world.until("SELECT count(*) FROM schedules", 1).await;
    assert!(world.schedule(due.id).await.is_none() && world.schedule(later.id).await.is_some());
}

#[tokio::test]
async fn a_slot_that_the_user_must_mend_is_lost_and_the_schedule_stays() {
    let world = World::new().await;
    let owner = world.user_with_graph().await;
    let visitor = TestGraph {
        user_id: world.user().await,
        ..owner
    };
    let schedule = world.scheduled(visitor, "2026-01-02T03:00:00Z").await;
    let _service = world.serve().await;
    world.until(SETTLED, 1).await;
    let decision = world
        .text("SELECT decision || ': ' || reason FROM schedule_decisions WHERE through IS NULL")
        .await;
    assert!(decision.starts_with("Missed: You do not have access"), "{decision}");
    assert!(world.schedule(schedule.id).await.unwrap().next_run_at.unwrap() > now());
}

#[tokio::test]
async fn a_slot_whose_run_could_not_be_started_is_held_back_and_then_tried_again() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let schedule = world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    world.sql("ALTER TABLE outbox RENAME TO elsewhere").await;
    let _service = world.serve().await;
    world
        .until("SELECT coalesce(sum(attempts), 0)::bigint FROM schedule_submissions", 1)
        .await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    assert_eq!(
        world.number("SELECT coalesce(sum(attempts), 0)::bigint FROM schedule_submissions").await,
        1
    );
    // The decision stands, and the schedule goes on.
    assert_eq!(world.number(DECISIONS).await, 1);
    assert!(world.schedule(schedule.id).await.unwrap().next_run_at.unwrap() > now());
    world
        .sql("ALTER TABLE elsewhere RENAME TO outbox; UPDATE schedule_submissions SET retry_at = now()")
        .await;
    let _another = world.serve().await;
    world.until(FIRED, 1).await;
    assert_eq!((world.number(RUNS).await, world.number(PENDING).await), (1, 0));
}

#[tokio::test]
async fn a_slot_whose_schedule_was_deleted_before_it_ran_is_skipped() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let schedule = world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    world.store.decide_due_slots(10, |due, _| runs(due)).await.unwrap();
    world.store.delete_schedule(schedule.id).await.unwrap();
    let _service = world.serve().await;
    world.until(SETTLED, 1).await;
    let decision = world.text("SELECT decision || ': ' || reason FROM schedule_decisions").await;
    assert_eq!(decision, "Skipped: the schedule was deleted before its run started");
    assert_eq!(world.number(RUNS).await, 0);
}

/// A scheduler dies after each of its steps; the next one goes on from there.
#[tokio::test]
async fn whatever_a_scheduler_left_behind_becomes_one_run() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let moment = Duration::from_millis(100);
    // Decided.
    world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    world.store.decide_due_slots(10, |due, _| runs(due)).await.unwrap();
    // Decided and claimed.
    world.scheduled(graph, "2026-01-02T04:00:00Z").await;
    world.store.decide_due_slots(10, |due, _| runs(due)).await.unwrap();
    assert_eq!(world.store.claim_due_runs(10, moment, moment).await.unwrap().len(), 2);
    // Decided, claimed and submitted.
    let submitted = world.scheduled(graph, "2026-01-02T05:00:00Z").await;
    world.store.decide_due_slots(10, |due, _| runs(due)).await.unwrap();
    let claimed = world.store.claim_due_runs(1, moment, moment).await.unwrap();
    assert_eq!(claimed.len(), 1);
    let run = world.submitter.submit(SubmitCommand {
        user_id: graph.user_id,
        graph_id: graph.id,
        idempotency_key: Some(format!("{}/2026-01-02T05:00:00Z", submitted.id)),
        ..SubmitCommand::default()
    });
    let run = run.await.unwrap();
    let _services = (world.serve().await, world.serve().await);
    world.until(FIRED, 3).await;
    assert_eq!((world.number(RUNS).await, world.number(PENDING).await), (3, 0));
    let key = format!("{}/2026-01-02T05:00:00Z", submitted.id);
    assert_eq!(world.store.find_by_idempotency_key(&key).await.unwrap().unwrap().id, run.id);
}

/// Schedulers that are torn out of whatever they are doing, one after the other and two at once.
#[tokio::test]
async fn many_slots_under_dying_schedulers_become_one_run_each() {
    const SLOTS: i64 = 1500;
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    world
        .sql(
            "INSERT INTO schedules (id, user_id, graph_id, graph_version, name, cron, timezone, inputs, next_run_at)
             SELECT gen_random_uuid(), user_id, graph_id, graph_version, name, cron, timezone, inputs, next_run_at
             FROM schedules, generate_series(2, 1500)",
        )
        .await;
    // Between them no slot has passed, so that every decision is about one.
    world.sql("UPDATE schedules SET cron = '0 3 2 1 *', timezone = 'UTC'").await;
    for round in 0..6 {
        let (one, two) = (world.serve_apart(), world.serve_apart());
        tokio::time::sleep(Duration::from_millis(60 + 30 * round)).await;
        drop(one);
        tokio::time::sleep(Duration::from_millis(60)).await;
        drop(two);
        // What they held is free at once, so that the next ones meet it.
        world.sql("UPDATE schedule_submissions SET retry_at = now()").await;
    }
    let _last = (world.serve().await, world.serve().await);
    world.until(FIRED, SLOTS).await;
    world.until(PENDING, 0).await;
    assert_eq!((world.number(RUNS).await, world.number(DECISIONS).await), (SLOTS, SLOTS));
}

/// Of a schedule whose runs go on, the next slots say so until they have ended.
#[tokio::test]
async fn a_slot_is_decided_in_the_knowledge_of_what_still_runs() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let schedule = world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    let first = world.store.decide_due_slots(10, |due, _| runs(due));
    assert_eq!(first.await.unwrap().slots, 1);
    world
        .sql("UPDATE schedules SET cron = '0 3 2 1 *', next_run_at = '2026-01-02T03:10:00Z'")
        .await;
    let service = world.serve().await;
    world.until(FIRED, 2).await;
    let reason = async |slot: &str| {
        let slot: Timestamp = slot.parse().unwrap();
        let mut lines = world.store.list_decisions(schedule.id, Some(slot), Some(slot), 1).await.unwrap();
        lines.remove(0).reason
    };
    let first = reason("2026-01-02T03:10:00Z").await;
    assert!(
        first.ends_with("the run of 2026-01-02T03:00:00Z is not over, and runs may overlap (overlapPolicy Allow)"),
        "{first}"
    );
    world
        .sql(
            "UPDATE graph_executions SET status = 'COMPLETED', ended_at = now();
             UPDATE schedules SET next_run_at = '2026-01-02T03:20:00Z'",
        )
        .await;
    // A schedule that is added makes the loop look, and see the other one as well.
    service.add(graph, "0 0 1 1 *", None).await.unwrap();
    world.until(FIRED, 3).await;
    let then = reason("2026-01-02T03:20:00Z").await;
    assert!(then.ends_with("nothing of this schedule was running"), "{then}");
    assert_eq!(world.number("SELECT count(*) FROM schedule_decisions WHERE unfinished").await, 1);
}

/// What a scheduler that died has decided: it is to run, and is the last one.
fn runs(due: &DueSlot) -> SlotDecisions {
    SlotDecisions {
        decisions: vec![SlotDecision {
            slot: due.slot,
            through: None,
            count: 1,
            outcome: SlotOutcome::Fired,
            reason: String::new(),
        }],
        next: None,
    }
}

async fn delete_from_library(world: &World, graph: TestGraph) {
    let versions = world.store.list_graph_versions(graph.user_id, graph.id, 10).await.unwrap();
    assert_eq!(versions, [1]);
    // The older of the user's two graphs.
    world
        .sql("UPDATE library_agents SET is_deleted = true WHERE graph_id = (SELECT id FROM graphs ORDER BY created_at LIMIT 1)")
        .await;
}
