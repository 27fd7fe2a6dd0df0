//! Tells whether a list or a dictionary is empty.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn dictionary_is_empty() -> Immediate {
    let descriptor = Describe::new(
        uuid!("a3cf3f64-6bb9-4cc6-9900-608a0b3359b0"),
        "DictionaryIsEmptyBlock",
        "Tells whether a dictionary is empty.",
    )
    .categories(&["BASIC"])
    .input(required("dictionary", PinType::dict(PinType::Any, PinType::Any)).about("The dictionary."))
    .output(output("is_empty", PinType::Bool).about("Whether it is empty."));
    Immediate::new(descriptor.build(), |mut input: Inputs, out: &mut Outputs| {
        out.emit("is_empty", input.map("dictionary").is_empty());
        Ok::<(), Failure>(())
    })
}

pub(crate) fn list_is_empty() -> Immediate {
    let descriptor = Describe::new(
        uuid!("896ed73b-27d0-41be-813c-c1c1dc856c03"),
        "ListIsEmptyBlock",
        "Tells whether a list is empty.",
    )
    .categories(&["BASIC"])
    .input(required("list", PinType::list(PinType::Any)).about("The list."))
    .output(output("is_empty", PinType::Bool).about("Whether it is empty."));
    Immediate::new(descriptor.build(), |mut input: Inputs, out: &mut Outputs| {
        out.emit("is_empty", input.list("list").is_empty());
        Ok::<(), Failure>(())
    })
}
