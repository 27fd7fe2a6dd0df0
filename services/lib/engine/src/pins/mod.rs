//! Pin names that reach into a value: `values_#_key`, `items_$_0`, `object_@_attribute`, and tool pins (internals §2.6, findings 6–8).
//!
//! Reading walks from an output into the value that a link names; writing puts flattened inputs together again.

mod merge;

use serde_json::Value;

use crate::text::{Index, parse_index};
use crate::value::MAX_DEPTH;

pub use merge::merge_inputs;

/// A list is not padded with nulls beyond this many elements.
pub const MAX_LIST: usize = 10_000;

/// Nulls that one merge may add in all lists together.
const MAX_PADDING: usize = 10 * MAX_LIST;

const TOOLS: &str = "tools";
const TOOL_PREFIX: &str = "tools_^_";
const TOOL_SEPARATOR: &str = "_~_";

/// How an identifier reaches into a value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Access {
    List,
    Dict,
    Object,
}

/// Every delimiter is three bytes long.
const DELIMITERS: [(&str, Access); 3] = [("_$_", Access::List), ("_#_", Access::Dict), ("_@_", Access::Object)];
const DELIMITER_LENGTH: usize = 3;

type Step<'a> = (Access, &'a str);

/// Position and kind of the earliest delimiter.
fn next_delimiter(text: &str) -> Option<(usize, Access)> {
    let positions = DELIMITERS.iter().filter_map(|(token, access)| Some((text.find(token)?, *access)));
    positions.min_by_key(|(position, _)| *position)
}

/// The pin's name without what reaches into its value.
pub fn base_name(name: &str) -> &str {
    let end = next_delimiter(name).map_or(name.len(), |(position, _)| position);
    name.get(..end).unwrap_or(name)
}

/// The name under which a block declares the pin: the base name, `tools` for every tool pin.
pub fn declared_name(name: &str) -> &str {
    let base = base_name(name);
    if base.starts_with(TOOL_PREFIX) { TOOLS } else { base }
}

/// Whether the name reaches into the pin's value.
pub fn is_dynamic(name: &str) -> bool {
    next_delimiter(name).is_some()
}

/// Whether the name is that of a tool pin, which no block declares.
pub fn is_tool(name: &str) -> bool {
    name == TOOLS || name.starts_with(TOOL_PREFIX)
}

/// Splits `_#_a_$_0` into its steps. `None` when it does not begin with a delimiter or an identifier is empty.
fn steps(selector: &str) -> Option<Vec<Step<'_>>> {
    let mut steps = Vec::new();
    let mut rest = selector;
    while !rest.is_empty() {
        let (0, access) = next_delimiter(rest)? else { return None };
        let after = rest.get(DELIMITER_LENGTH..)?;
        let end = next_delimiter(after).map_or(after.len(), |(position, _)| position);
        let identifier = after.get(..end)?;
        if identifier.is_empty() {
            return None;
        }
        steps.push((access, identifier));
        rest = after.get(end..)?;
    }
    (!steps.is_empty()).then_some(steps)
}

/// Base and steps of a flattened input name; `None` when the name is a plain key.
fn split(name: &str) -> Option<(&str, Vec<Step<'_>>)> {
    let (position, _) = next_delimiter(name)?;
    Some((name.get(..position)?, steps(name.get(position..)?)?))
}

/// A selector or a flattened name that cannot be followed. The link or the input that holds it is given up.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PinError {
    #[error("list index {0} is out of range")]
    OutOfRange(String),
    #[error("index must be an integer, got {0:?}")]
    NotAnInteger(String),
    #[error("list index {0} is beyond the {MAX_LIST} elements to which a list is padded")]
    TooLong(String),
    #[error("the list indices pad lists with more than {MAX_PADDING} nulls")]
    TooMuchPadding,
    #[error("a list index or a key of {0:?} meets an object made of attributes")]
    Mixed(String),
    #[error("{0:?} reaches more than {MAX_DEPTH} levels deep")]
    TooDeep(String),
    #[error("the link of tool output {0:?} names no sink node or pin")]
    ToolWithoutSink(String),
}

/// Where a link leads, for tool outputs that name their receiver.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sink<'a> {
    pub node_id: &'a str,
    pub pin: &'a str,
}

/// What an output gives to a link with this source name: `None` when the link is about something else or the path leads nowhere.
/// A null is delivered only under the exact name.
pub fn parse_output(name: &str, value: &Value, selector: &str, sink: Sink<'_>) -> Result<Option<Value>, PinError> {
    if let Some((node_id, pin)) = tool_target(name)
        && is_tool(selector)
    {
        if sink.node_id.is_empty() || sink.pin.is_empty() {
            return Err(PinError::ToolWithoutSink(name.to_owned()));
        }
        let matches = node_id == sink.node_id && pin == sink.pin;
        return Ok(matches.then(|| value.clone()).filter(|found| name == selector || !found.is_null()));
    }
    if name == selector {
        return Ok(Some(value.clone()));
    }
    let Some(path) = selector.strip_prefix(name).and_then(steps) else {
        return Ok(None);
    };
    let mut found = value;
    for (access, identifier) in path {
        match read(found, access, identifier)? {
            Some(inner) => found = inner,
            None => return Ok(None),
        }
    }
    Ok(Some(found).filter(|found| !found.is_null()).cloned())
}

/// Node and pin of an output `tools_^_{node}_~_{pin}`.
fn tool_target(name: &str) -> Option<(&str, &str)> {
    name.strip_prefix(TOOL_PREFIX)?.split_once(TOOL_SEPARATOR)
}

fn read<'v>(value: &'v Value, access: Access, identifier: &str) -> Result<Option<&'v Value>, PinError> {
    match (access, value) {
        (Access::List, Value::Array(items)) => match parse_index(identifier) {
            Some(Index::FromStart(index)) => Ok(items.get(index)),
            // Beyond the start the contract fails instead of giving null (finding 6).
            Some(Index::FromEnd(distance)) => match items.len().checked_sub(distance) {
                Some(index) => Ok(items.get(index)),
                None => Err(PinError::OutOfRange(identifier.to_owned())),
            },
            None => Ok(None),
        },
        (Access::Dict, Value::Object(entries)) => Ok(entries.get(identifier)),
        // JSON values have no attributes.
        _ => Ok(None),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{recorded, same_json};
    use serde_json::json;

    /// `{"$object": …}` marks what attributes made; in JSON it is a plain object.
    fn plain(value: &Value) -> Value {
        match value {
            Value::Object(map) if map.len() == 1 && map.contains_key("$object") => plain(&map["$object"]),
            Value::Object(map) => Value::Object(map.iter().map(|(key, item)| (key.clone(), plain(item))).collect()),
            Value::Array(items) => Value::Array(items.iter().map(plain).collect()),
            scalar => scalar.clone(),
        }
    }

    fn parse_differs(case: &Value) -> bool {
        let text = |key: &str| case.get(key).and_then(Value::as_str).unwrap_or_default();
        let sink = Sink {
            node_id: text("sink_node_id"),
            pin: text("sink_pin"),
        };
        let got = parse_output(case["output"][0].as_str().unwrap(), &case["output"][1], text("selector"), sink);
        match (got, case.get("error")) {
            (Err(_), Some(_)) => false,
            (Ok(got), None) => !same_json(&got.unwrap_or_default(), &case["expected"]),
            _ => true,
        }
    }

    fn merge_differs(case: &Value) -> bool {
        let got = merge_inputs(case["data"].as_object().unwrap().clone());
        match (got, case.get("error")) {
            (Err(_), Some(_)) => false,
            (Ok(got), None) => {
                let order: Vec<_> = got.keys().cloned().map(Value::String).collect();
                Value::Array(order) != case["key_order"] || !same_json(&Value::Object(got), &plain(&case["expected"]))
            }
            _ => true,
        }
    }

    fn name_differs(case: &Value) -> bool {
        let name = case["name"].as_str().unwrap();
        case["base"] != base_name(name)
            || case["sanitized"] != declared_name(name)
            || case["is_dynamic"] != is_dynamic(name)
            || case["is_tool"] != is_tool(name)
    }

    #[test]
    fn every_recorded_pin_case_is_reproduced() {
        let cases = recorded("pins.jsonl");
        assert_eq!(cases.len(), 595);
        let wrong: Vec<String> = cases
            .iter()
            .filter(|case| case.get("python_only").is_none())
            .filter(|case| match case["op"].as_str().unwrap() {
                "parse" => parse_differs(case),
                "merge" => merge_differs(case),
                _ => name_differs(case),
            })
            .map(Value::to_string)
            .collect();
        assert!(wrong.is_empty(), "{} wrong:\n{}", wrong.len(), wrong.join("\n"));
    }

    #[test]
    fn a_list_is_padded_to_ten_thousand_elements_and_no_further() {
        let merge = |name: &str| merge_inputs(json!({name: 1}).as_object().unwrap().clone());
        assert_eq!(merge("v_$_9999").unwrap()["v"].as_array().unwrap().len(), 10_000);
        assert_eq!(merge("v_$_10000"), Err(PinError::TooLong("10000".to_owned())));
        assert_eq!(merge("v_$_99999999999"), Err(PinError::TooLong("99999999999".to_owned())));
    }

    #[test]
    fn a_path_of_thousands_of_steps_is_refused() {
        let name = format!("v{}", "_#_k".repeat(5_000));
        let data = json!({name: 1}).as_object().unwrap().clone();
        assert!(matches!(merge_inputs(data), Err(PinError::TooDeep(_))));
        let name = format!("v{}", "_$_9999".repeat(50));
        let data = json!({name: 1}).as_object().unwrap().clone();
        assert_eq!(merge_inputs(data), Err(PinError::TooMuchPadding));
    }
}
