//! Remembers a value: its output links are static.

use engine::types::PinType;
use serde_json::Value;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("1ff065e9-88e8-4358-9d82-8dc91f622ba9"),
        "StoreValueBlock",
        "Passes a value on and keeps it, so that the blocks behind it can use it again and again.",
    )
    .categories(&["BASIC"])
    .static_output()
    .input(required("input", PinType::Any).about("Triggers the block; passed on when there is no data."))
    .input(
        optional("data", PinType::optional(PinType::Any), Value::Null)
            .basic()
            .about("The constant to keep, passed on instead of the input."),
    )
    .output(output("output", PinType::Any).about("The kept value."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    // Falsy data counts as none.
    let data = input.optional("data").filter(python::truthy);
    out.emit("output", data.unwrap_or_else(|| input.value("input")));
    Ok(())
}
