//! May a graph be saved, may it run (internals §2.3, rest.md §2.4).

use std::collections::{HashMap, HashSet};

use indexmap::IndexMap;
use model::{CredentialsMetaInput, GraphModel, Link, Map, NodeInputMasks, NodeModel};
use serde_json::Value;

use crate::block::{BlockCatalog, BlockDescriptor, BlockKind};
use crate::error::{GraphError, NodeErrors, Side};
use crate::pins::{declared_name, is_dynamic, is_tool};
use crate::plan::describe;
use crate::policy::NodePolicy;
use crate::schema::is_credentials;

const REQUIRED: &str = "This field is required";
const CREDENTIALS_REQUIRED: &str = "These credentials are required";

/// Every node's block is installed, what it says about retries can be understood, and every link joins pins that exist.
pub fn structure(nodes: &[NodeModel], links: &[Link], catalog: &dyn BlockCatalog) -> Result<(), GraphError> {
    let mut by_id = HashMap::with_capacity(nodes.len());
    for node in nodes {
        let block = catalog.block(node.block_id).ok_or_else(|| GraphError::UnknownBlock {
            node: node.id.to_string(),
            block: node.block_id.to_string(),
        })?;
        NodePolicy::of(node)?;
        by_id.insert(node.id.to_string(), (node, block));
    }
    for link in links {
        let end = |id: &String| {
            by_id.get(id).copied().ok_or_else(|| GraphError::UnknownNode {
                link: describe(link),
                node: id.clone(),
            })
        };
        for (side, (node, block), name) in [
            (Side::Output, end(&link.source_id)?, &link.source_name),
            (Side::Input, end(&link.sink_id)?, &link.sink_name),
        ] {
            if !has_pin(node, block, side, name) {
                return Err(GraphError::UnknownPin {
                    link: describe(link),
                    block: block.name,
                    side,
                    pin: name.clone(),
                });
            }
        }
    }
    Ok(())
}

/// Agent nodes have the pins that their own schemas name; tool pins need no declaration.
fn has_pin(node: &NodeModel, block: &BlockDescriptor, side: Side, name: &str) -> bool {
    if is_tool(name) {
        return true;
    }
    let declared = declared_name(name);
    match (block.kind, side) {
        (BlockKind::Agent, Side::Output) => has_property(node, "output_schema", declared),
        (BlockKind::Agent, Side::Input) => has_property(node, "input_schema", declared),
        (_, Side::Output) => block.output(declared).is_some(),
        (_, Side::Input) => block.input(declared).is_some(),
    }
}

fn has_property(node: &NodeModel, schema: &str, name: &str) -> bool {
    let properties = node.input_default.get(schema).and_then(|schema| schema.get("properties"));
    properties.is_some_and(|properties| properties.get(name).is_some())
}

/// Judges a graph and its sub-graphs for saving. Only input, output and agent nodes have to be complete.
///
/// # Errors
/// The first thing that is wrong.
pub fn for_save(graph: &GraphModel, catalog: &dyn BlockCatalog) -> Result<(), GraphError> {
    let errors = judge(graph, catalog, &NodeInputMasks::new(), Purpose::Save)?;
    match errors.into_iter().next() {
        Some((node, fields)) => Err(fields
            .into_iter()
            .next()
            .map_or(GraphError::NoStartingNode, |(field, message)| GraphError::Field { node, field, message })),
        None => Ok(()),
    }
}

/// Judges a graph and its sub-graphs for running, `masks` being the compiled ones. An empty map means that it may run.
///
/// # Errors
/// What is wrong with the structure; everything else is in the map.
pub fn for_run(graph: &GraphModel, catalog: &dyn BlockCatalog, masks: &NodeInputMasks) -> Result<NodeErrors, GraphError> {
    judge(graph, catalog, masks, Purpose::Run)
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Purpose {
    Save,
    Run,
}

fn judge(graph: &GraphModel, catalog: &dyn BlockCatalog, masks: &NodeInputMasks, purpose: Purpose) -> Result<NodeErrors, GraphError> {
    let mut errors = NodeErrors::new();
    let bundle = std::iter::once(graph).chain(&graph.sub_graphs);
    for part in bundle.clone() {
        structure(&part.nodes, &part.links, catalog)?;
    }
    for (position, part) in bundle.enumerate() {
        let mut linked: HashMap<&str, HashSet<&str>> = HashMap::new();
        for link in &part.links {
            linked.entry(&link.sink_id).or_default().insert(declared_name(&link.sink_name));
        }
        for node in &part.nodes {
            let Some(block) = catalog.block(node.block_id) else { continue };
            let id = node.id.to_string();
            let given = Given {
                defaults: &node.input_default,
                flattened: node
                    .input_default
                    .keys()
                    .filter(|name| is_dynamic(name))
                    .map(|name| declared_name(name))
                    .collect(),
                linked: linked.get(id.as_str()),
                mask: masks.get(&node.id),
            };
            let mut fields = IndexMap::new();
            judge_fields(block, &given, purpose, &mut fields);
            // The credentials of sub-graphs are judged when they run (internals §2.3).
            if purpose == Purpose::Run && position == 0 {
                judge_credentials(block, &given, &mut fields);
            }
            if !fields.is_empty() {
                errors.insert(node.id, fields);
            }
        }
    }
    Ok(errors)
}

/// Where a node's values come from before it runs.
struct Given<'a> {
    defaults: &'a Map,
    /// Bases of the defaults with flattened names.
    flattened: HashSet<&'a str>,
    linked: Option<&'a HashSet<&'a str>>,
    mask: Option<&'a Map>,
}

impl Given<'_> {
    fn has(&self, name: &str) -> bool {
        self.value(name).is_some() || self.flattened.contains(name) || self.linked.is_some_and(|names| names.contains(name))
    }

    fn value(&self, name: &str) -> Option<&Value> {
        self.mask.and_then(|mask| mask.get(name)).or_else(|| self.defaults.get(name))
    }
}

fn judge_fields(block: &BlockDescriptor, given: &Given<'_>, purpose: Purpose, fields: &mut IndexMap<String, String>) {
    let must_be_complete = purpose == Purpose::Run || matches!(block.kind, BlockKind::Input | BlockKind::Output | BlockKind::Agent);
    for pin in &block.inputs {
        if must_be_complete && pin.required && !is_credentials(pin.name) && !given.has(pin.name) {
            fields.insert(pin.name.to_owned(), REQUIRED.to_owned());
        }
    }
    // The name is part of the graph's interface: no link can bring it.
    let names_interface = matches!(block.kind, BlockKind::Input | BlockKind::Output);
    if purpose == Purpose::Save && names_interface && block.input("name").is_some() && !given.defaults.contains_key("name") {
        fields.insert("name".to_owned(), REQUIRED.to_owned());
    }
    if block.kind == BlockKind::Input
        && let Some(name) = given.value("name").and_then(Value::as_str)
        && is_credentials(name)
    {
        fields.insert(
            "name".to_owned(),
            format!("'{name}' is a reserved input name: `credentials` and `*_credentials` cannot be used"),
        );
    }
    for pin in &block.inputs {
        if !(pin.required || given.has(pin.name)) {
            continue;
        }
        let has_default = |name: &str| {
            block
                .input(name)
                .and_then(|pin| pin.schema.get("default"))
                .is_some_and(|default| !default.is_null())
        };
        let unmet = |name: &&str| !given.has(name) && !has_default(name);
        let discriminator = pin.schema.get("discriminator").and_then(Value::as_str);
        let dependencies = pin.depends_on.iter().copied().filter(|_| purpose == Purpose::Run);
        let missing: Vec<&str> = dependencies.chain(discriminator).filter(unmet).collect();
        if !missing.is_empty() {
            fields.insert(pin.name.to_owned(), format!("Requires {} to be set", missing.join(", ")));
        }
    }
}

/// A reference has to be there and to look like one. Whether it exists and may be used is for those who hold credentials.
fn judge_credentials(block: &BlockDescriptor, given: &Given<'_>, fields: &mut IndexMap<String, String>) {
    for pin in block.inputs.iter().filter(|pin| is_credentials(pin.name)) {
        let value = given.value(pin.name).filter(|value| !value.is_null());
        let problem = match value {
            None => pin.required.then(|| CREDENTIALS_REQUIRED.to_owned()),
            Some(value) => serde_json::from_value::<CredentialsMetaInput>(value.clone())
                .err()
                .map(|error| format!("Invalid credentials: {error}")),
        };
        if let Some(problem) = problem {
            fields.insert(pin.name.to_owned(), problem);
        }
    }
}
