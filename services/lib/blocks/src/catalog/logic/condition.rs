//! Compares two values and goes one of two ways.

use std::cmp::Ordering;

use engine::types::PinType;
use serde_json::{Number, Value};
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::emit::PinValue;
use crate::immediate::{Immediate, Inputs, Outputs};
use crate::python;

pub(crate) fn block() -> Immediate {
    let operators = PinType::literal(["==", "!=", ">", "<", ">=", "<="]);
    let descriptor = Describe::new(
        uuid!("715696a0-e1da-45c8-b209-c2fa9c3b0be6"),
        "ConditionBlock",
        "Compares two values and gives one output when the comparison holds and another when it does not.",
    )
    .categories(&["LOGIC"])
    .input(
        required("value1", PinType::Any)
            .about("The value on the left.")
            .placeholder("For example: 10"),
    )
    .input(required("operator", operators).about("The comparison.").placeholder("Select an operator"))
    .input(
        required("value2", PinType::Any)
            .about("The value on the right.")
            .placeholder("For example: 20"),
    )
    .input(branch_value("yes_value", "Given when the comparison holds; the left value when empty."))
    .input(branch_value(
        "no_value",
        "Given when the comparison does not hold; the right value when empty.",
    ))
    .output(output("result", PinType::Bool).about("Whether the comparison holds."))
    .output(output("yes_output", PinType::Any).about("Given when the comparison holds."))
    .output(output("no_output", PinType::Any).about("Given when the comparison does not hold."));
    Immediate::new(descriptor.build(), run)
}

pub(super) fn branch_value(name: &'static str, about: &str) -> PinSpec {
    optional(name, PinType::optional(PinType::Any), Value::Null).basic().about(about)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    let left = Operand::read(input.value("value1"));
    let right = Operand::read(input.value("value2"));
    let operator = input.text("operator");
    let compared = left.compare(&operator, &right);
    let holds = compared.map_err(|unordered| Failure::raised(format!("'{operator}' {unordered}")))?;
    out.emit("result", holds);
    let (pin, given, default) = if holds {
        ("yes_output", "yes_value", left)
    } else {
        ("no_output", "no_value", right)
    };
    match input.optional(given) {
        Some(value) => out.emit(pin, value),
        None => out.emit(pin, default),
    }
    Ok(())
}

/// A value to compare: text is trimmed, and a number when it reads as one.
enum Operand {
    Json(Value),
    NonFinite(f64),
}

impl Operand {
    fn read(value: Value) -> Self {
        let Value::String(text) = value else { return Self::Json(value) };
        let text = python::strip(&text);
        match python::parse_float(text) {
            Some(number) => Number::from_f64(number).map_or(Self::NonFinite(number), |finite| Self::Json(Value::Number(finite))),
            None => Self::Json(Value::from(text)),
        }
    }

    fn compare(&self, operator: &str, other: &Self) -> Result<bool, python::Unordered> {
        match operator {
            "==" => return Ok(self.equals(other)),
            "!=" => return Ok(!self.equals(other)),
            _ => {}
        }
        let order = self.order(other)?;
        Ok(match operator {
            ">" => order == Some(Ordering::Greater),
            "<" => order == Some(Ordering::Less),
            ">=" => matches!(order, Some(Ordering::Greater | Ordering::Equal)),
            _ => matches!(order, Some(Ordering::Less | Ordering::Equal)),
        })
    }

    fn equals(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Json(left), Self::Json(right)) => python::equal(left, right),
            (Self::NonFinite(left), Self::NonFinite(right)) => left == right,
            _ => false,
        }
    }

    fn order(&self, other: &Self) -> Result<Option<Ordering>, python::Unordered> {
        match (self, other) {
            (Self::Json(left), Self::Json(right)) => python::compare(left, right),
            (Self::NonFinite(left), Self::NonFinite(right)) => Ok(left.partial_cmp(right)),
            // An infinity is beyond every finite number; the stand-in 0.0 only settles whether the other side is a number.
            (Self::NonFinite(left), Self::Json(right)) => python::compare(&Value::from(0.0), right).map(|_| left.partial_cmp(&0.0)),
            (Self::Json(left), Self::NonFinite(right)) => python::compare(left, &Value::from(0.0)).map(|_| 0.0.partial_cmp(right)),
        }
    }
}

impl From<Operand> for PinValue {
    fn from(operand: Operand) -> Self {
        match operand {
            Operand::Json(value) => Self::Json(value),
            Operand::NonFinite(number) => Self::NonFinite(number),
        }
    }
}
