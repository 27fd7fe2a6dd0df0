//! The compiled schemas of a block's pins.

use engine::block::BlockDescriptor;
use engine::check::{Check, Misfit};
use model::Map;
use serde_json::Value;

use crate::emit::PinValue;

/// What the inputs and outputs of a block must fit.
#[derive(Debug, Clone, PartialEq)]
pub struct PinChecks {
    inputs: Vec<InputCheck>,
    outputs: Vec<(&'static str, Check)>,
}

#[derive(Debug, Clone, PartialEq)]
struct InputCheck {
    name: &'static str,
    is_required: bool,
    /// Taken when the input is absent.
    default: Option<Value>,
    check: Check,
}

impl PinChecks {
    pub fn of(descriptor: &BlockDescriptor) -> Self {
        let inputs = descriptor.inputs.iter().map(|pin| InputCheck {
            name: pin.name,
            is_required: pin.required,
            default: pin.schema.get("default").filter(|default| !default.is_null()).cloned(),
            check: Check::compile(&pin.schema),
        });
        let outputs = descriptor.outputs.iter().map(|pin| (pin.name, Check::compile(&pin.schema)));
        Self {
            inputs: inputs.collect(),
            outputs: outputs.collect(),
        }
    }

    /// Checks a map of inputs and fills in defaults. Names that are no pins are ignored.
    pub(crate) fn complete(&self, input: &mut Map) -> Result<(), Misfit> {
        for pin in &self.inputs {
            match (input.get(pin.name), &pin.default) {
                (Some(value), _) => pin.check.test(value).map_err(|misfit| misfit.below(pin.name))?,
                (None, _) if pin.is_required => return Err(Misfit::new(format!("'{}' is a required property", pin.name))),
                (None, Some(default)) => _ = input.insert(pin.name.to_owned(), default.clone()),
                (None, None) => {}
            }
        }
        Ok(())
    }

    /// Checks one output.
    pub(crate) fn test_output(&self, pin: &str, value: &PinValue) -> Result<(), Misfit> {
        let Some((_, check)) = self.outputs.iter().find(|(name, _)| *name == pin) else {
            return Err(Misfit::new("the block has no such output".to_owned()));
        };
        match value {
            PinValue::Json(value) => check.test(value),
            // Infinity and not-a-number are numbers as far as a schema is concerned.
            PinValue::NonFinite(_) => check.test(&Value::from(0.5)),
        }
    }
}

/// A block's descriptor with its compiled schemas.
pub struct Declared {
    pub descriptor: BlockDescriptor,
    pub checks: PinChecks,
}

impl From<BlockDescriptor> for Declared {
    fn from(descriptor: BlockDescriptor) -> Self {
        Self {
            checks: PinChecks::of(&descriptor),
            descriptor,
        }
    }
}

#[cfg(test)]
mod tests {
    use engine::types::PinType;
    use serde_json::json;
    use uuid::Uuid;

    use super::PinChecks;
    use crate::describe::{Describe, optional, required};

    #[test]
    fn inputs_are_completed_or_refused_by_name() {
        let described = Describe::new(Uuid::nil(), "TestBlock", "")
            .input(required("a", PinType::Str))
            .input(optional("b", PinType::Int, json!(7)));
        let checks = PinChecks::of(&described.build().descriptor);
        let complete = |input: serde_json::Value| {
            let mut input = input.as_object().cloned().unwrap();
            checks
                .complete(&mut input)
                .map(|()| serde_json::Value::Object(input))
                .map_err(|misfit| misfit.to_string())
        };
        assert_eq!(complete(json!({ "a": "x", "other": 1 })), Ok(json!({ "a": "x", "other": 1, "b": 7 })));
        assert_eq!(complete(json!({ "b": 1 })), Err("'a' is a required property".to_owned()));
        assert_eq!(
            complete(json!({ "a": "x", "b": "y" })),
            Err("\"y\" is not of type integer at b".to_owned())
        );
    }
}
