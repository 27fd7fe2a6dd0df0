//! Takes one item of a list.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("262ca24c-1025-43cf-a578-534e23234e97"),
        "GetListItemBlock",
        "Gives the item at a position of a list.",
    )
    .categories(&["BASIC"])
    .input(required("list", PinType::list(PinType::Any)).about("The list."))
    .input(required("index", PinType::Int).about("The position, from 0; negative ones count from the end."))
    .output(output("item", PinType::Any).about("The item."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut list = input.list("list");
    let index = python::element_index(input.integer("index"), list.len()).ok_or_else(out_of_range)?;
    out.emit("item", list.swap_remove(index));
    Ok(())
}

pub(super) fn out_of_range() -> Failure {
    Failure::reported("Index out of range")
}
