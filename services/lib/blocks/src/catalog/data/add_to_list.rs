//! Adds entries to a copy of a list.

use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("aeb08fc1-2fc1-4141-bc8e-f758f183a822"),
        "AddToListBlock",
        "Adds one or more entries to a list; without a list it creates one.",
    )
    .categories(&["BASIC"])
    .input(
        optional("list", PinType::list(PinType::Any), json!([]))
            .basic()
            .about("The list to add to.")
            .placeholder("[1, \"string\", {\"key\": \"value\"}]"),
    )
    .input(
        optional("entry", PinType::optional(PinType::Any), Value::Null)
            .basic()
            .about("The entry to add.")
            .placeholder("{\"new_key\": \"new_value\"}"),
    )
    .input(optional("entries", PinType::list(PinType::Any), json!([])).about("More entries to add."))
    .input(
        optional("position", PinType::optional(PinType::Int), Value::Null)
            .about("Where to add them; at the end when empty.")
            .placeholder("0"),
    )
    .output(output("updated_list", PinType::list(PinType::Any)).about("The list with the new entries."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut list = input.list("list");
    let mut added = input.list("entries");
    // A falsy entry counts as none.
    added.extend(input.optional("entry").filter(python::truthy));
    let at = input
        .optional_integer("position")
        .map_or(list.len(), |position| python::slice_bound(position, list.len()));
    list.splice(at..at, added);
    out.emit("updated_list", list);
    Ok(())
}
