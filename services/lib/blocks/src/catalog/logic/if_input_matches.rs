//! Compares a value with an expected one, converting the expected one when needed.

use engine::convert::convert;
use engine::types::PinType;
use engine::value::Converted;
use serde_json::Value;
use uuid::uuid;

use super::condition::branch_value;
use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("6dbbc4b3-ca6c-42b6-b508-da52d23e13f2"),
        "IfInputMatchesBlock",
        "Tells whether an input equals a value and gives one output when it does and another when it does not.",
    )
    .categories(&["LOGIC"])
    .input(required("input", PinType::Any).about("The input to look at."))
    .input(required("value", PinType::Any).about("The value that it should equal."))
    .input(branch_value("yes_value", "Given when the input matches."))
    .input(branch_value("no_value", "Given when the input does not match."))
    .output(output("result", PinType::Bool).about("Whether the input matches."))
    .output(output("yes_output", PinType::Any).about("Given when the input matches."))
    .output(output("no_output", PinType::Any).about("Given when the input does not match."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let (given, expected) = (input.value("input"), input.value("value"));
    let matches = python::equal(&given, &expected) || matches_converted(&given, expected)?;
    out.emit("result", matches);
    // An absent value is given as null.
    let (pin, value) = if matches {
        ("yes_output", "yes_value")
    } else {
        ("no_output", "no_value")
    };
    out.emit(pin, input.value(value));
    Ok(())
}

fn matches_converted(given: &Value, expected: Value) -> Result<bool, Failure> {
    let ty = match given {
        Value::Null => PinType::None,
        Value::Bool(_) => PinType::Bool,
        Value::Number(number) if number.is_f64() => PinType::Float,
        Value::Number(_) => PinType::Int,
        Value::String(_) => PinType::Str,
        Value::Array(_) => PinType::list(PinType::Any),
        Value::Object(_) => PinType::dict(PinType::Any, PinType::Any),
    };
    match convert(expected, &ty).map_err(|error| Failure::raised(error.to_string()))? {
        Converted::Value(expected) => Ok(python::equal(given, &expected)),
        // No input is infinite or not a number.
        _ => Ok(false),
    }
}
