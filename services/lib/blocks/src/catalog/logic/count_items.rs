//! Counts what a value holds.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("3c9c2f42-b0c3-435f-ba35-05f7a25c772a"),
        "CountItemsBlock",
        "Counts the items of a list or a dictionary, or the characters of a text.",
    )
    .categories(&["LOGIC"])
    .input(
        required("collection", PinType::Any)
            .about("What to count.")
            .placeholder("For example: [1, 2, 3]"),
    )
    .output(output("count", PinType::Int).about("The count; -1 for what has no items."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    match python::length(&input.value("collection")) {
        Some(count) => out.emit("count", count),
        None => out.emit("count", -1_i64),
    }
    Ok(())
}
