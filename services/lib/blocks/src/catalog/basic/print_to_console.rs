//! Writes a value to the log of the executor.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("f3b1c1b2-4c4f-4f0d-8d2f-4c4f0d8d2f4c"),
        "PrintToConsoleBlock",
        "Logs a value, for debugging, and passes it on.",
    )
    .categories(&["BASIC"])
    .input(required("text", PinType::Any).about("The value to log."))
    .output(output("output", PinType::Any).about("The same value."))
    .output(output("status", PinType::Str).about("`printed`."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let text = input.value("text");
    tracing::info!(value = %text, "print to console");
    out.emit("output", text);
    out.emit("status", "printed");
    Ok(())
}
