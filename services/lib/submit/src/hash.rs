//! The identity of a graph's content.

use model::Graph;
use serde_json::Value;
use sha2::{Digest, Sha256};

/// SHA-256 of the graph's canonical JSON: keys sorted, no white space.
pub fn graph_hash(graph: &Graph) -> [u8; 32] {
    let value = serde_json::to_value(graph).unwrap_or_default();
    Sha256::digest(canonical(value).to_string()).into()
}

fn canonical(value: Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut entries: Vec<(String, Value)> = map.into_iter().map(|(key, value)| (key, canonical(value))).collect();
            entries.sort_by(|(left, _), (right, _)| left.cmp(right));
            Value::Object(entries.into_iter().collect())
        }
        Value::Array(items) => Value::Array(items.into_iter().map(canonical).collect()),
        scalar => scalar,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph(text: &str) -> Graph {
        serde_json::from_str(text).unwrap()
    }

    #[test]
    fn the_order_of_keys_does_not_count_and_values_do() {
        let one = graph(r#"{"name":"n","description":"d","nodes":[{"id":"a","block_id":"b","input_default":{"x":1,"y":{"p":2,"q":3}}}]}"#);
        let same = graph(r#"{"description":"d","nodes":[{"block_id":"b","input_default":{"y":{"q":3,"p":2},"x":1},"id":"a"}],"name":"n"}"#);
        let other = graph(r#"{"name":"n","description":"d","nodes":[{"id":"a","block_id":"b","input_default":{"x":1,"y":{"p":2,"q":4}}}]}"#);
        assert_eq!(graph_hash(&one), graph_hash(&same));
        assert_ne!(graph_hash(&one), graph_hash(&other));
    }
}
