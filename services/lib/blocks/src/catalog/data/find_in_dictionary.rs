//! Looks a key up in a dictionary, a list or any other value.

use engine::types::PinType;
use serde_json::Value;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::json;
use crate::python::{self, Attribute};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("0e50422c-6dee-4145-83d6-3a5a392f65de"),
        "FindInDictionaryBlock",
        "Looks up the value of a key in a dictionary, an object or a list.",
    )
    .categories(&["BASIC"])
    .input(required("input", PinType::Any).about("Where to look: a dictionary, a list, or one of them as JSON text."))
    .input(required("key", text_or_index()).about("The key or the index to look up."))
    .output(output("output", PinType::Any).about("The value found."))
    .output(output("missing", PinType::Any).about("The input, when nothing was found."));
    Immediate::new(descriptor.build(), run)
}

/// In a graph such a pin always holds text (finding 5).
pub(super) fn text_or_index() -> PinType {
    PinType::union([PinType::Str, PinType::Int])
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let given = input.value("input");
    let place = match &given {
        Value::String(text) => json::parse(text).map_err(Failure::Raised)?,
        other => other.clone(),
    };
    let found = match input.value("key") {
        Value::String(key) => find_by_name(&place, &key)?,
        key => python::integer(&key).and_then(|index| find_by_index(&place, index)),
    };
    match found {
        Some(value) => out.emit("output", value),
        None => out.emit("missing", given),
    }
    Ok(())
}

fn find_by_index(place: &Value, index: i64) -> Option<Value> {
    let index = usize::try_from(index).ok()?;
    place.as_array()?.get(index).cloned()
}

fn find_by_name(place: &Value, key: &str) -> Result<Option<Value>, Failure> {
    match place {
        Value::Object(map) if map.contains_key(key) => Ok(map.get(key).cloned()),
        Value::Array(items) => find_in_items(items, key).map(|values| Some(Value::Array(values))),
        other => attribute(other, key),
    }
}

/// The values of a key in a list of dictionaries, or of an attribute in any other list.
fn find_in_items(items: &[Value], key: &str) -> Result<Vec<Value>, Failure> {
    if items.first().is_some_and(Value::is_object) {
        return Ok(items.iter().filter_map(|item| item.get(key).cloned()).collect());
    }
    items.iter().filter_map(|item| attribute(item, key).transpose()).collect()
}

fn attribute(value: &Value, name: &str) -> Result<Option<Value>, Failure> {
    match python::attribute(value, name) {
        Attribute::Value(value) => Ok(Some(value)),
        Attribute::Missing => Ok(None),
        Attribute::Object => Err(Failure::raised(format!(
            "'{name}' of a {} is no value that can be output",
            python::type_name(value)
        ))),
    }
}
