//! Turns a list round.

use engine::types::PinType;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("422cb708-3109-4277-bfe3-bc2ae5812777"),
        "ReverseListOrderBlock",
        "Gives the elements of a list in reverse order.",
    )
    .categories(&["BASIC"])
    .input(required("input_list", PinType::list(PinType::Any)).about("The list to reverse."))
    .output(output("reversed_list", PinType::list(PinType::Any)).about("The reversed list."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let mut items = input.list("input_list");
    items.reverse();
    out.emit("reversed_list", items);
    Ok(())
}
