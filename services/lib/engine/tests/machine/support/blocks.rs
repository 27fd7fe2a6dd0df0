//! Blocks made for the tests. Their names say what they do.

use std::collections::HashMap;

use engine::block::{BlockCatalog, BlockDescriptor, BlockKind, Effects, Pin};
use engine::types::PinType;
use model::{BlockId, Map};
use serde_json::{Value, json};
use uuid::Uuid;

pub type Emissions = Result<Vec<(String, Value)>, (Vec<(String, Value)>, String)>;

type Behaviour = fn(&Map) -> Emissions;

pub struct Blocks {
    blocks: HashMap<BlockId, (BlockDescriptor, Behaviour)>,
}

impl BlockCatalog for Blocks {
    fn block(&self, id: BlockId) -> Option<&BlockDescriptor> {
        self.blocks.get(&id).map(|(descriptor, _)| descriptor)
    }
}

pub const NAMES: [&str; 13] = [
    "input", "output", "store", "join", "add", "each", "pass", "fail", "note", "agent", "tools", "wrap", "whole",
];

pub fn id(name: &str) -> BlockId {
    let number = NAMES.iter().position(|known| *known == name).unwrap();
    Uuid::from_u128(number as u128 + 1)
}

fn emit(name: &str, value: Value) -> Emissions {
    Ok(vec![(name.to_owned(), value)])
}

fn get(input: &Map, name: &str) -> Value {
    input.get(name).cloned().unwrap_or_default()
}

impl Blocks {
    pub fn new() -> Self {
        let mut blocks = Self { blocks: HashMap::new() };
        blocks.input_output();
        blocks.ordinary();
        blocks
    }

    /// The same blocks, where "fail" does not fail any more.
    pub fn healed() -> Self {
        let mut blocks = Self::new();
        if let Some((_, behaviour)) = blocks.blocks.get_mut(&id("fail")) {
            *behaviour = |input| emit("out", get(input, "x"));
        }
        blocks
    }

    pub fn run(&self, block: BlockId, input: &Map) -> Emissions {
        (self.blocks[&block].1)(input)
    }

    fn input_output(&mut self) {
        self.add(
            "input",
            BlockKind::Input,
            &["name! str", "value any", "secret bool", "title str"],
            &["result"],
            true,
            |input| match get(input, "value") {
                Value::Null => Ok(Vec::new()),
                value => emit("result", value),
            },
        );
        self.add("output", BlockKind::Output, &["name! str", "value any"], &["output"], true, |input| {
            emit("output", get(input, "value"))
        });
    }

    fn ordinary(&mut self) {
        let standard = BlockKind::Standard;
        self.add("store", standard, &["input! any"], &["output"], true, |input| {
            emit("output", get(input, "input"))
        });
        self.add(
            "join",
            standard,
            &["values! dict[str,any]", "items list[any]", "text str"],
            &["output", "error"],
            false,
            |input| emit("output", get(input, "values")),
        );
        self.add("add", standard, &["a! float", "b! float"], &["sum", "error"], false, |input| {
            emit("sum", json!(get(input, "a").as_f64().unwrap() + get(input, "b").as_f64().unwrap()))
        });
        self.add("each", standard, &["items! list[any]"], &["item", "error"], false, |input| {
            Ok(get(input, "items")
                .as_array()
                .unwrap()
                .iter()
                .map(|item| ("item".to_owned(), item.clone()))
                .collect())
        });
        self.add("pass", standard, &["x! any", "y any"], &["out", "error"], false, |input| {
            emit("out", get(input, "x"))
        });
        self.add("fail", standard, &["x! any"], &["out", "error"], false, |input| {
            Err((vec![("out".to_owned(), get(input, "x"))], "raised by fail".to_owned()))
        });
        self.add("note", BlockKind::Note, &["text! str"], &["output"], false, |input| {
            emit("output", get(input, "text"))
        });
        self.add(
            "agent",
            BlockKind::Agent,
            &["graph_id! str", "inputs! dict[str,any]"],
            &[],
            false,
            |input| emit("r", json!(input)),
        );
        self.add("tools", standard, &["x! any"], &["tools"], false, |input| {
            match get(input, "x").as_str() {
                Some(tool) => emit(tool, json!("called")),
                None => Err((Vec::new(), "a tool is called by its name".to_owned())),
            }
        });
        self.add("wrap", standard, &["x! any"], &["out", "error"], false, |input| {
            emit("out", json!([get(input, "x")]))
        });
        self.add("whole", standard, &["n! int", "kind literal['a','b']"], &["n", "error"], false, |input| {
            emit("n", get(input, "n"))
        });
    }

    fn add(&mut self, name: &'static str, kind: BlockKind, inputs: &[&'static str], outputs: &[&'static str], is_static: bool, run: Behaviour) {
        let pin = |text: &&'static str| {
            let (name, ty) = text.split_once(' ').unwrap_or((text, "any"));
            let ty: PinType = ty.parse().unwrap();
            let required = name.ends_with('!');
            Pin {
                name: name.trim_end_matches('!'),
                schema: schema(&ty),
                ty,
                required,
                own: true,
                depends_on: &[],
            }
        };
        let descriptor = BlockDescriptor {
            id: id(name),
            name,
            description: "",
            categories: &[],
            kind,
            effects: Effects::Pure,
            static_output: is_static,
            disabled: false,
            inputs: inputs.iter().map(pin).collect(),
            outputs: outputs.iter().map(pin).collect(),
        };
        self.blocks.insert(descriptor.id, (descriptor, run));
    }
}

fn schema(ty: &PinType) -> Value {
    match ty {
        PinType::Str => json!({"type": "string"}),
        PinType::Float => json!({"type": "number"}),
        PinType::Int => json!({"type": "integer"}),
        PinType::Bool => json!({"type": "boolean"}),
        PinType::List(_) => json!({"type": "array"}),
        PinType::Dict(..) => json!({"type": "object"}),
        PinType::Literal(_) => json!({"enum": ["a", "b"]}),
        _ => json!({}),
    }
}
