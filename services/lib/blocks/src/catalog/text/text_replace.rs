//! Replaces text by other text.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::bounds;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("7e7c87ab-3469-4bcc-9abe-67705091b713"),
        "TextReplaceBlock",
        "Replaces every occurrence of a text.",
    )
    .categories(&["TEXT"])
    .input(required("text", PinType::Str).about("The text to change."))
    .input(required("old", PinType::Str).about("The text to replace."))
    .input(required("new", PinType::Str).about("The text to put in its place."))
    .output(output("output", PinType::Str).about("The changed text."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let (text, old, new) = (input.text("text"), input.text("old"), input.text("new"));
    bounds::check_text(bounds::replaced(&text, &old, &new))?;
    out.emit("output", text.replace(&old, &new));
    Ok(())
}
