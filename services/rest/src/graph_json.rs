//! Graphs as answers show them (rest.md §2.2): in full, as a list entry, and for export.

use blocks::BlockCatalog;
use model::GraphModel;
use serde_json::{Value, json};

const NOT_IN_META: [&str; 3] = ["nodes", "links", "created_at"];
const NOT_IN_SUB_GRAPHS: [&str; 4] = ["user_id", "created_at", "credentials_input_schema", "sub_graphs"];

pub fn full(graph: &GraphModel) -> Value {
    let mut value = json!(graph);
    for sub_graph in value.get_mut("sub_graphs").and_then(Value::as_array_mut).into_iter().flatten() {
        remove(sub_graph, &NOT_IN_SUB_GRAPHS);
    }
    value
}

pub fn meta(graph: &GraphModel) -> Value {
    let mut value = full(graph);
    remove(&mut value, &NOT_IN_META);
    value
}

/// Without secrets, without webhooks, without an owner.
pub fn export(graph: &GraphModel, catalog: &dyn BlockCatalog) -> Value {
    let mut graph = graph.clone();
    engine::secrets::strip(&mut graph, catalog);
    let mut value = full(&graph);
    if let Some(user_id) = value.get_mut("user_id") {
        *user_id = json!("");
    }
    value
}

fn remove(value: &mut Value, names: &[&str]) {
    if let Value::Object(map) = value {
        for name in names {
            map.shift_remove(*name);
        }
    }
}
