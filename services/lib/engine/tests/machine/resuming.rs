//! A run that another executor takes over goes on where the ledger stands.

use engine::run::NodeResult;
use model::ExecutionStatus::{Completed, Review, Running, Terminated};
use model::NodeStats;
use serde_json::json;

use crate::support::simulator::statuses;
use crate::support::{InOrder, Simulator, World, at};

fn iteration() -> World {
    World::new()
        .node("items", "each", json!({"items": [1, 2, 3]}))
        .node("inner", "pass", json!({}))
        .node("out", "output", json!({"name": "o"}))
        .link("items.item -> inner.x")
        .link("inner.out -> out.value")
}

#[test]
fn a_node_caught_in_flight_runs_again_and_its_values_arrive_once() {
    let mut simulator = Simulator::submit(iteration(), json!({}));
    for choice in [0, 1, 1] {
        simulator.step(&mut |_| choice);
    }
    assert_eq!(statuses(&simulator.of("items")), [Running]);
    assert_eq!(simulator.of("items")[0].output_data["item"], [json!(1), json!(2)]);
    let mut successor = simulator.crash();
    successor.finish(&mut InOrder);
    assert!(successor.started.iter().any(|start| start.repeated));
    assert_eq!(successor.of("items")[0].output_data["item"], [json!(1), json!(2), json!(3)]);
    assert_eq!(successor.outputs()["o"], [json!(1), json!(2), json!(3)]);
    assert_eq!(successor.run.stats().node_count, 7);
}

#[test]
fn values_held_back_behind_an_earlier_execution_survive_a_crash() {
    let mut simulator = Simulator::submit(iteration(), json!({}));
    let mut clock = 10;
    let mut tick = || {
        clock += 1;
        at(clock)
    };
    let items = simulator.run.next_ready(tick()).unwrap();
    for item in [1, 2, 3] {
        simulator.run.output(items.node_exec_id, "item", json!(item), tick()).unwrap();
    }
    simulator
        .run
        .finish(items.node_exec_id, NodeResult::Completed, NodeStats::default(), tick());
    let inner: Vec<_> = (0..3).map(|_| simulator.run.next_ready(tick()).unwrap()).collect();
    // The two younger executions end, the oldest does not.
    for start in &inner[1..] {
        let value = start.input["x"].clone();
        simulator.run.output(start.node_exec_id, "out", value, tick()).unwrap();
        simulator
            .run
            .finish(start.node_exec_id, NodeResult::Completed, NodeStats::default(), tick());
    }
    simulator.keep();
    assert_eq!(statuses(&simulator.of("inner")), [Running, Completed, Completed]);
    assert!(simulator.outputs().is_empty());
    let mut successor = simulator.crash();
    successor.finish(&mut InOrder);
    assert_eq!(successor.outputs()["o"], [json!(1), json!(2), json!(3)]);
}

#[test]
fn values_keep_their_order_when_the_clock_of_the_next_executor_is_behind() {
    let mut first = Simulator::submit(iteration(), json!({}));
    first.clock = 1_000;
    while first.outputs().is_empty() {
        assert!(first.step(&mut InOrder));
    }
    let mut second = first.crash();
    second.clock = 10;
    while second.outputs()["o"].len() < 3 {
        assert!(second.step(&mut InOrder));
    }
    let mut third = second.crash();
    assert_eq!(third.finish(&mut InOrder), Completed);
    assert_eq!(third.outputs()["o"], [json!(1), json!(2), json!(3)]);
}

#[test]
fn a_run_that_was_never_begun_starts_like_a_new_one() {
    let simulator = Simulator::submit(iteration(), json!({}));
    let mut successor = simulator.crash();
    successor.finish(&mut InOrder);
    assert_eq!(successor.outputs()["o"], [json!(1), json!(2), json!(3)]);
    assert!(successor.started.iter().all(|start| !start.repeated));
}

/// One node of the run is parked for review; the others have ended.
fn parked() -> Simulator {
    let mut simulator = Simulator::submit(iteration(), json!({}));
    let now = simulator.now();
    let items = simulator.run.next_ready(now).unwrap();
    simulator.run.finish(items.node_exec_id, NodeResult::Review, NodeStats::default(), now);
    simulator
}

#[test]
fn a_run_with_a_parked_node_rests_in_review_and_starts_it_again_as_a_repetition() {
    let mut simulator = parked();
    assert_eq!(simulator.end(), Review);
    assert_eq!(statuses(&simulator.of("items")), [Review]);
    // A parked node counts, once.
    assert_eq!(simulator.run.stats().node_count, 1);
    let mut successor = simulator.crash();
    assert_eq!(successor.finish(&mut InOrder), Completed);
    assert!(successor.started[0].repeated);
    assert_eq!(successor.outputs()["o"], [json!(1), json!(2), json!(3)]);
    assert_eq!(successor.run.stats().node_count, 7);
}

#[test]
fn a_run_that_is_cancelled_leaves_no_node_in_review() {
    let mut simulator = parked();
    let now = simulator.now();
    simulator.run.cancel(now);
    assert_eq!(simulator.end(), Terminated);
    assert_eq!(statuses(&simulator.of("items")), [Terminated]);
}

#[test]
fn news_starts_a_parked_node_again_while_the_run_goes_on() {
    let mut simulator = parked();
    simulator.keep();
    assert!(simulator.run.is_idle());
    simulator.run.recheck();
    assert_eq!(simulator.finish(&mut InOrder), Completed);
    assert!(simulator.started[0].repeated);
    assert_eq!(simulator.outputs()["o"], [json!(1), json!(2), json!(3)]);
}

#[test]
fn what_a_node_had_emitted_before_it_was_parked_arrives_once() {
    let mut simulator = Simulator::submit(iteration(), json!({}));
    let now = simulator.now();
    let items = simulator.run.next_ready(now).unwrap();
    simulator.run.output(items.node_exec_id, "item", json!(1), now).unwrap();
    simulator.keep();
    // The next owner does not run it but parks it.
    let mut successor = simulator.crash();
    let now = successor.now();
    let items = successor.run.next_ready(now).unwrap();
    assert!(items.repeated);
    successor.run.finish(items.node_exec_id, NodeResult::Review, NodeStats::default(), now);
    assert_eq!(successor.finish(&mut InOrder), Review);
    let mut last = successor.crash();
    assert_eq!(last.finish(&mut InOrder), Completed);
    assert_eq!(last.of("items")[0].output_data["item"], [json!(1), json!(2), json!(3)]);
    assert_eq!(last.outputs()["o"], [json!(1), json!(2), json!(3)]);
}
