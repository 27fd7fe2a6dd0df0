//! What a run does in the hands of one process, and what the next process finds when the first one stops.

use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::review::RepeatAnswer;
use model::{BlockId, ClaimedRun, ExecutionEvent, ExecutionStatus};
use serde_json::{Value, json};
use tokio::time::Instant;

use crate::shift::Shifted;
use crate::task::{Control, Limits};
use crate::testing::{AWAIT, BURST, COUNT, ECHO, EFFECT, FLAKY, FLOOD, FOREVER, PANIC, REPORT, SPIN, TRICKLE, World};

/// Claims the only queued run and works on it in a task.
async fn take(world: &World) -> (Control, tokio::task::JoinHandle<Shifted>) {
    let claimed = world.claim().await;
    let control = Control::new(0);
    let (shift, handle) = (world.shift.clone(), control.clone());
    (control, tokio::spawn(async move { shift.work(claimed, handle).await }))
}

/// The values that the last node of the run emitted.
fn last_values(run: &ClaimedRun) -> Vec<Value> {
    let last = run.node_executions.last().map(|record| record.node_id);
    let records = run.node_executions.iter().filter(|record| Some(record.node_id) == last);
    records
        .flat_map(|record| record.outputs.get("value").cloned().unwrap_or_default())
        .collect()
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_completed_and_says_so_last() {
    let mut world = World::new();
    let id = world.submit(&[ECHO, ECHO, ECHO], json!("x"));
    let (_, task) = take(&world).await;
    assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
    let run = world.ledger.run(id);
    assert_eq!(run.status, ExecutionStatus::Completed);
    assert_eq!(last_values(&run), [json!("x")]);
    assert_eq!(run.stats.node_count, 3);

    let told = world.told();
    assert!(
        told.windows(2).all(|pair| pair[0].seq < pair[1].seq && pair[1].prev == pair[0].seq),
        "{told:#?}"
    );
    let status = |event: &ExecutionEvent| match event {
        ExecutionEvent::GraphExecutionUpdate(run) => Some(run.meta.status),
        ExecutionEvent::NodeExecutionUpdate(_) => None,
    };
    assert_eq!(status(&told[0].event), Some(ExecutionStatus::Running));
    assert_eq!(status(&told[told.len() - 1].event), Some(ExecutionStatus::Completed));
    let notice = world.notices.try_recv().unwrap();
    assert_eq!(notice.data["agent_name"], "test agent");
    assert_eq!(notice.data["node_count"], 3);
}

/// What was logged.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl std::io::Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

#[tokio::test(start_paused = true)]
async fn the_end_of_a_run_is_logged_at_level_info_in_one_line() {
    let log = Log::default();
    let writer = log.clone();
    let subscriber = tracing_subscriber::fmt()
        .with_max_level(tracing::Level::INFO)
        .with_ansi(false)
        .with_writer(move || writer.clone());
    // One of this test's own would be passed over where another test was the first to come by.
    tracing::subscriber::set_global_default(subscriber.finish()).unwrap();
    let world = World::new();
    let id = world.submit(&[ECHO, ECHO, ECHO], json!("x"));
    let (_, task) = take(&world).await;
    task.await.unwrap();
    let logged = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    let about: Vec<&str> = logged.lines().filter(|line| line.contains(&id.to_string())).collect();
    assert!(matches!(about[..], [only] if only.contains("status=COMPLETED")), "{logged}");
}

#[tokio::test(start_paused = true)]
async fn what_changes_while_a_batch_is_under_way_is_told_once() {
    let mut world = World::new();
    let nodes = [ECHO; 20];
    world.ledger.set_absent(true);
    let submitted = world.submit(&nodes, json!("x"));
    world.ledger.set_absent(false);
    let claimed = world.claim().await;
    world.ledger.set_absent(true);
    let (shift, control) = (world.shift.clone(), Control::new(0));
    let task = tokio::spawn(async move { shift.work(claimed, control).await });
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert!(world.told().is_empty());
    world.ledger.set_absent(false);
    task.await.unwrap();
    assert_eq!(world.ledger.run(submitted).status, ExecutionStatus::Completed);
    let told = world.told();
    let about_nodes = told
        .iter()
        .filter(|placed| matches!(placed.event, ExecutionEvent::NodeExecutionUpdate(_)));
    let about_nodes = about_nodes.count();
    assert!((nodes.len()..=nodes.len() + 2).contains(&about_nodes), "{told:#?}");
    assert!(told.len() - about_nodes <= 4, "{told:#?}");
}

#[tokio::test(start_paused = true)]
async fn an_effect_waits_until_its_start_is_durable() {
    let world = World::new();
    world.submit(&[ECHO, EFFECT, ECHO], json!(1));
    let (_, task) = take(&world).await;
    assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 1);
    assert!(!world.seen.too_early.load(Ordering::SeqCst));
}

#[tokio::test(start_paused = true)]
async fn an_effect_waits_for_the_lease() {
    let world = World::new();
    let id = world.submit(&[ECHO, EFFECT], json!(1));
    world.clock.lost();
    let (_, task) = take(&world).await;
    tokio::time::sleep(Duration::from_secs(30)).await;
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 0);
    world.clock.confirmed(Instant::now());
    assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_panic_fails_the_node_and_not_the_run() {
    let world = World::new();
    let id = world.submit(&[PANIC], json!(1));
    let (_, task) = take(&world).await;
    task.await.unwrap();
    let run = world.ledger.run(id);
    assert_eq!(run.status, ExecutionStatus::Completed);
    assert_eq!(run.stats.node_error_count, 1);
    let error = run.node_executions[0].outputs["error"][0].as_str().unwrap().to_owned();
    assert!(
        error.starts_with("raised by TestBlock with message: the block panicked: as told. block_id: "),
        "{error}"
    );
}

#[tokio::test(start_paused = true)]
async fn a_node_that_takes_too_long_fails_with_what_it_had_emitted() {
    let world = World::with_limits(Limits {
        node_timeout: Duration::from_secs(30),
        ..World::limits()
    });
    let id = world.submit(&[FOREVER, ECHO], json!("kept"));
    let (_, task) = take(&world).await;
    task.await.unwrap();
    let run = world.ledger.run(id);
    assert_eq!(run.node_executions[0].status, ExecutionStatus::Failed);
    assert_eq!(last_values(&run), [json!("kept")]);
}

#[tokio::test(start_paused = true)]
async fn a_cancelled_run_ends_terminated_with_everything_that_was_open() {
    let world = World::new();
    let id = world.submit(&[FOREVER, ECHO], json!(1));
    let (control, task) = take(&world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    control.cancel.cancel();
    assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
    let run = world.ledger.run(id);
    assert_eq!(run.status, ExecutionStatus::Terminated);
    assert_eq!(run.node_executions[0].status, ExecutionStatus::Terminated);
}

#[tokio::test(start_paused = true)]
async fn the_flag_in_the_row_cancels_without_a_message() {
    let world = World::new();
    let id = world.submit(&[ECHO, EFFECT, EFFECT, EFFECT], json!(1));
    let (_, task) = take(&world).await;
    world.ledger.request_cancel(id);
    task.await.unwrap();
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Terminated);
    assert!(world.seen.effects.load(Ordering::SeqCst) < 3);
}

#[tokio::test(start_paused = true)]
async fn a_run_outlasts_the_absence_of_the_database() {
    let world = World::new();
    let id = world.submit(&[COUNT, ECHO], json!(50));
    let (_, task) = take(&world).await;
    world.ledger.set_absent(true);
    tokio::time::sleep(Duration::from_secs(20)).await;
    assert!(!task.is_finished());
    world.ledger.set_absent(false);
    assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
    assert_eq!(last_values(&world.ledger.run(id)).len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_lost_answer_to_an_append_changes_nothing() {
    let world = World::new();
    let id = world.submit(&[COUNT, ECHO], json!(50));
    world.ledger.lose_next_append_reply();
    let (_, task) = take(&world).await;
    task.await.unwrap();
    let run = world.ledger.run(id);
    assert_eq!(run.status, ExecutionStatus::Completed);
    assert_eq!(last_values(&run).len(), 50);
}

#[tokio::test(start_paused = true)]
async fn a_run_that_was_taken_away_is_dropped_without_another_word() {
    let mut world = World::new();
    let id = world.submit(&[EFFECT, EFFECT], json!(1));
    let (_, task) = take(&world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let told = world.told().len();
    world.ledger.take_away(id);
    assert_eq!(task.await.unwrap(), Shifted::Lost);
    assert!(told > 0 && world.told().is_empty());
    assert_ne!(world.ledger.run(id).status, ExecutionStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn a_released_run_goes_on_elsewhere_as_if_nothing_had_happened() {
    let world = World::new();
    let id = world.submit(&[COUNT, EFFECT, ECHO], json!(20));
    let (control, task) = take(&world).await;
    tokio::time::sleep(Duration::from_secs(4)).await;
    let asked = Instant::now();
    control.release.cancel();
    assert_eq!(task.await.unwrap(), Shifted::Released);
    // The effects in flight were waited for, and no new one was started.
    assert!(asked.elapsed() <= Duration::from_secs(3));
    let before = world.seen.effects.load(Ordering::SeqCst);
    assert!(before < 20);
    world.shift.clone().work(reclaimed(&world, id).await, Control::new(0)).await;
    let run = world.ledger.run(id);
    assert_eq!(run.status, ExecutionStatus::Completed);
    assert_eq!(last_values(&run).len(), 20);
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 20);
}

#[tokio::test(start_paused = true)]
async fn a_released_run_does_not_wait_for_nodes_that_can_be_run_again() {
    let world = World::new();
    let id = world.submit(&[FOREVER, ECHO], json!(1));
    let (control, task) = take(&world).await;
    tokio::time::sleep(Duration::from_secs(5)).await;
    let asked = Instant::now();
    control.release.cancel();
    assert_eq!(task.await.unwrap(), Shifted::Released);
    assert!(asked.elapsed() <= Duration::from_secs(2));
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Running);
}

#[tokio::test(start_paused = true)]
async fn a_run_with_a_block_that_is_unknown_here_is_left_to_others_with_the_reason() {
    let world = World::new();
    let id = world.submit(&[uuid::Uuid::from_u128(99)], json!(1));
    let (_, task) = take(&world).await;
    let Shifted::Stuck { reason } = task.await.unwrap() else {
        panic!("it is not ended here")
    };
    assert!(reason.contains("cannot be run"), "{reason}");
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Queued);
}

/// A run whose executor is gone while its node takes effect, parked by the next one.
async fn parked(world: &World) -> model::GraphExecId {
    let id = world.submit(&[ECHO, EFFECT, ECHO], json!("x"));
    let (control, task) = take(world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    control.lost.cancel();
    assert_eq!(task.await.unwrap(), Shifted::Lost);
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 1);
    go_on(world, id).await;
    id
}

async fn go_on(world: &World, id: model::GraphExecId) {
    let next = reclaimed(world, id).await;
    let shifted = world.shift.clone().work(next, Control::new(0)).await;
    assert!(matches!(shifted, Shifted::Finished { .. }));
}

#[tokio::test(start_paused = true)]
async fn a_node_that_must_not_take_effect_twice_is_parked_and_not_run_again() {
    let mut world = World::new();
    let id = parked(&world).await;
    let run = world.ledger.run(id);
    assert_eq!(
        (run.status, run.node_executions[1].status),
        (ExecutionStatus::Review, ExecutionStatus::Review)
    );
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 1);
    let told = world.told();
    let Some(ExecutionEvent::GraphExecutionUpdate(last)) = told.last().map(|placed| placed.event.clone()) else {
        panic!("the run's own event comes last: {told:#?}");
    };
    assert_eq!(last.meta.status, ExecutionStatus::Review);
}

#[tokio::test(start_paused = true)]
async fn a_parked_node_runs_again_when_that_is_approved() {
    let world = World::new();
    let id = parked(&world).await;
    world.ledger.decide(RepeatAnswer::Granted);
    go_on(&world, id).await;
    let run = world.ledger.run(id);
    assert_eq!((run.status, last_values(&run)), (ExecutionStatus::Completed, vec![json!("x")]));
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 2);
}

#[tokio::test(start_paused = true)]
async fn a_parked_node_fails_when_running_it_again_is_rejected() {
    let world = World::new();
    let id = parked(&world).await;
    let message = "it was sent already".to_owned();
    world.ledger.decide(RepeatAnswer::Refused { message });
    go_on(&world, id).await;
    let run = world.ledger.run(id);
    assert_eq!(
        (run.status, run.node_executions[1].status),
        (ExecutionStatus::Completed, ExecutionStatus::Failed)
    );
    let error = run.node_executions[1].outputs["error"][0].as_str().unwrap();
    assert!(error.contains("running it again was rejected: it was sent already"), "{error}");
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 1);
}

async fn reclaimed(world: &World, id: model::GraphExecId) -> ClaimedRun {
    use crate::ledger::Ledger;
    let held = world.ledger.run(id).held();
    world.ledger.release_runs(uuid::Uuid::nil(), vec![held]).await.unwrap();
    world.claim().await
}

#[tokio::test(start_paused = true)]
async fn the_events_of_a_run_that_waited_for_another_have_no_gap() {
    let mut world = World::new();
    let id = world.submit(&[ECHO, AWAIT, ECHO], json!("x"));
    let (_, task) = take(&world).await;
    task.await.unwrap();
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Running);
    let before = world.told();
    go_on(&world, id).await;
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Completed);
    let after = world.told();
    assert!(!before.is_empty() && !after.is_empty());
    let places: Vec<(i64, i64)> = before.iter().chain(&after).map(|placed| (placed.prev, placed.seq)).collect();
    assert_eq!(places[0].0, 0);
    assert!(places.iter().all(|(prev, seq)| prev < seq), "{places:?}");
    assert!(places.windows(2).all(|pair| pair[1].0 == pair[0].1), "{places:?}");
}

#[tokio::test(start_paused = true)]
async fn an_executor_claims_as_many_runs_as_it_has_slots_and_more_when_one_ends() {
    let world = World::new();
    let ids: Vec<_> = (0..5).map(|_| world.submit(&[EFFECT], json!(1))).collect();
    let executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    assert_eq!(world.seen.effects.load(Ordering::SeqCst), 2);
    for id in ids {
        assert_eq!(world.ledger.ended(id).await.status, ExecutionStatus::Completed);
    }
    executor.shutdown.trigger();
    executor.task.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn work_that_nobody_announced_is_found_within_seconds() {
    let world = World::new();
    let _executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    let id = world.submit(&[ECHO], json!(1));
    let asked = Instant::now();
    world.ledger.ended(id).await;
    assert!(asked.elapsed() < Duration::from_secs(4));
}

#[tokio::test(start_paused = true)]
async fn an_announced_run_starts_at_once() {
    let world = World::new();
    let executor = world.executor(2);
    tokio::time::sleep(Duration::from_millis(500)).await;
    let id = world.submit(&[ECHO], json!(1));
    let asked = Instant::now();
    executor.bell.notify_one();
    world.ledger.ended(id).await;
    assert!(asked.elapsed() < Duration::from_millis(100));
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_claim_was_answered_to_nobody_is_put_back_and_done() {
    let world = World::new();
    let id = world.submit(&[ECHO], json!(1));
    world.ledger.lose_next_claim_reply();
    let _executor = world.executor(2);
    assert_eq!(world.ledger.ended(id).await.status, ExecutionStatus::Completed);
    assert_eq!(world.ledger.released(), [id]);
}

#[tokio::test(start_paused = true)]
async fn an_executor_outlasts_the_absence_of_the_database() {
    let world = World::new();
    world.ledger.set_absent(true);
    let id = world.submit(&[ECHO, EFFECT], json!(1));
    let _executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(60)).await;
    world.ledger.set_absent(false);
    let asked = Instant::now();
    assert_eq!(world.ledger.ended(id).await.status, ExecutionStatus::Completed);
    assert!(asked.elapsed() < Duration::from_secs(10));
}

#[tokio::test(start_paused = true)]
async fn a_cancel_message_ends_the_run() {
    let world = World::new();
    let id = world.submit(&[FOREVER], json!(1));
    let executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    executor.cancels.send(id).await.unwrap();
    assert_eq!(world.ledger.ended(id).await.status, ExecutionStatus::Terminated);
}

#[tokio::test(start_paused = true)]
async fn a_lost_cancel_message_is_made_up_for_by_the_next_renewal() {
    let world = World::new();
    let id = world.submit(&[FOREVER], json!(1));
    let _executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.ledger.request_cancel(id);
    let asked = Instant::now();
    assert_eq!(world.ledger.ended(id).await.status, ExecutionStatus::Terminated);
    assert!(asked.elapsed() < Duration::from_secs(5));
}

#[tokio::test(start_paused = true)]
async fn an_executor_that_ends_hands_its_runs_over() {
    let world = World::new();
    let id = world.submit(&[FOREVER], json!(1));
    let executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    executor.shutdown.trigger();
    executor.task.await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(3));
    assert_eq!(world.ledger.released(), [id]);
}

#[tokio::test(start_paused = true)]
async fn an_executor_ends_in_time_even_when_the_database_is_away() {
    let world = World::new();
    world.submit(&[COUNT, ECHO], json!(50));
    let executor = world.executor(2);
    tokio::time::sleep(Duration::from_millis(1)).await;
    world.ledger.set_absent(true);
    tokio::time::sleep(Duration::from_secs(2)).await;
    let asked = Instant::now();
    executor.shutdown.trigger();
    executor.task.await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
}

#[tokio::test(start_paused = true)]
async fn an_executor_ends_in_time_even_when_the_database_is_silent() {
    let world = World::new();
    (0..6).for_each(|_| _ = world.submit(&[FOREVER], json!(1)));
    world.submit(&[COUNT, ECHO], json!(50));
    let executor = world.executor(10);
    tokio::time::sleep(Duration::from_secs(2)).await;
    world.ledger.fall_silent();
    let asked = Instant::now();
    executor.shutdown.trigger();
    executor.task.await.unwrap();
    assert!(asked.elapsed() < Duration::from_secs(9), "{:?}", asked.elapsed());
}

/// What a graph says that wants three attempts.
fn three_attempts() -> model::Map {
    let said = json!({"execution": {"retry": {"max_attempts": 3, "initial_interval_ms": 3_000}, "timeout_seconds": 20}});
    said.as_object().cloned().unwrap()
}

fn attempts(world: &World) -> Vec<uuid::Uuid> {
    world.seen.attempts.lock().unwrap().clone()
}

#[tokio::test(start_paused = true)]
async fn a_node_is_tried_again_as_its_graph_says_and_always_under_the_same_key() {
    let world = World::new();
    let id = world.submit_with(&[FLAKY, ECHO], json!(2), &three_attempts(), None);
    let started = Instant::now();
    let (_, task) = take(&world).await;
    task.await.unwrap();
    let run = world.ledger.run(id);
    assert_eq!(run.node_executions[0].status, ExecutionStatus::Completed);
    assert_eq!(last_values(&run), [json!(2)]);
    assert_eq!(attempts(&world), [run.node_executions[0].node_exec_id; 3]);
    assert_eq!(world.shift.deps.metrics.node_retries.get(), 2);
    // Between half and the whole of 3 s and 6 s.
    assert!((4..=9).contains(&started.elapsed().as_secs()), "{:?}", started.elapsed());
    assert_eq!(world.shift.deps.nodes.available_permits(), 16);
}

#[tokio::test(start_paused = true)]
async fn a_node_that_fails_at_every_attempt_fails_with_the_last_error() {
    let world = World::new();
    let id = world.submit_with(&[FLAKY], json!(99), &three_attempts(), None);
    let (_, task) = take(&world).await;
    task.await.unwrap();
    let run = world.ledger.run(id);
    assert_eq!(run.node_executions[0].status, ExecutionStatus::Failed);
    assert!(run.node_executions[0].outputs["error"][0].as_str().unwrap().contains("not now"));
    assert_eq!(attempts(&world).len(), 3);
}

#[tokio::test(start_paused = true)]
async fn what_the_block_foresaw_what_emitted_and_what_the_graph_does_not_ask_for_is_tried_once() {
    for (block, metadata) in [(REPORT, three_attempts()), (TRICKLE, three_attempts()), (FLAKY, model::Map::new())] {
        let world = World::new();
        let id = world.submit_with(&[block], json!(1), &metadata, None);
        let (_, task) = take(&world).await;
        task.await.unwrap();
        assert_eq!(world.ledger.run(id).node_executions[0].status, ExecutionStatus::Failed);
        assert_eq!(attempts(&world).len(), 1, "{block}");
    }
}

#[tokio::test(start_paused = true)]
async fn a_node_that_waits_for_its_next_attempt_holds_nothing_and_nobody_up() {
    for release in [false, true] {
        let world = World::new();
        let id = world.submit_with(&[FLAKY], json!(99), &three_attempts(), None);
        let (control, task) = take(&world).await;
        tokio::time::sleep(Duration::from_secs(1)).await;
        assert_eq!((attempts(&world).len(), world.shift.deps.nodes.available_permits()), (1, 16));
        let asked = Instant::now();
        if release {
            control.release.cancel();
        } else {
            control.cancel.cancel();
        };
        let shifted = task.await.unwrap();
        assert!(asked.elapsed() < Duration::from_millis(100), "{:?}", asked.elapsed());
        let status = world.ledger.run(id).status;
        if release {
            assert_eq!((shifted, status), (Shifted::Released, ExecutionStatus::Running));
            world.clock.confirmed(Instant::now());
            world.shift.clone().work(reclaimed(&world, id).await, Control::new(0)).await;
            assert_eq!(world.ledger.run(id).status, ExecutionStatus::Completed);
        } else {
            assert_eq!(status, ExecutionStatus::Terminated);
        }
    }
}

#[tokio::test(start_paused = true)]
async fn no_attempt_with_outside_effects_starts_without_a_lease_to_count_on() {
    let world = World::new();
    let id = world.submit_with(&[FLAKY], json!(1), &three_attempts(), None);
    let (_, task) = take(&world).await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    world.clock.lost();
    tokio::time::sleep(Duration::from_secs(60)).await;
    assert_eq!(attempts(&world).len(), 1);
    world.clock.confirmed(Instant::now());
    task.await.unwrap();
    assert_eq!(attempts(&world).len(), 2);
    assert_eq!(world.ledger.run(id).status, ExecutionStatus::Completed);
}

#[tokio::test(start_paused = true)]
async fn the_time_limit_of_the_graph_holds_for_each_attempt_and_never_exceeds_the_executors() {
    let said = |seconds: u64| json!({ "execution": {"timeout_seconds": seconds} }).as_object().cloned().unwrap();
    for (seconds, expected) in [(20, 20), (80_000, 600)] {
        let world = World::new();
        world.submit_with(&[FOREVER], json!(1), &said(seconds), None);
        let started = Instant::now();
        let (_, task) = take(&world).await;
        // The lease is not renewed here; the block has no outside effects.
        task.await.unwrap();
        assert_eq!(started.elapsed().as_secs(), expected);
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_ends_terminated_at_its_deadline_and_says_why() {
    for seconds_left in [30.0, -5.0] {
        let world = World::new();
        let id = world.submit_with(&[FOREVER, ECHO], json!(1), &model::Map::new(), Some(seconds_left));
        let started = Instant::now();
        let (_, task) = take(&world).await;
        assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
        let run = world.ledger.run(id);
        assert_eq!(run.status, ExecutionStatus::Terminated);
        assert_eq!(run.stats.error.as_deref(), Some(model::PAST_DEADLINE));
        assert_eq!(started.elapsed().as_secs(), if seconds_left > 0.0 { 30 } else { 0 });
    }
}

#[tokio::test(start_paused = true)]
async fn a_run_whose_journal_is_refused_is_given_up_and_not_released() {
    let world = World::new();
    world.ledger.refuse_appends();
    let id = world.submit(&[ECHO], json!(1));
    let executor = world.executor(2);
    tokio::time::sleep(Duration::from_secs(20)).await;
    let given_up = world.ledger.given_up();
    assert_eq!(given_up.iter().map(|run| run.held.graph_exec_id).collect::<Vec<_>>(), [id]);
    assert!(given_up[0].reason.contains("too large"), "{}", given_up[0].reason);
    assert!(world.ledger.released().is_empty());
    executor.shutdown.trigger();
    executor.task.await.unwrap();
}

/// Works on a run whose first of two nodes emits a text of this length, where 5000 bytes are saved in one piece. Three times the value are to
/// be saved: as an output, as what arrived, and as the input of the second node.
async fn emit(length: usize) -> (Shifted, ClaimedRun) {
    let world = World::with_limits(Limits {
        step: 5000,
        ..World::limits()
    });
    let id = world.submit(&[ECHO, ECHO], json!("x".repeat(length)));
    let (_, task) = take(&world).await;
    (task.await.unwrap(), world.ledger.run(id))
}

#[tokio::test(start_paused = true)]
async fn a_value_that_cannot_be_saved_with_what_others_get_of_it_fails_its_node() {
    let (shifted, run) = emit(1000).await;
    assert!(matches!(shifted, Shifted::Finished { .. }));
    assert_eq!((run.status, run.stats.node_error_count), (ExecutionStatus::Completed, 0));

    let (shifted, run) = emit(2000).await;
    assert!(matches!(shifted, Shifted::Finished { .. }));
    assert_eq!((run.status, run.stats.node_error_count), (ExecutionStatus::Completed, 1));
    let error = run.node_executions[0].outputs["error"][0].as_str().unwrap();
    assert!(error.contains("takes 6006 bytes") && error.contains("at most 5000"), "{error}");
}

#[tokio::test(start_paused = true)]
async fn what_cannot_be_saved_in_one_piece_is_not_sent() {
    // The values alone would fit.
    let (shifted, run) = emit(1600).await;
    let Shifted::Stuck { reason } = shifted else { panic!("{shifted:?}") };
    assert!(reason.contains("at most 5000 can be saved"), "{reason}");
    assert_eq!(run.node_executions.len(), 1);
}

#[tokio::test(start_paused = true)]
async fn what_a_node_emits_while_the_database_is_away_is_not_saved_in_one_piece() {
    let world = World::with_limits(Limits {
        step: 50_000,
        ..World::limits()
    });
    let id = world.submit(&[BURST, ECHO], json!("x".repeat(1000)));
    let graph = world.ledger.run(id).graph_id;
    assert!(world.shift.plans.get(graph, 1).await.is_ok());
    let (_, task) = take(&world).await;
    world.ledger.set_absent(true);
    tokio::time::sleep(Duration::from_secs(5)).await;
    world.ledger.set_absent(false);
    assert!(matches!(task.await.unwrap(), Shifted::Finished { .. }));
    let run = world.ledger.run(id);
    assert_eq!((run.status, last_values(&run).len()), (ExecutionStatus::Completed, 40));
}

/// Real threads and real time: a run of this block ends at its time limit, and the other worker keeps the process alive.
fn ends_at_its_time_limit(block: BlockId) {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build()
        .unwrap();
    let seen = runtime.block_on(async {
        let _pulse = crate::pulse::Pulse::start().unwrap();
        let world = World::new();
        let said = json!({ "execution": {"timeout_seconds": 1} }).as_object().cloned().unwrap();
        let endless = world.submit_with(&[block], json!(1), &said, None);
        let _executor = world.executor(4);
        let ended = tokio::time::timeout(Duration::from_secs(60), world.ledger.ended(endless)).await.unwrap();
        assert_eq!(ended.node_executions[0].status, ExecutionStatus::Failed);
        assert!(ended.node_executions[0].outputs["error"][0].as_str().unwrap().contains("time limit"));
        assert_eq!(ended.node_executions[0].outputs["value"][0], json!(1));
        let other = world.submit(&[ECHO, ECHO], json!(1));
        let ended = tokio::time::timeout(Duration::from_secs(60), world.ledger.ended(other)).await.unwrap();
        assert_eq!(ended.status, ExecutionStatus::Completed);
        world.seen.clone()
    });
    seen.enough.store(true, Ordering::Relaxed);
}

#[test]
fn a_block_that_never_yields_costs_its_run_and_no_other() {
    ends_at_its_time_limit(SPIN);
}

#[test]
fn a_block_that_never_stops_emitting_costs_its_run_and_no_other() {
    ends_at_its_time_limit(FLOOD);
}
