//! What a graph takes and gives, as JSON Schema (rest.md §2.2).

use indexmap::IndexMap;
use model::{Map, NodeModel};
use serde_json::{Value, json};

use crate::block::{BlockCatalog, BlockDescriptor, BlockKind, Pin};

/// Schema of the run inputs: one property per input node, under its name.
pub fn input_schema(nodes: &[NodeModel], catalog: &dyn BlockCatalog) -> Value {
    interface_schema(nodes, catalog, BlockKind::Input)
}

/// Schema of the run outputs: one property per output node, under its name.
pub fn output_schema(nodes: &[NodeModel], catalog: &dyn BlockCatalog) -> Value {
    interface_schema(nodes, catalog, BlockKind::Output)
}

/// Whether a node's block is of one of these kinds.
pub fn has_kind(nodes: &[NodeModel], catalog: &dyn BlockCatalog, kinds: &[BlockKind]) -> bool {
    nodes
        .iter()
        .filter_map(|node| catalog.block(node.block_id))
        .any(|block| kinds.contains(&block.kind))
}

fn interface_schema(nodes: &[NodeModel], catalog: &dyn BlockCatalog, kind: BlockKind) -> Value {
    let mut properties = Map::new();
    for node in nodes {
        let Some(block) = catalog.block(node.block_id).filter(|block| block.kind == kind) else {
            continue;
        };
        if let Some(name) = node.input_default.get("name").and_then(Value::as_str) {
            properties.insert(name.to_owned(), property(node, block, name));
        }
    }
    let required: Vec<&String> = properties
        .iter()
        .filter(|(_, property)| property.get("default").is_none())
        .map(|(name, _)| name)
        .collect();
    json!({"type": "object", "required": required, "properties": properties})
}

fn property(node: &NodeModel, block: &BlockDescriptor, name: &str) -> Value {
    let of_value = block.input("value").and_then(|pin| pin.schema.as_object()).cloned().unwrap_or_default();
    let given = node.input_default.get("value").or_else(|| of_value.get("default"));
    let default = given.filter(|value| !value.is_null()).cloned();
    let mut property: Map = of_value.into_iter().filter(|(key, _)| key != "description" && key != "default").collect();
    let flag = |key: &str| node.input_default.get(key).and_then(Value::as_bool).unwrap_or_default();
    let text = |key: &str| node.input_default.get(key).filter(|value| value.is_string()).cloned();
    property.insert("secret".to_owned(), Value::Bool(flag("secret")));
    property.insert("advanced".to_owned(), Value::Bool(flag("advanced") && default.is_some()));
    property.insert("title".to_owned(), text("title").unwrap_or_else(|| Value::from(name)));
    if let Some(description) = text("description") {
        property.insert("description".to_owned(), description);
    }
    if let Some(choices) = node.input_default.get("placeholder_values").and_then(Value::as_array)
        && !choices.is_empty()
    {
        property.insert("enum".to_owned(), Value::Array(choices.clone()));
    }
    if let Some(default) = default {
        property.insert("default".to_owned(), default);
    }
    Value::Object(property)
}

/// Whether a pin takes a credential reference: the contract goes by the name.
pub fn is_credentials(pin_name: &str) -> bool {
    pin_name == "credentials" || pin_name.ends_with("_credentials")
}

/// Schema of the credentials that a run needs: needs with equal providers and types are one.
pub fn credentials_input_schema(graph_name: &str, nodes: &[NodeModel], catalog: &dyn BlockCatalog) -> Value {
    let mut needs: IndexMap<String, Value> = IndexMap::new();
    for block in nodes.iter().filter_map(|node| catalog.block(node.block_id)) {
        for pin in block.inputs.iter().filter(|pin| is_credentials(pin.name)) {
            needs.entry(credentials_key(pin)).or_insert_with(|| need(pin));
        }
    }
    let required: Vec<&String> = needs.keys().collect();
    let mut schema = json!({"type": "object", "title": format!("{}CredentialsInputSchema", graph_name.replace(' ', ""))});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    schema["properties"] = json!(needs);
    schema
}

fn names(pin: &Pin, key: &str) -> Vec<String> {
    let listed = pin.schema.get(key).and_then(Value::as_array);
    let mut names: Vec<String> = listed
        .map(|names| names.iter().filter_map(Value::as_str).map(str::to_owned).collect())
        .unwrap_or_default();
    names.sort();
    names.dedup();
    names
}

/// The key under which a run is given the credentials for a pin, such as `openai_api_key_credentials`.
pub fn credentials_key(pin: &Pin) -> String {
    let providers = names(pin, "credentials_provider").join("-");
    let types = names(pin, "credentials_types").join("-");
    format!("{providers}_{types}_credentials")
}

fn need(pin: &Pin) -> Value {
    let mut schema = json!({
        "type": "object",
        "title": pin.name,
        "properties": {
            "id": {"type": "string", "title": "Id"},
            "title": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "Title"},
            "provider": {"type": "string", "title": "Provider"},
            "type": {"type": "string", "enum": names(pin, "credentials_types"), "title": "Type"},
        },
        "required": ["id", "provider", "type"],
    });
    if let (Some(schema), Some(extras)) = (schema.as_object_mut(), pin.schema.as_object()) {
        let extras = extras
            .iter()
            .filter(|(key, _)| key.starts_with("credentials_") || key.starts_with("discriminator"));
        schema.extend(extras.map(|(key, value)| (key.clone(), value.clone())));
    }
    schema
}
