//! Graphs as a client posts them.

use serde_json::{Value, json};

/// Block ids of the contract.
pub mod block {
    pub const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
    pub const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";
    pub const FILL_TEMPLATE: &str = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30";
    pub const HUMAN_IN_THE_LOOP: &str = "8b2a7b3c-6e9d-4a5f-8c1b-2e3f4a5b6c7d";
    pub const STEP_THROUGH: &str = "f66a3543-28d3-4ab5-8945-9b336371e2ce";
    pub const AGENT_EXECUTOR: &str = "e189baac-8c20-45a1-94a7-55177ea42565";
}

pub fn node(id: &str, block: &str, input_default: Value) -> Value {
    json!({"id": id, "block_id": block, "input_default": input_default, "metadata": {"position": {"x": 0, "y": 0}, "ref": id}})
}

/// `from` and `to` are `node.pin`.
pub fn link(from: &str, to: &str) -> Value {
    let (source, source_name) = from.split_once('.').expect("node.pin");
    let (sink, sink_name) = to.split_once('.').expect("node.pin");
    json!({"source_id": source, "sink_id": sink, "source_name": source_name, "sink_name": sink_name})
}

pub fn graph(name: &str, nodes: Vec<Value>, links: Vec<Value>) -> Value {
    json!({"name": name, "description": "contract test", "nodes": nodes, "links": links})
}

/// Greets the input `name` on the output `greeting`.
pub fn greeting() -> Value {
    graph(
        "greeting",
        vec![
            node("in", block::INPUT, json!({"name": "name"})),
            node("fill", block::FILL_TEMPLATE, json!({"format": "Hello, {{name}}!"})),
            node("out", block::OUTPUT, json!({"name": "greeting"})),
        ],
        vec![link("in.result", "fill.values_#_name"), link("fill.output", "out.value")],
    )
}

/// Puts out the input `draft` at once, and behind a review `final` with its `status` and `message`.
pub fn reviewed(editable: bool) -> Value {
    graph(
        "reviewed",
        vec![
            node("in", block::INPUT, json!({"name": "draft"})),
            node("review", block::HUMAN_IN_THE_LOOP, json!({"name": "The draft", "editable": editable})),
            node("draft", block::OUTPUT, json!({"name": "draft"})),
            node("final", block::OUTPUT, json!({"name": "final"})),
            node("status", block::OUTPUT, json!({"name": "status"})),
            node("message", block::OUTPUT, json!({"name": "message"})),
        ],
        vec![
            link("in.result", "review.data"),
            link("in.result", "draft.value"),
            link("review.reviewed_data", "final.value"),
            link("review.status", "status.value"),
            link("review.review_message", "message.value"),
        ],
    )
}

/// Never ends by itself: a value goes round between two nodes.
pub fn endless() -> Value {
    graph(
        "endless",
        vec![
            node("in", block::INPUT, json!({"name": "start", "value": "x"})),
            node("a", block::FILL_TEMPLATE, json!({"format": "{{v}}"})),
            node("b", block::FILL_TEMPLATE, json!({"format": "{{v}}"})),
        ],
        vec![
            link("in.result", "a.values_#_v"),
            link("a.output", "b.values_#_v"),
            link("b.output", "a.values_#_v"),
        ],
    )
}

/// Runs version 1 of another agent with one text input and one output, and passes the output on as `result`.
pub fn around(agent: &str, input: &str, output: &str) -> Value {
    let schema = |name: &str| json!({"type": "object", "properties": {name: {"title": name}}, "required": []});
    let settings = json!({
        "graph_id": agent, "graph_version": 1, "agent_name": "inner",
        "input_schema": schema(input), "output_schema": schema(output), "inputs": {},
    });
    graph(
        "around",
        vec![
            node("in", block::INPUT, json!({"name": input})),
            node("agent", block::AGENT_EXECUTOR, settings),
            node("out", block::OUTPUT, json!({"name": "result"})),
        ],
        vec![
            link("in.result", &format!("agent.{input}")),
            link(&format!("agent.{output}"), "out.value"),
        ],
    )
}

/// A chain of `length` nodes between input `x` and output `y`, which repeats the input.
pub fn chain(length: usize) -> Value {
    let mut nodes = vec![
        node("in", block::INPUT, json!({"name": "x"})),
        node("out", block::OUTPUT, json!({"name": "y"})),
    ];
    let mut links = Vec::new();
    let mut previous = "in.result".to_owned();
    for index in 0..length {
        nodes.push(node(&format!("n{index}"), block::FILL_TEMPLATE, json!({"format": "{{v}}"})));
        links.push(link(&previous, &format!("n{index}.values_#_v")));
        previous = format!("n{index}.output");
    }
    links.push(link(&previous, "out.value"));
    graph("chain", nodes, links)
}
