//! An output of a graph. The run's outputs show its input value; links see what is formatted here.

use engine::block::BlockKind;
use engine::types::PinType;
use model::Map;
use serde_json::{Value, json};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::{python, template};

pub(crate) fn block() -> Immediate {
    let text = || PinType::optional(PinType::Str);
    let descriptor = Describe::new(
        uuid!("363ae599-353e-4804-937e-b2ee3cef3da4"),
        "AgentOutputBlock",
        "Marks a value as an output of the agent.",
    )
    .categories(&["BASIC", "OUTPUT"])
    .kind(BlockKind::Output)
    .static_output()
    .without_error()
    .input(
        optional("value", PinType::optional(PinType::Any), Value::Null)
            .basic()
            .about("The value to output."),
    )
    .input(required("name", PinType::Str).about("The name of the output."))
    .input(optional("title", text(), Value::Null).about("The title of the output."))
    .input(optional("description", text(), Value::Null).about("What the output is."))
    .input(optional("format", PinType::Str, json!("")).about("A template for the output, in Jinja form: {{ name }}."))
    .input(optional("escape_html", PinType::Bool, json!(false)).about("Whether to escape HTML in the formatted output."))
    .input(optional("advanced", PinType::Bool, json!(false)).about("Whether to fold the output away."))
    .input(optional("secret", PinType::Bool, json!(false)).about("Whether to hide the output."))
    .output(output("output", PinType::Any).about("The value, formatted when there is a format."))
    .output(output("name", PinType::Any).about("The name of the output."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let (value, name, format) = (input.value("value"), input.text("name"), input.text("format"));
    if format.is_empty() {
        out.emit("output", value);
        out.emit("name", name);
        return Ok(());
    }
    let shown = python::str_of(&value);
    let formatted = template::render(&format, Map::from_iter([(name, value)]), input.flag("escape_html"));
    out.emit("output", formatted.unwrap_or_else(|error| format!("Error: {error}, {shown}")));
    Ok(())
}
