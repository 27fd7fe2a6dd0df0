//! Blocks that work with the user's library and with the catalogue.

mod library;
mod store;

use std::sync::Arc;

use engine::types::PinType;
use serde_json::{Value, json};

use crate::block::Block;
use crate::describe::{PinSpec, output};

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(library::add()),
        Arc::new(library::list()),
        Arc::new(store::details()),
        Arc::new(store::search()),
    ]
}

/// The two outputs of a list: all of it, and each entry. `properties` describes an entry.
fn entries(properties: &Value) -> [PinSpec; 2] {
    let entry = json!({ "type": "object", "properties": properties });
    [
        output("agents", PinType::list(PinType::object()))
            .schema(json!({ "items": entry }))
            .about("The agents."),
        output("agent", PinType::object()).schema(entry).about("Each of the agents."),
    ]
}

fn text() -> Value {
    json!({ "type": "string", "default": "" })
}

fn texts() -> Value {
    json!({ "type": "array", "items": { "type": "string" }, "default": [] })
}

fn integer() -> Value {
    json!({ "type": "integer", "default": 0 })
}
