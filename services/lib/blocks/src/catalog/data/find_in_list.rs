//! Finds a value in a list.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("5e2c6d0a-1e37-489f-b1d0-8e1812b23333"),
        "FindInListBlock",
        "Finds the position of a value in a list.",
    )
    .categories(&["BASIC"])
    .input(required("list", PinType::list(PinType::Any)).about("The list."))
    .input(required("value", PinType::Any).about("The value to find."))
    .output(output("index", PinType::Int).about("The position of the first such value."))
    .output(output("found", PinType::Bool).about("Whether there is one."))
    .output(output("not_found_value", PinType::Any).about("The value, when there is none."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let value = input.value("value");
    match python::position(&input.list("list"), &value) {
        Some(index) => {
            out.emit("index", index);
            out.emit("found", true);
        }
        None => {
            out.emit("found", false);
            out.emit("not_found_value", value);
        }
    }
    Ok(())
}
