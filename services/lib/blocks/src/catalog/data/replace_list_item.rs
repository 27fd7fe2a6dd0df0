//! Replaces an item in a copy of a list.

use engine::types::PinType;
use uuid::uuid;

use super::get_list_item::out_of_range;
use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("fbf62922-bea1-4a3d-8bac-23587f810b38"),
        "ReplaceListItemBlock",
        "Replaces the item at a position of a list.",
    )
    .categories(&["BASIC"])
    .input(required("list", PinType::list(PinType::Any)).about("The list."))
    .input(required("index", PinType::Int).about("The position, from 0; negative ones count from the end."))
    .input(required("value", PinType::Any).about("The new item."))
    .output(output("updated_list", PinType::list(PinType::Any)).about("The list with the new item."))
    .output(output("old_item", PinType::Any).about("The item before."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut list = input.list("list");
    let index = python::element_index(input.integer("index"), list.len());
    let place = index.and_then(|index| list.get_mut(index)).ok_or_else(out_of_range)?;
    let old = std::mem::replace(place, input.value("value"));
    out.emit("updated_list", list);
    out.emit("old_item", old);
    Ok(())
}
