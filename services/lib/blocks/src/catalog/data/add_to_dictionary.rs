//! Adds entries to a copy of a dictionary.

use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("31d1064e-7446-4693-a7d4-65e5ca1180d1"),
        "AddToDictionaryBlock",
        "Adds a key with its value, or several entries, to a dictionary; without a dictionary it creates one.",
    )
    .categories(&["BASIC"])
    .input(
        optional("dictionary", PinType::dict(PinType::Any, PinType::Any), json!({}))
            .basic()
            .about("The dictionary to add to."),
    )
    .input(
        optional("key", PinType::Str, json!(""))
            .basic()
            .about("The key to add.")
            .placeholder("new_key"),
    )
    .input(
        optional("value", PinType::optional(PinType::Any), Value::Null)
            .basic()
            .about("The value of the key.")
            .placeholder("new_value"),
    )
    .input(optional("entries", PinType::dict(PinType::Any, PinType::Any), json!({})).about("More entries to add."))
    .output(output("updated_dictionary", PinType::object()).about("The dictionary with the new entries."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut dictionary = input.map("dictionary");
    let key = input.text("key");
    if let (Some(value), false) = (input.optional("value"), key.is_empty()) {
        dictionary.insert(key, value);
    }
    dictionary.extend(input.map("entries"));
    out.emit("updated_dictionary", dictionary);
    Ok(())
}
