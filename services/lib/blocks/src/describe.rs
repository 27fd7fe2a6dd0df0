//! The words in which a block file declares its block: inside this crate, and wherever else blocks are written.

use engine::block::{BlockDescriptor, BlockKind, Effects, Pin};
use engine::types::{Literal, PinType};
use model::{BlockId, Map};
use serde_json::{Value, json};

use crate::checks::Declared;

/// A descriptor in the making. A Standard block without effects and with an `error` output, unless said otherwise.
pub struct Describe(BlockDescriptor);

impl Describe {
    pub fn new(id: BlockId, name: &'static str, description: &'static str) -> Self {
        Self(BlockDescriptor {
            id,
            name,
            description,
            categories: &[],
            kind: BlockKind::Standard,
            effects: Effects::Pure,
            static_output: false,
            disabled: false,
            inputs: Vec::new(),
            outputs: vec![output("error", PinType::Str).about("Says why the block failed.").default(json!("")).0],
        })
    }

    /// Names of the contract's categories, for example `BASIC`.
    pub fn categories(mut self, categories: &'static [&'static str]) -> Self {
        self.0.categories = categories;
        self
    }

    /// The block's type in the builder.
    pub fn kind(mut self, kind: BlockKind) -> Self {
        self.0.kind = kind;
        self
    }

    /// What a crash or a repetition of the block may cost.
    pub fn effects(mut self, effects: Effects) -> Self {
        self.0.effects = effects;
        self
    }

    /// The links that leave the block are static (internals §2.3).
    pub fn static_output(mut self) -> Self {
        self.0.static_output = true;
        self
    }

    /// Input and output blocks have no `error` output.
    pub fn without_error(mut self) -> Self {
        self.0.outputs.retain(|pin| pin.name != "error");
        self
    }

    pub fn input(mut self, pin: PinSpec) -> Self {
        self.0.inputs.push(pin.0);
        self
    }

    pub fn inputs(self, pins: impl IntoIterator<Item = PinSpec>) -> Self {
        pins.into_iter().fold(self, Self::input)
    }

    pub fn output(mut self, pin: PinSpec) -> Self {
        self.0.outputs.push(pin.0);
        self
    }

    pub fn build(self) -> Declared {
        self.0.into()
    }
}

/// A pin in the making.
pub struct PinSpec(Pin);

/// An input without a default.
pub fn required(name: &'static str, ty: PinType) -> PinSpec {
    let mut spec = output(name, ty);
    spec.0.required = true;
    spec.extra("advanced", false)
}

/// An input with a default, which the builder folds away as advanced unless `basic()` says otherwise.
pub fn optional(name: &'static str, ty: PinType, default: Value) -> PinSpec {
    output(name, ty).default(default).extra("advanced", true)
}

/// An output, or the common part of every pin.
pub fn output(name: &'static str, ty: PinType) -> PinSpec {
    let mut schema = Map::new();
    schema.insert("title".to_owned(), Value::from(title(name)));
    if let Value::Object(of_type) = schema_of(&ty) {
        schema.extend(of_type);
    }
    PinSpec(Pin {
        name,
        ty,
        required: false,
        own: true,
        depends_on: &[],
        schema: Value::Object(schema),
    })
}

impl PinSpec {
    pub fn name(&self) -> &'static str {
        self.0.name
    }

    pub fn about(self, description: &str) -> Self {
        self.extra("description", description)
    }

    pub fn placeholder(self, example: &str) -> Self {
        self.extra("placeholder", example)
    }

    pub fn default(self, default: Value) -> Self {
        self.extra("default", default)
    }

    /// Always shown in the builder.
    pub fn basic(self) -> Self {
        self.extra("advanced", false)
    }

    /// Never shown in the builder.
    pub fn hidden(self) -> Self {
        self.extra("hidden", true)
    }

    /// Declared by a base of the block's input class: not converted (internals §2.5 step 5).
    pub fn inherited(mut self) -> Self {
        self.0.own = false;
        self
    }

    /// One more key of the pin's schema.
    pub fn extra(mut self, key: &str, value: impl Into<Value>) -> Self {
        if let Value::Object(schema) = &mut self.0.schema {
            schema.insert(key.to_owned(), value.into());
        }
        self
    }

    /// The schema of a pin whose type is a model: merged over what the type gives.
    pub fn schema(mut self, model: Value) -> Self {
        if let (Value::Object(schema), Value::Object(model)) = (&mut self.0.schema, model) {
            schema.extend(model);
        }
        self
    }
}

/// `yes_value` → `Yes Value`.
fn title(name: &str) -> String {
    let words = name.split('_').filter(|word| !word.is_empty()).map(|word| {
        let mut letters = word.chars();
        letters
            .next()
            .map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
    });
    words.collect::<Vec<String>>().join(" ")
}

/// The JSON Schema of a type.
pub fn schema_of(ty: &PinType) -> Value {
    match ty {
        PinType::Any | PinType::Opaque => json!({}),
        PinType::Str => json!({ "type": "string" }),
        PinType::ShortText => json!({ "type": "string", "format": "short-text" }),
        PinType::LongText => json!({ "type": "string", "format": "long-text" }),
        PinType::File => json!({ "type": "string", "format": "file" }),
        PinType::Int => json!({ "type": "integer" }),
        PinType::Float => json!({ "type": "number" }),
        PinType::Bool => json!({ "type": "boolean" }),
        PinType::None => json!({ "type": "null" }),
        PinType::List(element) => json!({ "type": "array", "items": schema_of(element) }),
        PinType::Dict(_, element) => match **element {
            PinType::Any => json!({ "type": "object", "additionalProperties": true }),
            ref element => json!({ "type": "object", "additionalProperties": schema_of(element) }),
        },
        PinType::Optional(inner) => match **inner {
            PinType::Any => json!({}),
            ref inner => json!({ "anyOf": [schema_of(inner), { "type": "null" }] }),
        },
        PinType::Union(members) => json!({ "anyOf": members.iter().map(schema_of).collect::<Vec<Value>>() }),
        PinType::Literal(members) => literal_schema(members),
    }
}

fn literal_schema(members: &[Literal]) -> Value {
    let values: Vec<Value> = members
        .iter()
        .map(|member| match member {
            Literal::Text(text) => Value::from(text.as_str()),
            Literal::Int(number) => Value::from(*number),
            Literal::Bool(flag) => Value::from(*flag),
        })
        .collect();
    if values.iter().all(Value::is_string) {
        json!({ "type": "string", "enum": values })
    } else {
        json!({ "enum": values })
    }
}

#[cfg(test)]
mod tests {
    use engine::types::PinType;
    use serde_json::json;

    use super::{optional, required};

    #[test]
    fn a_pin_with_a_default_is_advanced_and_titled() {
        let pin = optional("max_size", PinType::optional(PinType::Int), json!(null)).0;
        let expected = json!({ "title": "Max Size", "anyOf": [{ "type": "integer" }, { "type": "null" }], "default": null, "advanced": true });
        assert_eq!((pin.schema, pin.required), (expected, false));
    }

    #[test]
    fn a_required_pin_is_always_shown() {
        let pin = required("text", PinType::Str).placeholder("a").about("b").0;
        let expected = json!({ "title": "Text", "type": "string", "advanced": false, "placeholder": "a", "description": "b" });
        assert_eq!((pin.schema, pin.required), (expected, true));
    }
}
