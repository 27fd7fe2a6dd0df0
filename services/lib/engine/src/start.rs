//! Where a run starts and with what (internals §2.4).

use model::{Map, NodeId, NodeInputMasks};
use serde_json::Value;

use crate::block::BlockKind;
use crate::error::GraphError;
use crate::input::{Dynamic, resolve};
use crate::plan::{Plan, PlanNode};
use crate::value::storable_map;

/// The starting nodes of a graph with their resolved inputs, in the graph's order.
///
/// # Errors
/// When there is no starting node, or the input of one does not fit its block: the run is refused with this message.
pub fn starting_inputs(plan: &Plan, inputs: &Map, masks: &NodeInputMasks) -> Result<Vec<(NodeId, Map)>, GraphError> {
    let mut starting = Vec::new();
    for node in plan.nodes().iter().filter(|node| node.is_starting()) {
        let mut data = given_input(node, inputs);
        if let Some(mask) = masks.get(&node.id) {
            data.extend(mask.clone());
        }
        let refused = |message: String| GraphError::StartingInput { node: node.id, message };
        let resolved = storable_map(data)
            .map_err(|error| refused(error.to_string()))
            .and_then(|data| resolve(node, data, Dynamic::Merge).map_err(|error| refused(error.to_string())))?;
        starting.push((node.id, resolved.data));
    }
    if starting.is_empty() {
        return Err(GraphError::NoStartingNode);
    }
    Ok(starting)
}

/// What the caller gave for an input node. A given null counts: it hides the node's default (finding 14).
fn given_input(node: &PlanNode, inputs: &Map) -> Map {
    let name = node.input_default.get("name").and_then(Value::as_str);
    let value = match node.block.kind {
        BlockKind::Input => name.and_then(|name| inputs.get(name)),
        _ => None,
    };
    value.map(|value| ("value".to_owned(), value.clone())).into_iter().collect()
}
