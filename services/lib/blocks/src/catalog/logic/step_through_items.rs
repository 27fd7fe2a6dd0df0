//! Gives the items of a list or a dictionary one by one.

use engine::types::PinType;
use model::Map;
use serde_json::Value;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::json;
use crate::python;

/// Items per source.
const MAX_ITEMS: usize = 10_000;
/// Characters of `items_str`.
const MAX_TEXT: usize = 1_048_576;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("f66a3543-28d3-4ab5-8945-9b336371e2ce"),
        "StepThroughItemsBlock",
        "Goes through a list or a dictionary and gives each item with its index or key.",
    )
    .categories(&["LOGIC"])
    .input(
        optional("items", PinType::list(PinType::Any), Value::Array(Vec::new()))
            .basic()
            .about("The list.")
            .placeholder("[1, 2, 3]"),
    )
    .input(
        optional("items_object", PinType::dict(PinType::Any, PinType::Any), Value::Object(Map::new()))
            .basic()
            .about("The dictionary.")
            .placeholder("{\"key\": \"value\"}"),
    )
    .input(
        optional("items_str", PinType::Str, Value::from(""))
            .basic()
            .about("A list or a dictionary as JSON text."),
    )
    .output(output("item", PinType::Any).about("The current item."))
    .output(output("key", PinType::Any).about("The index or the key of the current item."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    for pin in ["items", "items_object", "items_str"] {
        let source = input.value(pin);
        if !python::truthy(&source) {
            continue;
        }
        step_through(parsed(source)?, out)?;
    }
    Ok(())
}

fn parsed(source: Value) -> Result<Value, Failure> {
    let Value::String(text) = source else { return Ok(source) };
    if text.chars().count() > MAX_TEXT {
        return Err(Failure::raised(format!(
            "The input is too long: at most {MAX_TEXT} characters are allowed"
        )));
    }
    json::parse(&text).map_err(Failure::Raised)
}

fn step_through(source: Value, out: &mut Outputs) -> Result<(), Failure> {
    if let Some(count) = python::length(&source).filter(|count| *count > MAX_ITEMS) {
        return Err(Failure::raised(format!("Too many items: {count}. At most {MAX_ITEMS} are allowed")));
    }
    let mut step = |item: Value, key: Value| {
        out.emit("item", item);
        out.emit("key", key);
    };
    match source {
        Value::Array(items) => items.into_iter().enumerate().for_each(|(index, item)| step(item, Value::from(index))),
        Value::Object(map) => map.into_iter().for_each(|(key, item)| step(item, Value::from(key))),
        Value::String(text) => text
            .chars()
            .enumerate()
            .for_each(|(index, letter)| step(Value::from(letter.to_string()), Value::from(index))),
        other => return Err(Failure::raised(format!("'{}' object is not iterable", python::type_name(&other)))),
    }
    Ok(())
}
