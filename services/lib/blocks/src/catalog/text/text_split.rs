//! Splits a text.

use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::bounds::MOST_VALUES;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("d5ea33c8-a575-477a-b42f-2fe3be5055ec"),
        "TextSplitBlock",
        "Splits a text into a list of texts.",
    )
    .categories(&["TEXT"])
    .input(required("text", PinType::Str).about("The text to split."))
    .input(required("delimiter", PinType::Str).about("What separates the parts.").placeholder(","))
    .input(optional("strip", PinType::Bool, json!(true)).about("Whether to drop white space around each part."))
    .output(output("texts", PinType::list(PinType::Str)).about("The parts."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let (text, delimiter) = (input.text("text"), input.text("delimiter"));
    if text.is_empty() {
        out.emit("texts", Vec::<Value>::new());
        return Ok(());
    }
    if delimiter.is_empty() {
        return Err(Failure::raised("empty separator"));
    }
    if text.matches(delimiter.as_str()).nth(MOST_VALUES - 1).is_some() {
        return Err(Failure::reported(format!(
            "The text has more than {MOST_VALUES} parts: split it into larger ones"
        )));
    }
    let strip = input.flag("strip");
    let parts = text
        .split(delimiter.as_str())
        .map(|part| Value::from(if strip { python::strip(part) } else { part }));
    out.emit("texts", parts.collect::<Vec<Value>>());
    Ok(())
}
