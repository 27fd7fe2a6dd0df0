//! The graph that an execution means, and its fingerprint.

use crds::GraphSource as Reference;
use model::Graph;
use model::progress::GraphSource;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};

/// A graph ready to be submitted.
#[derive(Debug, Clone, PartialEq)]
pub struct Meant {
    pub source: GraphSource,
    /// Of a graph that is not stored yet.
    pub hash: Option<String>,
}

/// Why there is none.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum GraphError {
    #[error("graph.id {0:?} is not a UUID")]
    Id(String),
    #[error("{place} is not a graph: {why}")]
    Shape { place: String, why: String },
    #[error("the specification names no graph")]
    None,
}

/// Reads the reference. `config_map` is the text of the key that it names, when it names one.
pub fn read(reference: &Reference, config_map: Option<&str>) -> Result<Meant, GraphError> {
    let Reference {
        id,
        version,
        inline,
        config_map_ref,
    } = reference;
    if let Some(id) = id {
        let source = GraphSource::Stored {
            id: id.parse().map_err(|_| GraphError::Id(id.clone()))?,
            version: *version,
        };
        return Ok(Meant { source, hash: None });
    }
    if let Some(graph) = inline {
        return parse(Value::Object(graph.clone()), "graph.inline");
    }
    let Some((reference, text)) = config_map_ref.as_ref().zip(config_map) else {
        return Err(GraphError::None);
    };
    let place = format!("key {} of ConfigMap {}", reference.key, reference.name);
    let value: Value = serde_json::from_str(text).map_err(|error| GraphError::Shape {
        place: place.clone(),
        why: format!("no JSON: {error}"),
    })?;
    parse(value, &place)
}

fn parse(mut value: Value, place: &str) -> Result<Meant, GraphError> {
    if let Some(graph) = value.as_object_mut() {
        // The schema fills it in for inline graphs; a ConfigMap has no schema.
        graph.entry("description").or_insert_with(|| Value::String(String::new()));
    }
    let hash = fingerprint(&value);
    let graph: Graph = serde_json::from_value(value).map_err(|error| GraphError::Shape {
        place: place.to_owned(),
        why: error.to_string(),
    })?;
    Ok(Meant {
        source: GraphSource::Inline { graph: Box::new(graph) },
        hash: Some(hash),
    })
}

/// SHA-256 of the canonical JSON: keys in order, no spaces.
pub fn fingerprint(value: &Value) -> String {
    let digest = Sha256::digest(canonical(value).to_string().as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

fn canonical(value: &Value) -> Value {
    match value {
        Value::Object(map) => {
            let mut pairs: Vec<_> = map.iter().map(|(key, value)| (key.clone(), canonical(value))).collect();
            pairs.sort_by(|one, other| one.0.cmp(&other.0));
            Value::Object(Map::from_iter(pairs))
        }
        Value::Array(list) => Value::Array(list.iter().map(canonical).collect()),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn reference(value: Value) -> Reference {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_stored_graph_is_named() {
        let meant = read(&reference(json!({"id": "0190F1D2-0000-7000-8000-000000000001", "version": 3})), None).unwrap();
        assert!(matches!(meant.source, GraphSource::Stored { version: Some(3), .. }));
        assert_eq!(meant.hash, None);
    }

    #[test]
    fn the_same_graph_has_the_same_fingerprint_wherever_it_is_written() {
        let inline = read(
            &reference(json!({"inline": {"name": "g", "nodes": [{"id": "a", "block_id": "b"}], "description": ""}})),
            None,
        )
        .unwrap();
        let text = r#"{ "nodes": [ {"block_id": "b", "id": "a"} ], "name": "g" }"#;
        let mapped = read(&reference(json!({"configMapRef": {"name": "m"}})), Some(text)).unwrap();
        assert_eq!(inline, mapped);
        assert_eq!(inline.hash.unwrap().len(), 64);
    }

    #[test]
    fn what_is_no_graph_says_where_and_why() {
        let mapped = |text| {
            read(&reference(json!({"configMapRef": {"name": "m", "key": "k"}})), Some(text))
                .unwrap_err()
                .to_string()
        };
        assert!(mapped("{").starts_with("key k of ConfigMap m is not a graph: no JSON"), "{}", mapped("{"));
        assert!(mapped("[]").starts_with("key k of ConfigMap m is not a graph: "));
        assert!(mapped(r#"{"nodes": []}"#).contains("missing field `name`"));
        assert_eq!(read(&reference(json!({})), None).unwrap_err(), GraphError::None);
    }
}
