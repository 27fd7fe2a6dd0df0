//! What holds for every value, and that no graph brings the machine down. What graphs mean, in every order of events and with crashes,
//! is searched in `tests/model`.

use engine::convert::convert;
use engine::pins::{Sink, base_name, merge_inputs, parse_output};
use engine::types::PinType;
use engine::validate::{for_run, for_save};
use engine::value::storable;
use model::NodeInputMasks;
use proptest::prelude::*;
use proptest::test_runner::TestRng;
use serde_json::{Map, Value, json};

use crate::support::{InOrder, Simulator, World, blocks};

fn any_json() -> impl Strategy<Value = Value> {
    let text = prop_oneof![
        any::<String>().boxed(),
        prop::sample::select(vec![
            "inf",
            "-1e999",
            "[1, \"2\"]",
            "{\"a\":[NaN]}",
            " 5 ",
            "true",
            "１２",
            "1_0",
            "\u{0}"
        ])
        .prop_map(str::to_owned)
        .boxed(),
    ];
    let leaf = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::from),
        any::<i64>().prop_map(Value::from),
        any::<f64>().prop_map(Value::from),
        text.prop_map(Value::from),
    ];
    leaf.prop_recursive(4, 32, 5, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
            prop::collection::vec((any_name(), inner), 0..5).prop_map(|entries| Value::Object(entries.into_iter().collect())),
        ]
    })
}

fn any_type() -> impl Strategy<Value = PinType> {
    let scalar = prop::sample::select(vec!["any", "str", "short_text", "int", "float", "bool", "opaque"]).prop_map(|text| text.parse().unwrap());
    scalar.prop_recursive(4, 16, 3, |inner| {
        prop_oneof![
            inner.clone().prop_map(PinType::list),
            (inner.clone(), inner.clone()).prop_map(|(key, value)| PinType::dict(key, value)),
            inner.clone().prop_map(PinType::optional),
            prop::collection::vec(inner, 1..3).prop_map(PinType::Union),
        ]
    })
}

/// Names with selectors, many of them broken.
fn any_name() -> impl Strategy<Value = String> {
    let part = prop::sample::select(vec![
        "x", "_$_", "_#_", "_@_", "0", "-1", "9999", "a", "", "_", "$", "é", "tools_^_", "_~_",
    ]);
    prop::collection::vec(part, 0..7).prop_map(|parts| parts.concat())
}

proptest! {
    #[test]
    fn conversion_never_panics_and_settles(value in any_json(), ty in any_type()) {
        if let Ok(converted) = convert(value, &ty)
            && let Some(once) = converted.into_value()
        {
            // What has been converted converts again: it may arrive at the same pin a second time.
            prop_assert!(convert(once, &ty).is_ok());
        }
    }

    #[test]
    fn reading_pins_never_panics(name in any_name(), value in any_json(), selector in any_name(), node_id in any_name(), pin in any_name()) {
        let sink = Sink { node_id: &node_id, pin: &pin };
        let _ = parse_output(&name, &value, &selector, sink);
        prop_assert!(name.starts_with(base_name(&name)));
    }

    #[test]
    fn merging_keeps_every_key_and_adds_only_bases(entries in prop::collection::vec((any_name(), any_json()), 0..6)) {
        let data: Map<String, Value> = entries.into_iter().collect();
        if let Ok(merged) = merge_inputs(data.clone()) {
            prop_assert!(data.keys().all(|name| merged.contains_key(name)));
            prop_assert!(merged.keys().all(|name| data.contains_key(name) || data.keys().any(|flat| base_name(flat) == name)));
        }
    }

    #[test]
    fn stored_values_are_stable(value in any_json()) {
        let once = storable(value).unwrap();
        let twice = storable(once.clone()).unwrap();
        prop_assert_eq!(once.to_string(), twice.to_string());
    }
}

fn random(mut rng: TestRng) -> impl FnMut(usize) -> usize {
    move |n| rng.random_range(0..n)
}

fn seed(number: u64) -> [u8; 16] {
    let mut seed = [1; 16];
    seed[..8].copy_from_slice(&number.to_le_bytes());
    seed
}

/// Anything at all as a graph: cycles, dangling links, unknown pins, selectors, masks.
fn any_world() -> impl Strategy<Value = World> {
    let pin = prop_oneof![
        prop::sample::select(vec![
            "result",
            "value",
            "x",
            "out",
            "item",
            "items",
            "values_#_a",
            "items_$_0",
            "error",
            "a",
            "b",
            "name"
        ])
        .prop_map(str::to_owned),
        any_name(),
    ];
    let default = prop::collection::vec((pin.clone(), any_json()), 0..4);
    let node = (0..blocks::NAMES.len(), default);
    let link = (0usize..8, pin.clone(), 0usize..8, pin, any::<bool>());
    let parts = (prop::collection::vec(node, 0..7), prop::collection::vec(link, 0..12));
    parts.prop_map(|(nodes, links)| {
        let mut world = World::new();
        for (position, (kind, default)) in nodes.into_iter().enumerate() {
            let default: Map<String, Value> = default.into_iter().collect();
            world = world.node(&position.to_string(), blocks::NAMES[kind], Value::Object(default));
        }
        for (source, output, sink, input, is_static) in links {
            world.graph.links.push(model::Link {
                id: String::new(),
                source_id: source.to_string(),
                sink_id: sink.to_string(),
                source_name: output,
                sink_name: input,
                is_static,
            });
        }
        world
    })
}

impl std::fmt::Debug for World {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.graph.fmt(f)
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    #[test]
    fn no_graph_makes_the_machine_panic(mut world in any_world(), inputs in any_json(), order in any::<u64>()) {
        let Ok(graph) = world.prepare() else { return Ok(()) };
        let _ = for_save(&graph, &*world.blocks);
        let _ = for_run(&graph, &*world.blocks, &NodeInputMasks::new());
        let inputs = inputs.as_object().cloned().unwrap_or_default();
        if world.submit(Value::Object(inputs.clone())).is_err() {
            return Ok(());
        }
        // Only the machine is on trial here: its test blocks take what fits their schema.
        let mut simulator = Simulator::submit(world, Value::Object(inputs));
        let mut pick = random(TestRng::from_seed(proptest::test_runner::RngAlgorithm::XorShift, &seed(order)));
        for _ in 0..300 {
            if !simulator.step(&mut pick) {
                break;
            }
        }
        simulator.end();
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(512))]

    /// Whatever the graph, the order of events and the moment of the cancellation.
    #[test]
    fn a_retry_takes_over_everything_that_completed_unless_something_failed(
        mut world in any_world(), inputs in any_json(), order in any::<u64>(), steps in 0_usize..120
    ) {
        let Ok(graph) = world.prepare() else { return Ok(()) };
        let inputs = Value::Object(inputs.as_object().cloned().unwrap_or_default());
        // A graph that cannot run is never retried.
        if !for_run(&graph, &*world.blocks, &NodeInputMasks::new()).is_ok_and(|errors| errors.is_empty()) || world.submit(inputs.clone()).is_err() {
            return Ok(());
        }
        let mut simulator = Simulator::submit(world, inputs);
        let mut pick = random(TestRng::from_seed(proptest::test_runner::RngAlgorithm::XorShift, &seed(order)));
        for _ in 0..steps {
            if !simulator.step(&mut pick) {
                break;
            }
        }
        let now = simulator.now();
        simulator.run.cancel(now);
        simulator.end();
        let completed = simulator.ledger.history().completed.len();
        let failed = simulator.run.stats().node_error_count;
        let (second, taken) = simulator.retry();
        prop_assert!(taken <= completed);
        prop_assert!(failed > 0 || taken == completed, "{taken} of {completed}");
        let again = second.run.node_executions().filter(|execution| execution.status == model::ExecutionStatus::Completed);
        prop_assert_eq!(again.count(), taken);
    }
}

#[test]
fn thousands_of_waiting_executions_are_claimed_in_order_and_fast() {
    let items: Vec<Value> = (0..5_000).map(Value::from).collect();
    let world = World::new()
        .node("xs", "each", json!({"items": items}))
        .node("ys", "each", json!({"items": items}))
        .node("sum", "add", json!({}))
        .link("xs.item -> sum.a")
        .link("ys.item -> sum.b");
    let mut simulator = Simulator::submit(world, json!({}));
    let began = std::time::Instant::now();
    while simulator.step(&mut InOrder) {}
    simulator.end();
    let sums = simulator.of("sum");
    assert_eq!(sums.len(), 5_000);
    assert!(
        sums.iter()
            .enumerate()
            .all(|(position, sum)| sum.output_data["sum"] == [json!(2.0 * position as f64)])
    );
    assert!(began.elapsed().as_secs() < 60, "took {:?}", began.elapsed());
}

#[test]
fn a_node_with_thousands_of_linked_pins_fills_fast() {
    let mut world = World::new().node("join", "join", json!({}));
    for number in 0..1_000 {
        let source = format!("s{number}");
        world = world
            .node(&source, "pass", json!({"x": number}))
            .link(&format!("{source}.out -> join.values_#_{number}"));
    }
    let mut simulator = Simulator::submit(world, json!({}));
    let began = std::time::Instant::now();
    while simulator.step(&mut InOrder) {}
    simulator.end();
    let joined = &simulator.of("join")[0];
    assert_eq!(joined.input_data["values"].as_object().unwrap().len(), 1_000);
    assert!(began.elapsed().as_secs() < 30, "took {:?}", began.elapsed());
}
