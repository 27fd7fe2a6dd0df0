//! From the values that have arrived at a node to the input of its block (internals §2.5).

use model::Map;
use serde_json::Value;

use crate::block::BlockKind;
use crate::convert::{ConversionError, convert};
use crate::pins::{PinError, merge_inputs};
use crate::plan::PlanNode;
use crate::types::PinType;
use crate::value::{StorageError, clean_map};

/// Why values are no input yet, or never. The message is the contract's.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum InputError {
    /// Values are missing or do not fit: the node waits, or says so when it has started.
    #[error("Input data missing or mismatch for `{block}`: {reason}")]
    Mismatch { block: &'static str, reason: String },
    #[error(transparent)]
    Pin(#[from] PinError),
    #[error(transparent)]
    Conversion(#[from] ConversionError),
    #[error(transparent)]
    Storage(#[from] StorageError),
}

/// Whether flattened names are merged: they are once, before the node is queued.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Dynamic {
    Merge,
    Keep,
}

/// The input of a node.
#[derive(Debug, Clone, PartialEq)]
pub struct Resolved {
    pub data: Map,
    /// A list became a map whose keys are the numbers of its elements, at a pin that does not say that keys are text. Until it
    /// has been stored, no block takes such a map: the node fails when it starts.
    pub numbered_keys: bool,
}

/// Checks and completes the values of a node: defaults, dynamic pins, conversions, schema. The result holds no control characters.
pub fn resolve(node: &PlanNode, data: Map, dynamic: Dynamic) -> Result<Resolved, InputError> {
    let mismatch = |reason| InputError::Mismatch {
        block: node.block.name,
        reason,
    };
    let absent: Vec<&str> = node.linked.iter().map(String::as_str).filter(|name| !data.contains_key(*name)).collect();
    if !absent.is_empty() {
        return Err(mismatch(format!("unpopulated links {}", braced(&absent))));
    }
    let mut data = with_defaults(node, data);
    if dynamic == Dynamic::Merge {
        data = merge_inputs(data)?;
    }
    let mut numbered_keys = false;
    for (name, ty) in &node.block.conversions {
        if let Some(value) = data.get_mut(*name).filter(|value| !value.is_null()) {
            numbered_keys |= numbers_keys(value, ty);
            let converted = convert(value.take(), ty)?;
            *value = converted.into_value().ok_or(StorageError::NonFinite)?;
        }
    }
    check(node, &data).map_err(mismatch)?;
    Ok(Resolved {
        data: clean_map(data)?,
        numbered_keys,
    })
}

fn numbers_keys(value: &Value, ty: &PinType) -> bool {
    let is_list = value.as_array().is_some_and(|items| !items.is_empty());
    match ty {
        PinType::Dict(key, _) => is_list && **key == PinType::Any,
        PinType::Optional(inner) => numbers_keys(value, inner),
        _ => false,
    }
}

/// The node's defaults, overridden by what has arrived. Values for an agent have their own place in the defaults.
fn with_defaults(node: &PlanNode, data: Map) -> Map {
    let defaults = match node.block.kind {
        BlockKind::Agent => node.input_default.get("inputs").and_then(Value::as_object).cloned(),
        _ => Some(node.input_default.clone()),
    };
    let mut complete = defaults.unwrap_or_default();
    complete.extend(data);
    complete
}

/// Required pins and the schema, nulls left out. An agent's values are not checked here: its child run does that.
fn check(node: &PlanNode, data: &Map) -> Result<(), String> {
    if node.block.kind == BlockKind::Agent {
        return Ok(());
    }
    let missing: Vec<&str> = node.block.required.iter().copied().filter(|name| !data.contains_key(*name)).collect();
    if !missing.is_empty() {
        return Err(format!("missing input {}", braced(&missing)));
    }
    if let Some(null) = node.block.required.iter().find(|name| data.get(**name).is_some_and(Value::is_null)) {
        return Err(format!("'{null}' is a required property"));
    }
    for (name, check) in &node.block.checks {
        if let Some(value) = data.get(*name).filter(|value| !value.is_null()) {
            check.test(value).map_err(|misfit| misfit.below(name).to_string())?;
        }
    }
    Ok(())
}

fn braced(names: &[&str]) -> String {
    let quoted: Vec<String> = names.iter().map(|name| format!("'{name}'")).collect();
    format!("{{{}}}", quoted.join(", "))
}
