//! Collects values into a dictionary, usually through `values_#_key` pins.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("b924ddf4-de4f-4b56-9a85-358930dcbc91"),
        "CreateDictionaryBlock",
        "Creates a dictionary of the given keys and values.",
    )
    .categories(&["DATA"])
    .input(
        required("values", PinType::object())
            .about("The keys and values.")
            .placeholder("{'name': 'Alice', 'age': 25}"),
    )
    .output(output("dictionary", PinType::object()).about("The dictionary."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    out.emit("dictionary", input.map("values"));
    Ok(())
}
