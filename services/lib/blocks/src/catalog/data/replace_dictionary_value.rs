//! Replaces the value of a key in a copy of a dictionary.

use engine::types::PinType;
use uuid::uuid;

use super::find_in_dictionary::text_or_index;
use super::remove_from_dictionary::not_found;
use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("27e31876-18b6-44f3-ab97-f6226d8b3889"),
        "ReplaceDictionaryValueBlock",
        "Replaces the value of a key of a dictionary.",
    )
    .categories(&["BASIC"])
    .input(required("dictionary", PinType::dict(PinType::Any, PinType::Any)).about("The dictionary."))
    .input(required("key", text_or_index()).about("The key whose value to replace."))
    .input(required("value", PinType::Any).about("The new value."))
    .output(output("updated_dictionary", PinType::object()).about("The dictionary with the new value."))
    .output(output("old_value", PinType::Any).about("The value before."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut dictionary = input.map("dictionary");
    let (key, value) = (input.value("key"), input.value("value"));
    let place = key.as_str().and_then(|key| dictionary.get_mut(key)).ok_or_else(|| not_found(&key))?;
    let old = std::mem::replace(place, value);
    out.emit("updated_dictionary", dictionary);
    out.emit("old_value", old);
    Ok(())
}
