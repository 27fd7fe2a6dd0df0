//! Fills a template with values.

use engine::types::PinType;
use serde_json::json;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::template;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("db7d8f02-2f44-4c55-ab7a-eae0941f0c30"),
        "FillTextTemplateBlock",
        "Fills a text template with values.",
    )
    .categories(&["TEXT"])
    .input(required("values", PinType::object()).about("The values, by the names that the template uses."))
    .input(
        required("format", PinType::Str)
            .about("The template, in Jinja form: {{ name }}.")
            .placeholder("Hello {{ name }}"),
    )
    .input(optional("escape_html", PinType::Bool, json!(false)).about("Whether to escape HTML in the values."))
    .output(output("output", PinType::Str).about("The filled text."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let values = input.map("values");
    let filled = template::render(&input.text("format"), values, input.flag("escape_html")).map_err(Failure::Raised)?;
    out.emit("output", filled);
    Ok(())
}
