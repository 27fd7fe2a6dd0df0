//! Converts a value by the rules that links use (internals §2.5).

use engine::convert::convert;
use engine::types::PinType;
use engine::value::Converted;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::emit::{NotJson, PinValue};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let types = PinType::literal(["string", "number", "boolean", "list", "dictionary"]);
    let descriptor = Describe::new(
        uuid!("95d1b990-ce13-4d88-9737-ba5c2070c97b"),
        "UniversalTypeConverterBlock",
        "Converts a value to text, a number, a boolean, a list or a dictionary.",
    )
    .categories(&["BASIC"])
    .input(required("value", PinType::Any).about("The value to convert."))
    .input(required("type", types).about("The type to convert it to."))
    .output(output("value", PinType::Any).about("The converted value."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let target = match input.text("type").as_str() {
        "string" => PinType::Str,
        "number" => PinType::Float,
        "boolean" => PinType::Bool,
        "list" => PinType::list(PinType::Any),
        _ => PinType::dict(PinType::Any, PinType::Any),
    };
    let converted = convert(input.value("value"), &target).map_err(|error| Failure::raised(error.to_string()))?;
    let value = match converted {
        Converted::Value(value) => PinValue::Json(value),
        Converted::NonFinite(number) => PinValue::NonFinite(number),
        Converted::List(_) | Converted::Map(_) => return Err(Failure::raised(NotJson.to_string())),
    };
    out.emit("value", value);
    Ok(())
}
