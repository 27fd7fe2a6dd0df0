//! Blocks made for the search. Each is a function of its input: the same input always emits the same.

use std::sync::LazyLock;

use engine::block::{BlockCatalog, BlockDescriptor, BlockKind, Effects, Pin};
use engine::types::PinType;
use model::{BlockId, Map};
use serde_json::{Value, json};
use uuid::Uuid;

/// What a block does with an input.
#[derive(Debug, Clone, Default)]
pub struct Doing {
    pub emissions: Vec<(String, Value)>,
    /// The node fails after that.
    pub error: Option<String>,
}

pub struct Block {
    pub descriptor: BlockDescriptor,
    behaviour: fn(&Map) -> Doing,
}

impl Block {
    pub fn run(&self, input: &Map) -> Doing {
        (self.behaviour)(input)
    }
}

pub struct Catalog(Vec<Block>);

pub static CATALOG: LazyLock<Catalog> = LazyLock::new(Catalog::new);

impl Catalog {
    pub fn named(&self, name: &str) -> &Block {
        self.0.iter().find(|block| block.descriptor.name == name).unwrap()
    }

    pub fn of(&self, id: BlockId) -> &Block {
        self.0.iter().find(|block| block.descriptor.id == id).unwrap()
    }
}

impl BlockCatalog for Catalog {
    fn block(&self, id: BlockId) -> Option<&BlockDescriptor> {
        self.0.iter().map(|block| &block.descriptor).find(|block| block.id == id)
    }
}

fn emit(emissions: &[(&str, Value)]) -> Doing {
    Doing {
        emissions: emissions.iter().map(|(name, value)| ((*name).to_owned(), value.clone())).collect(),
        error: None,
    }
}

fn get(input: &Map, name: &str) -> Value {
    input.get(name).cloned().unwrap_or_default()
}

/// Keys in one order, whatever the order of arrival, and no deeper than four levels, whatever a loop does.
fn tidy(value: &Value, levels: usize) -> Value {
    match value {
        Value::Array(_) | Value::Object(_) if levels == 0 => json!("deep"),
        Value::Array(items) => items.iter().map(|item| tidy(item, levels - 1)).collect(),
        Value::Object(entries) => {
            let mut sorted: Vec<(&String, &Value)> = entries.iter().collect();
            sorted.sort_by_key(|(key, _)| *key);
            sorted.into_iter().map(|(key, value)| (key.clone(), tidy(value, levels - 1))).collect()
        }
        scalar => scalar.clone(),
    }
}

/// Text that does not grow, whatever a loop does.
fn shortened(input: &Map, name: &str) -> Value {
    let text: String = get(input, name).as_str().unwrap_or_default().chars().take(40).collect();
    json!(text)
}

fn contained(input: &Map, name: &str) -> Doing {
    emit(&[("out", tidy(&get(input, name), 3))])
}

fn count(input: &Map) -> Doing {
    match get(input, "n").as_i64().unwrap_or_default().min(4) {
        n if n > 0 => emit(&[("again", json!(n - 1)), ("each", json!({"left": n}))]),
        n => emit(&[("done", json!(n))]),
    }
}

fn split(input: &Map) -> Doing {
    let x = get(input, "x");
    let whole = tidy(&json!({"l": x, "r": [x, null]}), 3);
    emit(&[
        ("a", x.clone()),
        ("b", json!("second")),
        ("whole", whole),
        ("a", json!("again")),
        ("none", Value::Null),
    ])
}

fn items(input: &Map) -> Doing {
    let items = get(input, "items");
    let items = items.as_array().into_iter().flatten().take(4);
    emit(&items.map(|item| ("item", item.clone())).collect::<Vec<_>>())
}

impl Catalog {
    fn new() -> Self {
        let mut catalog = Self(Vec::new());
        let standard = BlockKind::Standard;
        catalog.add("input", BlockKind::Input, &["name! str", "value any"], true, |input| {
            match get(input, "value") {
                Value::Null => Doing::default(),
                value => emit(&[("result", value)]),
            }
        });
        catalog.add("output", BlockKind::Output, &["name! str", "value any"], true, |input| {
            emit(&[("output", get(input, "value"))])
        });
        catalog.add("note", BlockKind::Note, &["text str"], false, |input| {
            emit(&[("output", shortened(input, "text"))])
        });
        catalog.add("store", standard, &["input! any"], true, |input| emit(&[("output", get(input, "input"))]));
        catalog.add("pass", standard, &["x! any", "y any"], false, |input| emit(&[("out", get(input, "x"))]));
        catalog.add("pair", standard, &["x! any", "y! any"], false, |input| {
            emit(&[("out", tidy(&json!([get(input, "x"), get(input, "y")]), 3))])
        });
        catalog.add("whole", standard, &["n! int", "y any"], false, |input| {
            emit(&[("out", json!(get(input, "n").as_i64().unwrap_or_default().wrapping_add(1)))])
        });
        catalog.add("text", standard, &["t! str"], false, |input| emit(&[("out", shortened(input, "t"))]));
        catalog.add("each", standard, &["items! list[any]"], false, items);
        catalog.add("split", standard, &["x! any"], false, split);
        catalog.add("join", standard, &["values! dict[str,any]"], false, |input| contained(input, "values"));
        catalog.add("row", standard, &["items! list[any]", "y any"], false, |input| contained(input, "items"));
        catalog.add("object", standard, &["o! any"], false, |input| contained(input, "o"));
        catalog.add("count", standard, &["n! int"], false, count);
        catalog.add("mute", standard, &["x! any"], false, |_| Doing::default());
        catalog.add("fail", standard, &["x! any"], false, |input| Doing {
            error: Some("raised by fail".to_owned()),
            ..emit(&[("out", get(input, "x"))])
        });
        catalog
    }

    fn add(&mut self, name: &'static str, kind: BlockKind, inputs: &[&'static str], static_output: bool, behaviour: fn(&Map) -> Doing) {
        let pin = |text: &&'static str| {
            let (name, ty) = text.split_once(' ').unwrap();
            let ty: PinType = ty.parse().unwrap();
            Pin {
                name: name.trim_end_matches('!'),
                schema: schema(&ty),
                ty,
                required: name.ends_with('!'),
                own: true,
                depends_on: &[],
            }
        };
        let descriptor = BlockDescriptor {
            id: Uuid::from_u128(self.0.len() as u128 + 1),
            name,
            description: "",
            categories: &[],
            kind,
            effects: Effects::Pure,
            static_output,
            disabled: false,
            inputs: inputs.iter().map(pin).collect(),
            outputs: Vec::new(),
        };
        self.0.push(Block { descriptor, behaviour });
    }
}

fn schema(ty: &PinType) -> Value {
    match ty {
        PinType::Str => json!({"type": "string"}),
        PinType::Int => json!({"type": "integer"}),
        PinType::List(_) => json!({"type": "array"}),
        PinType::Dict(..) => json!({"type": "object"}),
        _ => json!({}),
    }
}
