//! Graphs for other eyes than their owner's: without secrets, without webhooks and without what tells who owns them (rest.md §2.3).

use model::{GraphModel, Map, NodeModel};
use serde_json::Value;

use crate::block::{BlockCatalog, BlockKind};
use crate::graph::complete;

/// A key with one of these words in it holds a secret.
const SECRET_WORDS: [&str; 5] = ["credentials", "api_key", "password", "token", "secret"];

/// Removes them, in sub-graphs too.
pub fn strip(graph: &mut GraphModel, catalog: &dyn BlockCatalog) {
    clean(graph, catalog);
    // The schemas show defaults: they are made anew from what is left.
    complete(graph, catalog);
}

fn clean(graph: &mut GraphModel, catalog: &dyn BlockCatalog) {
    for node in &mut graph.nodes {
        node.webhook_id = None;
        node.webhook = None;
        clean_inputs(node, catalog);
    }
    for sub_graph in &mut graph.sub_graphs {
        clean(sub_graph, catalog);
    }
}

fn clean_inputs(node: &mut NodeModel, catalog: &dyn BlockCatalog) {
    if node.input_default.get("secret") == Some(&Value::Bool(true)) {
        node.input_default.shift_remove("value");
    }
    let descriptor = catalog.block(node.block_id);
    if descriptor.is_some_and(|descriptor| descriptor.kind == BlockKind::Agent) {
        // Whoever saves the graph next is written there.
        node.input_default.shift_remove("user_id");
    }
    let is_secret_pin = |name: &str| {
        let pin = descriptor.and_then(|descriptor| descriptor.input(name));
        pin.is_some_and(|pin| pin.schema.get("secret") == Some(&Value::Bool(true)))
    };
    node.input_default.retain(|name, _| !is_secret_pin(name));
    without_secrets(&mut node.input_default);
}

fn without_secrets(map: &mut Map) {
    map.retain(|name, value| {
        let name = name.to_ascii_lowercase();
        value.is_boolean() || !SECRET_WORDS.iter().any(|word| name.contains(word))
    });
    map.values_mut().for_each(clean_value);
}

fn clean_value(value: &mut Value) {
    match value {
        Value::Object(inner) => without_secrets(inner),
        Value::Array(items) => items.iter_mut().for_each(clean_value),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::without_secrets;
    use serde_json::{Value, json};

    #[test]
    fn secrets_leave_and_switches_stay() {
        let Value::Object(mut map) = json!({
            "api_key": "k", "OPENAI_API_KEY": "k", "credentials": {"id": "c"}, "max_tokens": 5, "use_token": true,
            "nested": {"password": "p", "kept": 1}, "text": "kept",
            "listed": [{"password": "p", "kept": 2}, [[{"api_key": "k"}], 3], "secret"],
        }) else {
            unreachable!()
        };
        without_secrets(&mut map);
        let expected = json!({"use_token": true, "nested": {"kept": 1}, "text": "kept", "listed": [{"kept": 2}, [[{}], 3], "secret"]});
        assert_eq!(Value::Object(map), expected);
    }
}
