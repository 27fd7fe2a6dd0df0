//! Counts words and characters.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("ab2a782d-22cf-4587-8a70-55b59b3f9f90"),
        "WordCharacterCountBlock",
        "Counts the words and the characters of a text.",
    )
    .categories(&["TEXT"])
    .input(required("text", PinType::Str).about("The text."))
    .output(output("word_count", PinType::Int).about("Words, as white space separates them."))
    .output(output("character_count", PinType::Int).about("Characters, white space included."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let text = input.text("text");
    out.emit("word_count", python::words(&text).count());
    out.emit("character_count", text.chars().count());
    Ok(())
}
