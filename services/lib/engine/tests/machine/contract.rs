//! The cases that the contract names (internals §2.3–2.11, §9.1, findings).

use engine::error::GraphError;
use engine::run::{NodeResult, OutputError};
use model::ExecutionStatus::{Completed, Failed, Incomplete, Queued, Review, Running, Terminated};
use model::NodeStats;
use serde_json::{Value, json};

use crate::support::simulator::{run, statuses};
use crate::support::world::object;
use crate::support::{InOrder, Simulator, World, at};

#[test]
fn the_sample_graph_has_exactly_four_node_executions_in_queue_order() {
    let world = World::new()
        .node("in_a", "input", json!({"name": "a"}))
        .node("in_b", "input", json!({"name": "b"}))
        .node("fill", "join", json!({"values_#_c": "!!!"}))
        .node("store", "store", json!({}))
        .link("in_a.result -> fill.values_#_a")
        .link("in_b.result -> fill.values_#_b")
        .link("fill.output -> store.input");
    let mut simulator = run(world, json!({"a": "Hello", "b": "World"}));
    assert_eq!(simulator.run.status(), Completed);
    assert_eq!(simulator.total(), 4);
    let times: Vec<_> = simulator.run.node_executions().map(|execution| execution.queue_time).collect();
    assert!(times.is_sorted());
    let resolved = json!({
        "values": {"a": "Hello", "b": "World", "c": "!!!"},
        "values_#_a": "Hello", "values_#_b": "World", "values_#_c": "!!!",
    });
    assert_eq!(Value::Object(simulator.of("fill")[0].input_data.clone()), resolved);
    assert_eq!(simulator.of("store")[0].output_data["output"], [resolved["values"].clone()]);
    assert_eq!(simulator.run.stats().node_count, 4);
    assert_eq!(simulator.run.stats().nodes_walltime, 4.0);
}

#[test]
fn a_linked_pin_is_awaited_even_with_a_default() {
    let world = World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("other", "input", json!({"name": "y"}))
        .node("sum", "add", json!({"a": 1, "b": 100}))
        .link("in.result -> sum.a")
        .link("other.result -> sum.b");
    let mut simulator = run(world, json!({"x": 5}));
    let waiting = simulator.of("sum");
    assert_eq!(statuses(&waiting), [Incomplete]);
    assert_eq!(Value::Object(waiting[0].input_data.clone()), json!({"a": 5}));
    assert_eq!(simulator.run.status(), Completed);
}

#[test]
fn a_static_value_completes_three_waiting_executions() {
    let mut world = World::new()
        .node("in", "input", json!({"name": "five"}))
        .node("five", "store", json!({}))
        .node("sum", "add", json!({}))
        .link("in.result -> five.input")
        .link("five.output -> sum.b");
    for name in ["s1", "s2", "s3"] {
        world = world.node(name, "store", json!({"input": 4})).link(&format!("{name}.output -> sum.a"));
    }
    let mut simulator = run(world, json!({"five": 5}));
    assert_eq!(simulator.total(), 8);
    let sums = simulator.of("sum");
    assert_eq!(statuses(&sums), [Completed; 3]);
    assert!(sums.iter().all(|sum| sum.output_data["sum"] == [json!(9.0)]));
}

#[test]
fn later_executions_reuse_a_static_value() {
    let world = World::new()
        .node("in", "input", json!({"name": "p"}))
        .node("items", "each", json!({"items": [1, 2, 3]}))
        .node("sum", "add", json!({}))
        .link("in.result -> sum.b")
        .link("items.item -> sum.a");
    let mut simulator = run(world, json!({"p": 10}));
    let sums: Vec<_> = simulator.of("sum").iter().map(|sum| sum.output_data["sum"][0].clone()).collect();
    assert_eq!(sums, [json!(11.0), json!(12.0), json!(13.0)]);
}

#[test]
fn a_clients_static_flag_on_an_ordinary_link_counts() {
    let world = World::new()
        .node("p", "pass", json!({"x": 10}))
        .node("items", "each", json!({"items": [1, 2]}))
        .node("sum", "add", json!({}))
        .link_with("p.out -> sum.b", true)
        .link("items.item -> sum.a");
    let mut simulator = run(world, json!({}));
    assert_eq!(statuses(&simulator.of("sum")), [Completed, Completed]);
}

#[test]
fn values_claim_the_oldest_execution_that_lacks_them() {
    let world = World::new()
        .node("xs", "each", json!({"items": [1, 2, 3]}))
        .node("ys", "each", json!({"items": [10, 20]}))
        .node("sum", "add", json!({}))
        .link("xs.item -> sum.a")
        .link("ys.item -> sum.b");
    let mut simulator = run(world, json!({}));
    let sums = simulator.of("sum");
    assert_eq!(statuses(&sums), [Completed, Completed, Incomplete]);
    assert_eq!(sums[0].output_data["sum"], [json!(11.0)]);
    assert_eq!(sums[1].output_data["sum"], [json!(22.0)]);
    assert_eq!(sums[2].input_data["a"], 3);
}

#[test]
fn two_links_into_one_dynamic_pin_make_two_executions() {
    let world = World::new()
        .node("a", "pass", json!({"x": 1}))
        .node("b", "pass", json!({"x": 2}))
        .node("join", "join", json!({}))
        .link("a.out -> join.values_#_k")
        .link("b.out -> join.values_#_k");
    let mut simulator = run(world, json!({}));
    assert_eq!(statuses(&simulator.of("join")), [Completed, Completed]);
}

#[test]
fn a_failed_node_is_counted_its_error_is_routed_and_the_run_completes() {
    let world = World::new()
        .node("bad", "fail", json!({"x": 1}))
        .node("after", "pass", json!({}))
        .node("handler", "pass", json!({}))
        .link("bad.out -> after.x")
        .link("bad.error -> handler.x");
    let mut simulator = run(world, json!({}));
    let bad = simulator.of("bad");
    assert_eq!(statuses(&bad), [Failed]);
    assert_eq!(bad[0].output_data["error"], [json!("raised by fail")]);
    assert_eq!(simulator.of("handler")[0].input_data["x"], "raised by fail");
    assert_eq!(statuses(&simulator.of("after")), [Completed]);
    assert_eq!((simulator.run.status(), simulator.run.stats().node_error_count), (Completed, 1));
}

#[test]
fn what_cannot_be_converted_or_stored_leaves_the_node_waiting_unreported() {
    let world = World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("whole", "whole", json!({}))
        .node("sum", "add", json!({"b": 1}))
        .link("in.result -> whole.n")
        .link("in.result -> sum.a");
    let mut simulator = run(world, json!({"x": "inf"}));
    for node in ["whole", "sum"] {
        assert_eq!(statuses(&simulator.of(node)), [Incomplete]);
    }
    assert_eq!(simulator.of("whole")[0].input_data["n"], "inf");
    assert_eq!((simulator.run.status(), simulator.run.stats().node_error_count), (Completed, 0));
}

#[test]
fn a_starting_node_whose_input_cannot_be_converted_refuses_the_run() {
    let mut world = World::new().node("whole", "whole", json!({"n": "1e400"}));
    assert!(matches!(world.submit(json!({})), Err(GraphError::StartingInput { .. })));
    let mut world = World::new().node("whole", "whole", json!({"n": 1, "kind": "c"}));
    let message = world.submit(json!({})).unwrap_err().to_string();
    assert!(message.starts_with("Input data missing or mismatch for `whole`: "), "{message}");
}

#[test]
fn a_selector_that_fails_takes_only_its_own_link_out() {
    let world = World::new()
        .node("list", "pass", json!({"x": [1]}))
        .node("a", "pass", json!({}))
        .node("b", "pass", json!({}))
        .link("list.out_$_-5 -> a.x")
        .link("list.out_$_0 -> b.x");
    let mut simulator = run(world, json!({}));
    assert!(simulator.of("a").is_empty());
    assert_eq!(simulator.of("b")[0].input_data["x"], 1);
}

#[test]
fn null_is_delivered_under_the_exact_name_only() {
    let world = World::new()
        .node("p", "each", json!({"items": [{"k": null}, null]}))
        .node("by_path", "pass", json!({}))
        .node("exact", "pass", json!({}))
        .link("p.item_#_k -> by_path.x")
        .link("p.item -> exact.x");
    let mut simulator = run(world, json!({}));
    assert!(simulator.of("by_path").is_empty());
    let exact = simulator.of("exact");
    // The null arrives, and a required pin that holds null never fits.
    assert_eq!(statuses(&exact), [Completed, Incomplete]);
    assert_eq!(exact[1].input_data["x"], Value::Null);
}

#[test]
fn outputs_of_one_node_are_routed_in_the_order_in_which_its_executions_started() {
    let world = World::new()
        .node("items", "each", json!({"items": [[1, 2], [3], [4, 5]]}))
        .node("inner", "each", json!({}))
        .node("out", "output", json!({"name": "o"}))
        .link("items.item -> inner.items")
        .link("inner.item -> out.value");
    let mut simulator = Simulator::submit(world, json!({}));
    // Always the youngest block goes on: the third list is through before the first.
    simulator.finish(&mut |n: usize| n - 1);
    assert_eq!(simulator.outputs()["o"], [json!(1), json!(2), json!(3), json!(4), json!(5)]);
}

#[test]
fn a_node_whose_input_does_not_fit_when_it_starts_says_so_and_is_completed() {
    let mut world = World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("whole", "whole", json!({}))
        .node("handler", "pass", json!({}))
        .link("in.result -> whole.n")
        .link("whole.error -> handler.x");
    let mut claimed = world.submit(json!({"x": 3})).unwrap();
    let whole = world.ids()["whole"];
    let mut record = claimed.node_executions[0].clone();
    record.node_exec_id = uuid::Uuid::from_u128(99);
    record.node_id = whole;
    record.execution_data = Some(json!({"n": "inf"}).as_object().unwrap().clone());
    claimed.node_executions = vec![record];
    let mut simulator = Simulator::claim(world, claimed);
    simulator.finish(&mut InOrder);
    let whole = simulator.of("whole");
    assert_eq!(statuses(&whole), [Completed]);
    assert_eq!(simulator.of("handler")[0].input_data["x"], whole[0].output_data["error"][0]);
    assert_eq!(simulator.run.stats().node_error_count, 0);
}

#[test]
fn masks_override_what_arrives_and_reach_dynamic_pins() {
    let world = World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("join", "join", json!({}))
        .node("out", "output", json!({"name": "o"}))
        .link("in.result -> join.values_#_a")
        .link("join.output -> out.value")
        .mask("join", json!({"values_#_b": "masked"}))
        .mask("out", json!({"name": "renamed"}));
    let simulator = run(world, json!({"x": 1}));
    assert_eq!(simulator.outputs()["renamed"], [json!({"a": 1, "b": "masked"})]);
}

#[test]
fn notes_do_not_start_but_run_when_something_arrives() {
    let world = World::new()
        .node("p", "pass", json!({"x": 5}))
        .node("alone", "note", json!({"text": "n"}))
        .node("linked", "note", json!({}))
        .link("p.out -> linked.text");
    let mut simulator = run(world, json!({}));
    assert!(simulator.of("alone").is_empty());
    assert_eq!(simulator.of("linked")[0].input_data["text"], "5");
    let mut notes_only = World::new().node("alone", "note", json!({"text": "n"}));
    assert!(matches!(notes_only.submit(json!({})), Err(GraphError::NoStartingNode)));
}

#[test]
fn an_input_node_with_a_link_starts_and_waits() {
    let world = || {
        World::new()
            .node("p", "pass", json!({"x": 1}))
            .node("in", "input", json!({"name": "x"}))
            .link("p.out -> in.value")
    };
    let refused = world().submit(json!({})).unwrap_err().to_string();
    assert!(refused.contains("unpopulated links {'value'}"), "{refused}");
    let mut simulator = run(world(), json!({"x": 2}));
    let values: Vec<_> = simulator
        .of("in")
        .iter()
        .map(|execution| execution.output_data["result"][0].clone())
        .collect();
    assert_eq!(values, [json!(2), json!(1)]);
}

#[test]
fn a_given_null_hides_the_default_of_an_input() {
    let world = || World::new().node("in", "input", json!({"name": "x", "value": 7}));
    assert_eq!(run(world(), json!({})).of("in")[0].output_data["result"], [json!(7)]);
    assert!(run(world(), json!({"x": null})).of("in")[0].output_data.is_empty());
}

#[test]
fn an_agent_gets_its_settings_with_the_values_as_inputs() {
    let schema = |name: &str| json!({"properties": {name: {}}});
    let mut settings = json!({"graph_id": "g", "input_schema": schema("a"), "output_schema": schema("r"), "inputs": {"b": 2}});
    let inner = "00000000-0000-0000-0000-0000000000aa";
    settings["nodes_input_masks"] = json!({ inner: {"own": 1, "both": 1} });
    let mut world = World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("agent", "agent", settings)
        .link("in.result -> agent.a");
    world.masks.insert(inner.parse().unwrap(), object(json!({"both": 2, "given": 2})));
    let mut simulator = run(world, json!({"x": "inf"}));
    let agent = &simulator.of("agent")[0];
    assert_eq!(Value::Object(agent.input_data.clone()), json!({"b": 2, "a": "inf"}));
    let payload = &simulator
        .started
        .iter()
        .find(|start| start.node_exec_id == agent.node_exec_id)
        .unwrap()
        .input;
    assert_eq!(payload["inputs"], json!({"b": 2, "a": "inf"}));
    assert_eq!(payload["graph_id"], "g");
    assert_eq!(payload["user_id"], uuid::Uuid::nil().to_string());
    assert_eq!(
        payload["nodes_input_masks"],
        json!({ inner: {"own": 1, "both": 2, "given": 2} }),
        "the run's over its own"
    );
}

#[test]
fn a_tool_output_reaches_the_pin_that_it_names() {
    let mut world = World::new()
        .node("in", "input", json!({"name": "tool"}))
        .node("tools", "tools", json!({}))
        .node("called", "pass", json!({}))
        .node("not_called", "pass", json!({}))
        .link("in.result -> tools.x")
        .link("tools.tools -> called.x")
        .link("tools.tools -> not_called.x");
    let called = world.ids()["called"];
    let mut simulator = run(world, json!({"tool": format!("tools_^_{called}_~_x")}));
    assert_eq!(simulator.of("called")[0].input_data["x"], "called");
    assert!(simulator.of("not_called").is_empty());
}

#[test]
fn values_show_storage_order_and_no_control_characters_on_the_other_side() {
    let world = World::new()
        .node("p", "pass", json!({}))
        .node("in", "input", json!({"name": "x"}))
        .node("out", "output", json!({"name": "o"}))
        .link("in.result -> p.x")
        .link("p.out -> out.value");
    let simulator = run(world, json!({"x": {"bb": "\u{0}x", "a": 1}}));
    assert_eq!(simulator.outputs()["o"][0].to_string(), r#"{"a":1,"bb":"x"}"#);
}

#[test]
fn a_loop_that_nests_without_end_fails_its_node() {
    let world = World::new()
        .node("seed", "pass", json!({"x": 0}))
        .node("wrap", "wrap", json!({}))
        .link("seed.out -> wrap.x")
        .link("wrap.out -> wrap.x");
    let mut simulator = run(world, json!({}));
    let last = simulator.of("wrap").pop().unwrap();
    assert_eq!(last.status, Failed);
    assert!(last.output_data["error"][0].as_str().unwrap().contains("nested"));
    assert_eq!(simulator.run.status(), Completed);
}

#[test]
fn cancelling_terminates_what_waits_in_the_queue_and_routes_nothing_more() {
    let world = World::new()
        .node("a", "pass", json!({"x": 1}))
        .node("b", "pass", json!({"x": 2}))
        .node("after", "pass", json!({}))
        .link("a.out -> after.x");
    let mut simulator = Simulator::submit(world, json!({}));
    let start = simulator.run.next_ready(at(10)).unwrap();
    simulator.run.cancel(at(11));
    assert!(simulator.run.next_ready(at(12)).is_none());
    assert!(!simulator.run.is_idle());
    simulator.run.output(start.node_exec_id, "out", json!(1), at(13)).unwrap();
    simulator
        .run
        .finish(start.node_exec_id, NodeResult::Terminated, NodeStats::default(), at(14));
    assert!(simulator.run.is_idle());
    assert_eq!(simulator.end(), Terminated);
    assert_eq!(statuses(&simulator.of("a")), [Terminated]);
    assert_eq!(statuses(&simulator.of("b")), [Terminated]);
    assert!(simulator.of("after").is_empty());
}

#[test]
fn a_run_that_fails_as_a_whole_says_why() {
    let world = World::new().node("a", "pass", json!({"x": 1}));
    let mut simulator = Simulator::submit(world, json!({}));
    simulator.run.fail("You have no credits left to run an agent.".to_owned(), at(5));
    assert!(simulator.run.is_idle());
    assert_eq!(simulator.end(), Failed);
    assert_eq!(statuses(&simulator.of("a")), [Failed]);
    assert_eq!(simulator.run.stats().error.as_deref(), Some("You have no credits left to run an agent."));
}

#[test]
fn a_node_in_review_leaves_the_run_in_review_with_the_other_branches_done() {
    let world = World::new()
        .node("a", "pass", json!({"x": 1}))
        .node("b", "pass", json!({"x": 2}))
        .node("out", "output", json!({"name": "o"}))
        .link("b.out -> out.value");
    let mut simulator = Simulator::submit(world, json!({}));
    let parked = simulator.run.next_ready(at(10)).unwrap();
    simulator
        .run
        .finish(parked.node_exec_id, NodeResult::Review, NodeStats::default(), at(11));
    assert_eq!(simulator.finish(&mut InOrder), Review);
    assert_eq!(statuses(&simulator.of("a")), [Review]);
    assert_eq!(simulator.outputs()["o"], [json!(2)]);
}

#[test]
fn a_late_word_from_a_block_is_not_taken() {
    let world = World::new().node("a", "pass", json!({"x": 1}));
    let mut simulator = Simulator::submit(world, json!({}));
    let start = simulator.run.next_ready(at(10)).unwrap();
    simulator
        .run
        .finish(start.node_exec_id, NodeResult::Completed, NodeStats::default(), at(11));
    let late = simulator.run.output(start.node_exec_id, "out", json!(1), at(12));
    assert_eq!(late, Err(OutputError::NotRunning));
    simulator
        .run
        .finish(start.node_exec_id, NodeResult::Terminated, NodeStats::default(), at(13));
    assert_eq!(simulator.end(), Completed);
    assert_eq!(statuses(&simulator.of("a")), [Completed]);
}

#[test]
fn events_carry_the_full_record() {
    let world = World::new()
        .node("in", "input", json!({"name": "x"}))
        .node("out", "output", json!({"name": "o"}))
        .link("in.result -> out.value");
    let mut simulator = Simulator::submit(world, json!({"x": 1}));
    let before = simulator.run.graph_execution();
    assert_eq!(
        (before.meta.status, before.meta.started_at, before.meta.ended_at),
        (Running, at(1), at(1))
    );
    let queued = simulator.of("in").pop().unwrap();
    assert_eq!((queued.status, queued.queue_time, queued.start_time), (Queued, Some(at(0)), None));
    simulator.finish(&mut InOrder);
    let after = simulator.run.graph_execution();
    assert_eq!(after.outputs["o"], [json!(1)]);
    let stats = after.meta.stats.unwrap();
    assert_eq!((stats.node_exec_count, stats.node_error_count), (2, 0));
    assert!(stats.duration > 0.0);
    let done = simulator.of("out").pop().unwrap();
    assert!(done.queue_time < done.start_time && done.start_time < done.end_time);
}
