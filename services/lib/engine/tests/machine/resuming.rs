//! A run that another executor takes over goes on where the ledger stands.

use engine::run::NodeResult;
use model::ExecutionStatus::{Completed, Running};
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
fn a_run_that_was_never_begun_starts_like_a_new_one() {
    let simulator = Simulator::submit(iteration(), json!({}));
    let mut successor = simulator.crash();
    successor.finish(&mut InOrder);
    assert_eq!(successor.outputs()["o"], [json!(1), json!(2), json!(3)]);
    assert!(successor.started.iter().all(|start| !start.repeated));
}
