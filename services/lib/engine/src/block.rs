//! What the engine knows about a block: its pins, their types and its kind. The blocks crate supplies the values.

use model::BlockId;
use serde_json::Value;

use crate::types::PinType;

/// The block types of the contract (internals §8.1). Output values are checked for `Standard` only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BlockKind {
    Standard,
    Input,
    Output,
    Note,
    Webhook,
    WebhookManual,
    Agent,
    Ai,
    Ayrshare,
    HumanInTheLoop,
}

impl BlockKind {
    /// The contract's word, as `uiType` shows it.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standard => "Standard",
            Self::Input => "Input",
            Self::Output => "Output",
            Self::Note => "Note",
            Self::Webhook => "Webhook",
            Self::WebhookManual => "Webhook (manual)",
            Self::Agent => "Agent",
            Self::Ai => "AI",
            Self::Ayrshare => "Ayrshare",
            Self::HumanInTheLoop => "Human In The Loop",
        }
    }
}

/// What a crash or a repetition may cost (quality §3.4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Effects {
    /// No effect outside the run: may start before its predecessor is durable, and be run again freely.
    Pure,
    /// Effects outside, but the same idempotency key makes a repetition harmless.
    Idempotent,
    /// Must not start twice: parked for review after a crash.
    Once,
}

/// One pin of a block.
#[derive(Debug, Clone, PartialEq)]
pub struct Pin {
    pub name: &'static str,
    /// What values are converted to when they arrive (internals §2.5).
    pub ty: PinType,
    /// Has no default.
    pub required: bool,
    /// Declared by the block itself. Inherited pins are not converted (internals §2.5 step 5).
    pub own: bool,
    /// Pins that must be set when this one is (`depends_on` of the schema).
    pub depends_on: &'static [&'static str],
    /// JSON Schema of the pin as `/api/blocks` shows it, default included.
    pub schema: Value,
}

/// Everything static about a block.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockDescriptor {
    pub id: BlockId,
    /// Class name: the display name and the name in messages.
    pub name: &'static str,
    pub description: &'static str,
    /// Names of the contract's categories, for example `BASIC`.
    pub categories: &'static [&'static str],
    pub kind: BlockKind,
    pub effects: Effects,
    /// Links that leave this block are static (internals §2.3).
    pub static_output: bool,
    pub disabled: bool,
    pub inputs: Vec<Pin>,
    pub outputs: Vec<Pin>,
}

impl BlockDescriptor {
    pub fn input(&self, name: &str) -> Option<&Pin> {
        self.inputs.iter().find(|pin| pin.name == name)
    }

    pub fn output(&self, name: &str) -> Option<&Pin> {
        self.outputs.iter().find(|pin| pin.name == name)
    }

    /// `{type: object, properties, required}` over the input pins.
    pub fn input_schema(&self) -> Value {
        object_schema(&self.inputs)
    }

    pub fn output_schema(&self) -> Value {
        object_schema(&self.outputs)
    }
}

fn object_schema(pins: &[Pin]) -> Value {
    let properties: model::Map = pins.iter().map(|pin| (pin.name.to_owned(), pin.schema.clone())).collect();
    let required: Vec<Value> = pins.iter().filter(|pin| pin.required).map(|pin| Value::from(pin.name)).collect();
    let mut schema = model::Map::new();
    schema.insert("type".to_owned(), Value::from("object"));
    schema.insert("properties".to_owned(), Value::Object(properties));
    if !required.is_empty() {
        schema.insert("required".to_owned(), Value::Array(required));
    }
    Value::Object(schema)
}

/// Where the engine finds blocks. Implemented by the registry of the blocks crate.
pub trait BlockCatalog: Send + Sync {
    fn block(&self, id: BlockId) -> Option<&BlockDescriptor>;
}
