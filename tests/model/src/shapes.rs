//! Random graphs: chains, fan-out and fan-in, bounded loops, static links, dynamic pins, several links into one pin, failing nodes,
//! masks, input and output nodes.
//!
//! Left out by construction, because the contract leaves the result free or the graph is refused before it runs: a plain and a
//! dynamic link into the same base (finding 8), exact duplicates of a link. A *confluent* shape has the same result in every order
//! of events (see [`confluent`]); any other is only ever compared under the same order.

use std::sync::Arc;

use engine::plan::Plan;
use model::{Link, Map, NodeId, NodeModel};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::blocks::CATALOG;
use crate::chance::Chance;

#[derive(Debug, Clone, PartialEq)]
pub struct NodeShape {
    pub block: &'static str,
    pub default: Map,
}

#[derive(Debug, Clone, PartialEq)]
pub struct LinkShape {
    pub source: usize,
    pub output: String,
    pub sink: usize,
    pub input: String,
    pub is_static: bool,
}

#[derive(Debug, Clone, PartialEq, Default)]
pub struct Shape {
    pub nodes: Vec<NodeShape>,
    pub links: Vec<LinkShape>,
    /// Inputs of the run by name.
    pub inputs: Map,
    pub masks: Vec<(usize, Map)>,
    /// Every order of events gives the same result.
    pub is_confluent: bool,
}

impl Shape {
    pub fn random(chance: &mut Chance) -> Self {
        if chance.percent(50) { confluent(chance) } else { any(chance) }
    }

    pub fn mask(&self, node: usize) -> Option<&Map> {
        self.masks.iter().find(|(masked, _)| *masked == node).map(|(_, mask)| mask)
    }

    pub fn is_static(&self, link: &LinkShape) -> bool {
        link.is_static || CATALOG.named(self.nodes[link.source].block).descriptor.static_output
    }

    /// Names under which static links arrive at a node.
    pub fn static_pins(&self, node: usize) -> Vec<&str> {
        let links = self.links.iter().filter(|link| link.sink == node && self.is_static(link));
        links.map(|link| link.input.as_str()).collect()
    }

    pub fn id(node: usize) -> NodeId {
        Uuid::from_u128(0x1000 + node as u128)
    }

    pub fn plan(&self) -> Arc<Plan> {
        let nodes: Vec<NodeModel> = self.nodes.iter().enumerate().map(|(position, node)| node.model(position)).collect();
        let links: Vec<Link> = self.links.iter().map(LinkShape::model).collect();
        Arc::new(Plan::compile(&nodes, &links, &*CATALOG).unwrap())
    }

    /// All shapes that are this one without one of its parts.
    pub fn smaller(&self) -> Vec<Self> {
        let mut smaller = Vec::new();
        for node in (0..self.nodes.len()).rev() {
            smaller.push(self.without_node(node));
        }
        for link in 0..self.links.len() {
            let mut shape = self.clone();
            shape.links.remove(link);
            smaller.push(shape);
        }
        for mask in 0..self.masks.len() {
            let mut shape = self.clone();
            shape.masks.remove(mask);
            smaller.push(shape);
        }
        for name in self.inputs.keys() {
            let mut shape = self.clone();
            shape.inputs.remove(name);
            smaller.push(shape);
        }
        smaller
    }

    fn without_node(&self, gone: usize) -> Self {
        let moved = |node: usize| if node > gone { node - 1 } else { node };
        let mut shape = self.clone();
        shape.nodes.remove(gone);
        shape.links.retain(|link| link.source != gone && link.sink != gone);
        for link in &mut shape.links {
            (link.source, link.sink) = (moved(link.source), moved(link.sink));
        }
        shape.masks.retain(|(node, _)| *node != gone);
        shape.masks.iter_mut().for_each(|(node, _)| *node = moved(*node));
        shape
    }

    fn add(&mut self, block: &'static str, default: Value) -> usize {
        let default = default.as_object().cloned().unwrap_or_default();
        self.nodes.push(NodeShape { block, default });
        self.nodes.len() - 1
    }

    fn link(&mut self, (source, output): (usize, &str), (sink, input): (usize, &str), is_static: bool) {
        let link = LinkShape {
            source,
            output: output.to_owned(),
            sink,
            input: input.to_owned(),
            is_static,
        };
        let same_ends = |other: &LinkShape| LinkShape { is_static, ..other.clone() } == link;
        if !self.links.iter().any(same_ends) {
            self.links.push(link);
        }
    }

    fn is_linked(&self, node: usize) -> bool {
        self.links.iter().any(|link| link.sink == node)
    }
}

impl NodeShape {
    fn model(&self, position: usize) -> NodeModel {
        NodeModel {
            id: Shape::id(position),
            block_id: CATALOG.named(self.block).descriptor.id,
            input_default: self.default.clone(),
            metadata: Map::new(),
            input_links: Vec::new(),
            output_links: Vec::new(),
            graph_id: Uuid::nil(),
            graph_version: 1,
            webhook_id: None,
            webhook: None,
        }
    }
}

impl LinkShape {
    fn model(&self) -> Link {
        Link {
            id: String::new(),
            source_id: Shape::id(self.source).to_string(),
            sink_id: Shape::id(self.sink).to_string(),
            source_name: self.output.clone(),
            sink_name: self.input.clone(),
            is_static: self.is_static,
        }
    }
}

impl std::fmt::Display for Shape {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (position, node) in self.nodes.iter().enumerate() {
            writeln!(f, "  node {position} {} {}", node.block, Value::Object(node.default.clone()))?;
        }
        for link in &self.links {
            let mark = if link.is_static { " (static)" } else { "" };
            writeln!(f, "  link {}.{} -> {}.{}{mark}", link.source, link.output, link.sink, link.input)?;
        }
        writeln!(f, "  inputs {}", Value::Object(self.inputs.clone()))?;
        for (node, mask) in &self.masks {
            writeln!(f, "  mask {node} {}", Value::Object(mask.clone()))?;
        }
        Ok(())
    }
}

/// Source names that links use, many of them selectors, some of which lead nowhere.
fn outputs(block: &str) -> &'static [&'static str] {
    match block {
        "input" => &["result"],
        "output" | "store" | "note" => &["output"],
        "each" => &["item", "item_$_0", "item_#_k"],
        "split" => &[
            "a",
            "b",
            "none",
            "whole",
            "whole_#_l",
            "whole_#_r_$_0",
            "whole_#_r_$_1",
            "whole_#_zz",
            "a_$_0",
        ],
        "count" => &["again", "done", "each", "each_#_left"],
        "fail" => &["out", "error"],
        "mute" => &["out"],
        "join" => &["out", "out_#_a"],
        "row" => &["out", "out_$_1", "out_$_7"],
        _ => &["out", "error"],
    }
}

/// Pins that links use: plain ones, or dynamic ones of the same base, never both at one node (finding 8).
fn pins(block: &str, dynamic: bool) -> &'static [&'static str] {
    match (block, dynamic) {
        ("join", true) => &["values_#_a", "values_#_b", "values_#_n_$_0", "values_#_n_$_1"],
        ("row", true) => &["items_$_0", "items_$_2", "items_$_1", "y"],
        ("object", true) => &["o_@_f", "o_@_g"],
        ("join", false) => &["values"],
        ("row", false) => &["items", "y"],
        ("object", false) => &["o"],
        ("pass" | "pair", _) => &["x", "y"],
        ("whole", _) => &["n", "y"],
        ("text", _) => &["t"],
        ("each", _) => &["items"],
        ("count", _) => &["n"],
        ("input" | "output", _) => &["value"],
        ("store", _) => &["input"],
        ("note", _) => &["text"],
        _ => &["x"],
    }
}

fn value(chance: &mut Chance) -> Value {
    match chance.below(16) {
        0..=4 => json!(chance.below(4)),
        5 | 6 => json!("s"),
        7 => json!("inf"),
        8 => json!("7"),
        9 | 10 => json!([1, "a", {"k": 2}]),
        11 => json!([]),
        12 => json!({"a": [2], "k": 1}),
        13 => json!(true),
        14 => json!("[1, 2]"),
        _ => Value::Null,
    }
}

/// A value that makes a starting node start.
fn given(chance: &mut Chance, pin: &str) -> Value {
    match pin {
        "n" => json!(chance.below(4)),
        "items" => [json!(0), json!("x"), json!([1, 2]), json!(3)]
            .into_iter()
            .take(chance.below(5))
            .collect(),
        _ => Some(value(chance)).filter(|value| !value.is_null()).unwrap_or(json!("given")),
    }
}

/// Defaults of a node: its name where it needs one, and most of its pins unless a dynamic link writes there.
fn defaults(chance: &mut Chance, block: &str, dynamic: bool) -> Value {
    let mut default = Map::new();
    if matches!(block, "input" | "output") {
        let names: &[&str] = if block == "input" { &["i", "j"] } else { &["o", "p"] };
        default.insert("name".to_owned(), json!(chance.pick(names)));
    }
    match (block, dynamic) {
        ("join", true) if chance.percent(50) => drop(default.insert("values".to_owned(), json!({"z": 0}))),
        ("row", true) if chance.percent(50) => drop(default.insert("items".to_owned(), json!([0]))),
        (_, true) => {}
        (_, false) => {
            for pin in pins(block, false) {
                if chance.percent(if *pin == "y" { 30 } else { 85 }) {
                    default.insert((*pin).to_owned(), given(chance, pin));
                }
            }
        }
    }
    Value::Object(default)
}

fn random_inputs(chance: &mut Chance) -> Map {
    let mut inputs = Map::new();
    for name in ["i", "j"] {
        if chance.percent(60) {
            inputs.insert(name.to_owned(), value(chance));
        }
    }
    inputs
}

fn random_masks(chance: &mut Chance, shape: &mut Shape, dynamic: &[bool]) {
    for (node, dynamic) in dynamic.iter().enumerate() {
        // A mask on a loop keeps it from counting down.
        let looped = shape.links.iter().any(|link| link.source >= node && link.sink <= node);
        if chance.percent(8) && !looped {
            // A starting node has a plain default for the base already.
            let dynamic = *dynamic && shape.is_linked(node);
            let pin = *chance.pick(pins(shape.nodes[node].block, dynamic));
            // A node does not wait for a link whose pin is masked: what arrives there later makes another execution.
            let linked = shape.links.iter().any(|link| link.sink == node && link.input == pin);
            if linked && shape.is_confluent {
                continue;
            }
            let mask = Map::from_iter([(pin.to_owned(), given(chance, pin))]);
            shape.masks.push((node, mask));
        }
    }
}

/// A starting node lacks nothing, or the whole run would be refused; a few are left as they are.
fn complete_starting_nodes(chance: &mut Chance, shape: &mut Shape) {
    for node in 0..shape.nodes.len() {
        if !shape.is_linked(node) && chance.percent(98) {
            for pin in pins(shape.nodes[node].block, false) {
                if *pin != "y" && shape.nodes[node].block != "input" {
                    let value = given(chance, pin);
                    shape.nodes[node].default.entry(*pin).or_insert(value);
                }
            }
        }
    }
}

const BLOCKS: [&str; 20] = [
    "input", "output", "note", "store", "pass", "pass", "pair", "pair", "whole", "text", "each", "each", "split", "split", "join", "row", "object",
    "count", "mute", "fail",
];

/// Anything: links forwards and backwards, several into one pin, static ones anywhere.
fn any(chance: &mut Chance) -> Shape {
    let mut shape = Shape {
        inputs: random_inputs(chance),
        ..Shape::default()
    };
    let mut dynamic = Vec::new();
    for node in 0..1 + chance.below(8) {
        let block = if node == 0 && chance.percent(70) {
            "each"
        } else {
            *chance.pick(&BLOCKS)
        };
        dynamic.push(chance.percent(60) && matches!(block, "join" | "row" | "object"));
        let default = defaults(chance, block, dynamic[node]);
        shape.add(block, default);
        for pin in pins(block, dynamic[node]) {
            if node > 0 && chance.percent(55) {
                let source = chance.below(node);
                random_link(chance, &mut shape, source, (node, pin));
            }
        }
    }
    let nodes = shape.nodes.len();
    for _ in 0..chance.below(4) {
        let (source, sink) = (chance.below(nodes), chance.below(nodes));
        let pin = *chance.pick(pins(shape.nodes[sink].block, dynamic[sink]));
        random_link(chance, &mut shape, source, (sink, pin));
    }
    complete_starting_nodes(chance, &mut shape);
    random_masks(chance, &mut shape, &dynamic);
    shape
}

fn random_link(chance: &mut Chance, shape: &mut Shape, source: usize, sink: (usize, &str)) {
    let output = *chance.pick(outputs(shape.nodes[source].block));
    let is_static = chance.percent(12);
    shape.link((source, output), sink, is_static);
}

/// Shapes whose result does not depend on the order of events: one link a pin, so that the n-th value of each pin always meets the
/// n-th of the others; static links only from input nodes that run once; no masks on linked pins; loops of a single token.
fn confluent(chance: &mut Chance) -> Shape {
    let mut shape = Shape {
        inputs: random_inputs(chance),
        is_confluent: true,
        ..Shape::default()
    };
    let mut dynamic = Vec::new();
    let wanted = 1 + chance.below(8);
    while shape.nodes.len() < wanted {
        let node = shape.nodes.len();
        if chance.percent(15) {
            counted_loop(chance, &mut shape);
            dynamic.resize(shape.nodes.len(), false);
            continue;
        }
        let block = if node == 0 && chance.percent(60) {
            "each"
        } else {
            *chance.pick(&BLOCKS)
        };
        dynamic.push(chance.percent(60) && matches!(block, "join" | "row" | "object"));
        let default = defaults(chance, block, dynamic[node]);
        shape.add(block, default);
        let sources: Vec<usize> = (0..node)
            .filter(|source| !matches!(shape.nodes[*source].block, "output" | "store"))
            .collect();
        if block == "input" || sources.is_empty() {
            continue;
        }
        for pin in pins(block, dynamic[node]) {
            if chance.percent(70) {
                let source = *chance.pick(&sources);
                let output = *chance.pick(outputs(shape.nodes[source].block));
                shape.link((source, output), (node, pin), false);
            }
        }
    }
    complete_starting_nodes(chance, &mut shape);
    random_masks(chance, &mut shape, &dynamic);
    shape
}

/// One value goes round until it has been counted down, through zero to two other nodes.
fn counted_loop(chance: &mut Chance, shape: &mut Shape) {
    let start = shape.add("whole", json!({"n": chance.below(4)}));
    let count = shape.add("count", json!({}));
    shape.link((start, "out"), (count, "n"), false);
    let mut from = (count, "again");
    for _ in 0..chance.below(3) {
        let through = shape.add("pass", json!({}));
        shape.link(from, (through, "x"), false);
        from = (through, "out");
    }
    shape.link(from, (count, "n"), false);
}
