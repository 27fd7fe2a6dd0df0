//! Arithmetic on two numbers, as Python's floats do it.

use engine::types::PinType;
use serde_json::json;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output, required};
use crate::emit::PinValue;
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let operations = PinType::literal(["Add", "Subtract", "Multiply", "Divide", "Power"]);
    let descriptor = Describe::new(
        uuid!("b1ab9b19-67a6-406d-abf5-2dba76d00c79"),
        "CalculatorBlock",
        "Adds, subtracts, multiplies or divides two numbers, or raises one to the power of the other.",
    )
    .categories(&["LOGIC"])
    .input(
        required("operation", operations)
            .about("What to do with the numbers.")
            .placeholder("Select an operation"),
    )
    .input(required("a", PinType::Float).about("The first number.").placeholder("For example: 10"))
    .input(required("b", PinType::Float).about("The second number.").placeholder("For example: 5"))
    .input(optional("round_result", PinType::Bool, json!(false)).about("Whether to round the result to a whole number."))
    .output(output("result", PinType::Float).about("The result."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let (operation, a, b) = (input.text("operation"), input.number("a"), input.number("b"));
    let rounds = input.flag("round_result");
    let result = match (calculate(&operation, a, b), rounds) {
        (Calculated::DivisionByZero, _) => f64::INFINITY.into(),
        (Calculated::Number(number), false) => number.into(),
        (Calculated::Number(number), true) if number.is_finite() => rounded(number),
        // What cannot be rounded or computed is not a number.
        (Calculated::Number(_) | Calculated::Complex, true) | (Calculated::Overflow, _) => f64::NAN.into(),
        (Calculated::Complex, false) => return Err(Failure::Output("the result is a complex number".to_owned())),
    };
    out.emit("result", result);
    Ok(())
}

enum Calculated {
    Number(f64),
    DivisionByZero,
    Overflow,
    Complex,
}

fn calculate(operation: &str, a: f64, b: f64) -> Calculated {
    match operation {
        "Add" => Calculated::Number(a + b),
        "Subtract" => Calculated::Number(a - b),
        "Multiply" => Calculated::Number(a * b),
        "Divide" if b == 0.0 => Calculated::DivisionByZero,
        "Divide" => Calculated::Number(a / b),
        _ if a == 0.0 && b < 0.0 => Calculated::DivisionByZero,
        _ if a < 0.0 && b.fract() != 0.0 => Calculated::Complex,
        _ => match a.powf(b) {
            power if power.is_finite() => Calculated::Number(power),
            _ => Calculated::Overflow,
        },
    }
}

/// A whole number: ties go to the even neighbour. Beyond 64 bits it stays a float.
fn rounded(number: f64) -> PinValue {
    const EXACT: f64 = 9_007_199_254_740_992.0;
    let whole = number.round_ties_even();
    if whole.abs() <= EXACT {
        PinValue::from(whole as i64)
    } else {
        PinValue::from(whole)
    }
}
