//! Removes a key from a copy of a dictionary.

use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use super::find_in_dictionary::text_or_index;
use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("46afe2ea-c613-43f8-95ff-6692c3ef6876"),
        "RemoveFromDictionaryBlock",
        "Removes a key and its value from a dictionary.",
    )
    .categories(&["BASIC"])
    .input(required("dictionary", PinType::dict(PinType::Any, PinType::Any)).about("The dictionary."))
    .input(required("key", text_or_index()).about("The key to remove."))
    .input(optional("return_value", PinType::Bool, json!(false)).about("Whether to output the removed value."))
    .output(output("updated_dictionary", PinType::object()).about("The dictionary without the key."))
    .output(output("removed_value", PinType::Any).about("The removed value."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut dictionary = input.map("dictionary");
    let key = input.value("key");
    let removed = key.as_str().and_then(|key| dictionary.shift_remove(key)).ok_or_else(|| not_found(&key))?;
    out.emit("updated_dictionary", dictionary);
    if input.flag("return_value") {
        out.emit("removed_value", removed);
    }
    Ok(())
}

/// Keys of JSON objects are text, so a number is never found.
pub(super) fn not_found(key: &Value) -> Failure {
    Failure::reported(format!("Key '{}' not found in dictionary", python::str_of(key)))
}
