//! Joins texts.

use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::bounds;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("e30a4d42-7b7d-4e6a-b36e-1f9b8e3b7d85"),
        "CombineTextsBlock",
        "Joins several texts into one.",
    )
    .categories(&["TEXT"])
    .input(required("input", PinType::list(PinType::Str)).about("The texts."))
    .input(optional("delimiter", PinType::Str, json!("")).about("What to put between them."))
    .output(output("output", PinType::Str).about("The joined text."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let texts = input.list("input");
    let texts: Vec<&str> = texts.iter().filter_map(Value::as_str).collect();
    let delimiter = input.text("delimiter");
    let together = texts.iter().map(|text| text.len()).sum();
    bounds::check_text(bounds::joined(together, texts.len(), &delimiter))?;
    out.emit("output", texts.join(&delimiter));
    Ok(())
}
