//! A run that retries a finished one goes on where that one failed.

use std::sync::Arc;

use model::ExecutionStatus::{Completed, Failed, Terminated};
use serde_json::{Value, json};

use crate::support::simulator::{run, statuses};
use crate::support::{Blocks, InOrder, Simulator, World};

/// The names of the nodes that were started, in order.
fn started(simulator: &mut Simulator) -> Vec<String> {
    let ids = simulator.world.ids();
    let name = |id| ids.iter().find(|(_, known)| **known == id).unwrap().0.clone();
    simulator.started.iter().map(|start| name(start.node_id)).collect()
}

fn retry_healed(mut failed: Simulator) -> (Simulator, usize) {
    failed.world.blocks = Arc::new(Blocks::healed());
    failed.retry()
}

/// in → before → flaky → after → out, and what the error is good for.
fn chain() -> World {
    World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("before", "pass", json!({}))
        .node("flaky", "fail", json!({}))
        .node("after", "pass", json!({}))
        .node("out", "output", json!({"name": "y"}))
        .node("excuse", "output", json!({"name": "excuse"}))
        .link("in.result -> before.x")
        .link("before.out -> flaky.x")
        .link("flaky.out -> after.x")
        .link("after.out -> out.value")
        .link("flaky.error -> excuse.value")
}

#[test]
fn finished_nodes_are_not_run_again_and_the_failed_one_is() {
    let mut first = run(chain(), json!({"x": 7}));
    assert_eq!(statuses(&first.of("flaky")), [Failed]);
    // It had emitted before it failed: what came of that is not taken over, as the node emits anew.
    assert_eq!(first.outputs()["y"], [json!(7)]);
    assert_eq!(first.outputs()["excuse"], [json!("raised by fail")]);
    let (mut second, taken) = retry_healed(first);
    assert_eq!(taken, 2);
    assert_eq!(second.finish(&mut InOrder), Completed);
    assert_eq!(started(&mut second), ["flaky", "after", "out"]);
    assert_eq!(serde_json::to_value(second.outputs()).unwrap(), json!({"y": [7]}));
    let stats = second.run.stats();
    assert_eq!(
        (stats.node_count, stats.node_error_count, stats.cost),
        (5, 0, 3 * 3),
        "taken over nodes cost nothing"
    );
}

#[test]
fn a_retry_that_fails_again_can_be_retried() {
    let (mut second, _) = run(chain(), json!({"x": 7})).retry();
    second.finish(&mut InOrder);
    assert_eq!(statuses(&second.of("flaky")), [Failed]);
    let (mut third, taken) = retry_healed(second);
    assert_eq!(taken, 2);
    third.finish(&mut InOrder);
    assert_eq!(started(&mut third), ["flaky", "after", "out"]);
}

#[test]
fn values_that_were_not_routed_any_more_when_the_run_was_stopped_arrive() {
    let mut first = Simulator::submit(chain(), json!({"x": 7}));
    let now = first.now();
    let start = first.run.next_ready(now).unwrap();
    first.run.cancel(now);
    first.run.output(start.node_exec_id, "result", json!(7), now).unwrap();
    first
        .run
        .finish(start.node_exec_id, engine::run::NodeResult::Completed, Default::default(), now);
    first.keep();
    assert_eq!(first.end(), Terminated);
    assert_eq!(first.total(), 1, "nothing was routed");
    let (mut second, taken) = retry_healed(first);
    assert_eq!(taken, 1);
    second.finish(&mut InOrder);
    assert_eq!(second.outputs()["y"], [json!(7)]);
    assert_eq!(started(&mut second)[0], "before");
}

#[test]
fn of_many_executions_of_a_node_only_the_failed_ones_run_again() {
    let world = World::new()
        .node("items", "each", json!({"items": ["a", 1, "b"]}))
        .node("tool", "tools", json!({}))
        .node("out", "output", json!({"name": "o"}))
        .link("items.item -> tool.x")
        .link("tool.a -> out.value")
        .link("tool.b -> out.value");
    let mut first = run(world, json!({}));
    assert_eq!(statuses(&first.of("tool")), [Completed, Failed, Completed]);
    let (mut second, taken) = first.retry();
    assert_eq!(taken, 1 + 2 + 2);
    second.finish(&mut InOrder);
    assert_eq!(started(&mut second), ["tool"]);
    assert_eq!(second.started[0].input["x"], json!(1));
    assert_eq!(second.outputs()["o"], [json!("called"), json!("called")]);
}

#[test]
fn other_inputs_take_over_nothing_that_depends_on_them() {
    let mut first = run(chain(), json!({"x": 7}));
    first.ledger.run.inputs.insert("x".to_owned(), json!(8));
    let (mut second, taken) = retry_healed(first);
    assert_eq!(taken, 0);
    second.finish(&mut InOrder);
    assert_eq!(second.outputs()["y"], [json!(8)]);
}

#[test]
fn a_node_that_emitted_nothing_holds_nothing_up() {
    // The first execution of "tool" emits nothing, the later ones wait for it with their values.
    let world = World::new()
        .node("lists", "each", json!({"items": [[], [1, 2]]}))
        .node("inner", "each", json!({}))
        .node("flaky", "fail", json!({}))
        .node("out", "output", json!({"name": "o"}))
        .link("lists.item -> inner.items")
        .link("inner.item -> flaky.x")
        .link("flaky.out -> out.value");
    let first = run(world, json!({}));
    let (mut second, taken) = retry_healed(first);
    assert_eq!(taken, 3);
    second.finish(&mut InOrder);
    assert_eq!(second.outputs()["o"], [json!(1), json!(2)]);
    let again: Vec<Value> = second
        .started
        .iter()
        .map(|start| start.input.get("x").cloned().unwrap_or_default())
        .collect();
    assert_eq!(again.iter().filter(|x| !x.is_null()).count(), 2);
}
