//! Graphs of test blocks as a client posts them to `/api/graphs`. They start by themselves: no inputs are needed.

use contract_tests::graphs::{block as contract, graph, link, node};
use rand::rngs::StdRng;
use rand::{Rng, SeedableRng};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::kit::id;

/// How far back the links of [`random_dag`] reach.
const REACH: usize = 50;

/// `length` nodes of one block (`input` → `output`) one after the other, exactly; `defaults` are the inputs of each besides `input`.
pub fn chain(length: usize, block: &str, defaults: &Value) -> Value {
    let blocks: Vec<(&str, Value)> = (0..length).map(|_| (block, defaults.clone())).collect();
    sequence(&blocks)
}

/// A chain of different blocks, each with its inputs besides `input`.
pub fn sequence(blocks: &[(&str, Value)]) -> Value {
    let mut nodes = Vec::with_capacity(blocks.len());
    let mut links = Vec::with_capacity(blocks.len());
    for (index, (block, defaults)) in blocks.iter().enumerate() {
        let mut defaults = defaults.clone();
        if index == 0
            && let Some(defaults) = defaults.as_object_mut()
        {
            defaults.entry("input").or_insert(json!("x"));
        }
        nodes.push(node(&name(index), block, defaults));
        if let Some(before) = index.checked_sub(1) {
            links.push(link(&format!("{}.output", name(before)), &format!("{}.input", name(index))));
        }
    }
    graph("sequence", nodes, links)
}

/// An agent for [`parent`]: its input `x` goes through `length` nodes of one block to its output `y`.
pub fn child(length: usize, block: &str, defaults: &Value) -> Value {
    let mut nodes = vec![
        node("in", contract::INPUT, json!({"name": "x"})),
        node("out", contract::OUTPUT, json!({"name": "y"})),
    ];
    let mut links = Vec::with_capacity(length + 1);
    let mut previous = "in.result".to_owned();
    for index in 0..length {
        nodes.push(node(&name(index), block, defaults.clone()));
        links.push(link(&previous, &format!("{}.input", name(index))));
        previous = format!("{}.output", name(index));
    }
    links.push(link(&previous, "out.value"));
    graph("child", nodes, links)
}

/// Runs version 1 of a [`child`] between two nodes of `block`.
pub fn parent(child: Uuid, block: &str) -> Value {
    let schema = |name: &str| json!({"type": "object", "properties": {name: {"title": name}}, "required": []});
    let agent = json!({
        "graph_id": child, "graph_version": 1, "inputs": {}, "input_schema": schema("x"), "output_schema": schema("y"),
    });
    let nodes = vec![
        node("before", block, json!({"input": "x"})),
        node("agent", contract::AGENT_EXECUTOR, agent),
        node("after", block, json!({})),
    ];
    graph("parent", nodes, vec![link("before.output", "agent.x"), link("agent.y", "after.input")])
}

/// Two durable nodes.
pub fn two_node() -> Value {
    chain(2, id::PASS, &json!({}))
}

/// One node, `width` nodes of `block` behind it, and one that waits for all of them: `width + 2` node executions.
pub fn fan_out(width: usize, block: &str) -> Value {
    let mut nodes = vec![node("first", id::PASS, json!({"input": "x"})), node("last", id::JOIN, json!({}))];
    let mut links = Vec::with_capacity(2 * width);
    for index in 0..width {
        nodes.push(node(&name(index), block, json!({})));
        links.push(link("first.output", &format!("{}.input", name(index))));
        links.push(link(&format!("{}.output", name(index)), &format!("last.values_#_{index}")));
    }
    graph("fan-out", nodes, links)
}

/// A directed acyclic graph of `size` durable nodes, each with one to three links from nodes shortly before it. Each node runs once.
/// The same seed gives the same graph.
pub fn random_dag(size: usize, seed: u64) -> Value {
    let mut random = StdRng::seed_from_u64(seed);
    let mut nodes = Vec::with_capacity(size);
    let mut links = Vec::new();
    for index in 0..size {
        let (block, defaults) = if index == 0 {
            (id::PASS, json!({"input": "x"}))
        } else {
            (id::JOIN, json!({}))
        };
        nodes.push(node(&name(index), block, defaults));
        let nearest = index.saturating_sub(REACH)..index;
        let mut sources: Vec<usize> = (0..random.random_range(1..=3))
            .filter(|_| index > 0)
            .map(|_| random.random_range(nearest.clone()))
            .collect();
        sources.sort_unstable();
        sources.dedup();
        for source in sources {
            links.push(link(&format!("{}.output", name(source)), &format!("{}.values_#_{source}", name(index))));
        }
    }
    graph("random", nodes, links)
}

fn name(index: usize) -> String {
    format!("n{index}")
}
