//! Removes an item from a copy of a list.

use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("d93c5a93-ac7e-41c1-ae5c-ef67e6e9b826"),
        "RemoveFromListBlock",
        "Removes an item from a list, by its position or its value.",
    )
    .categories(&["BASIC"])
    .input(required("list", PinType::list(PinType::Any)).about("The list."))
    .input(
        optional("value", PinType::optional(PinType::Any), Value::Null)
            .basic()
            .about("The value to remove, once."),
    )
    .input(
        optional("index", PinType::optional(PinType::Int), Value::Null)
            .basic()
            .about("The position to remove, which goes before the value."),
    )
    .input(optional("return_item", PinType::Bool, json!(false)).about("Whether to output the removed item."))
    .output(output("updated_list", PinType::list(PinType::Any)).about("The list without the item."))
    .output(output("removed_item", PinType::Any).about("The removed item."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut list = input.list("list");
    let at = match (input.optional_integer("index"), input.optional("value")) {
        (Some(index), _) => python::element_index(index, list.len()),
        (None, Some(value)) => python::position(&list, &value),
        (None, None) => None,
    };
    let at = at.ok_or_else(|| Failure::reported("Index or value not found"))?;
    let removed = list.remove(at);
    out.emit("updated_list", list);
    if input.flag("return_item") {
        out.emit("removed_item", removed);
    }
    Ok(())
}
