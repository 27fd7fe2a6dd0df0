//! Blocks that only compute: a descriptor and a plain function from inputs to outputs.

use std::borrow::Cow;

use async_trait::async_trait;
use engine::block::BlockDescriptor;
use model::Map;
use serde_json::Value;

use crate::block::{Block, BlockContext, Failure};
use crate::checks::{Declared, PinChecks};
use crate::emit::{Emitter, PinValue};
use crate::python;

/// What a computing block does.
pub(crate) type Body = fn(Inputs, &mut Outputs) -> Result<(), Failure>;

/// A block without effects and without waiting.
pub(crate) struct Immediate {
    declared: Declared,
    body: Body,
}

impl Immediate {
    pub(crate) fn new(declared: Declared, body: Body) -> Self {
        Self { declared, body }
    }
}

#[async_trait]
impl Block for Immediate {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.declared.descriptor
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        Cow::Borrowed(&self.declared.checks)
    }

    async fn run(&self, input: Map, _context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let mut outputs = Outputs::default();
        let ended = (self.body)(Inputs(input), &mut outputs);
        outputs.send(out).await?;
        ended
    }
}

/// The outputs of a computing block, in order. They are sent when it ends, also when it ends with a failure.
#[derive(Default)]
pub(crate) struct Outputs(Vec<(&'static str, PinValue)>);

impl Outputs {
    pub(crate) fn emit(&mut self, pin: &'static str, value: impl Into<PinValue>) {
        self.0.push((pin, value.into()));
    }

    pub(crate) async fn send(self, out: &mut Emitter<'_>) -> Result<(), Failure> {
        for (pin, value) in self.0 {
            out.emit(pin, value).await?;
        }
        Ok(())
    }
}

/// The inputs of a block, validated and completed by `execute`, taken out one by one. A name that is absent or of another type than asked
/// for reads as empty, which validation excludes.
pub(crate) struct Inputs(pub(crate) Map);

impl Inputs {
    /// The value, or `None` where the reference has `None`.
    pub(crate) fn optional(&mut self, name: &str) -> Option<Value> {
        self.0.swap_remove(name)
    }

    /// The value, null when absent.
    pub(crate) fn value(&mut self, name: &str) -> Value {
        self.optional(name).unwrap_or_default()
    }

    pub(crate) fn optional_text(&mut self, name: &str) -> Option<String> {
        match self.optional(name) {
            Some(Value::String(text)) => Some(text),
            _ => None,
        }
    }

    pub(crate) fn text(&mut self, name: &str) -> String {
        self.optional_text(name).unwrap_or_default()
    }

    pub(crate) fn list(&mut self, name: &str) -> Vec<Value> {
        match self.optional(name) {
            Some(Value::Array(items)) => items,
            _ => Vec::new(),
        }
    }

    pub(crate) fn map(&mut self, name: &str) -> Map {
        match self.optional(name) {
            Some(Value::Object(map)) => map,
            _ => Map::new(),
        }
    }

    pub(crate) fn flag(&self, name: &str) -> bool {
        self.0.get(name).and_then(Value::as_bool).unwrap_or_default()
    }

    /// An integer; what is beyond 64 bits becomes the nearest bound.
    pub(crate) fn optional_integer(&self, name: &str) -> Option<i64> {
        self.0.get(name).and_then(python::integer)
    }

    pub(crate) fn integer(&self, name: &str) -> i64 {
        self.optional_integer(name).unwrap_or_default()
    }

    pub(crate) fn number(&self, name: &str) -> f64 {
        self.0.get(name).and_then(Value::as_f64).unwrap_or_default()
    }
}
