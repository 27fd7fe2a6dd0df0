//! A sticky note. The engine never starts one (internals §2.4); direct execution echoes it.

use engine::block::BlockKind;
use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("cc10ff7b-7753-4ff2-9af6-9399b1a7eddc"),
        "NoteBlock",
        "A note on the canvas. It does nothing.",
    )
    .categories(&["BASIC"])
    .kind(BlockKind::Note)
    .input(required("text", PinType::Str).about("The text of the note."))
    .output(output("output", PinType::Str).about("The text of the note."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    out.emit("output", input.text("text"));
    Ok(())
}
