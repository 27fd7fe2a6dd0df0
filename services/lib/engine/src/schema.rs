//! What a graph takes and gives, as JSON Schema (rest.md §2.2).

use indexmap::IndexMap;
use model::{Map, NodeModel};
use serde_json::{Value, json};

use crate::block::{BlockCatalog, BlockDescriptor, BlockKind, Pin};
use crate::webhook;

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

/// Schema of the credentials that a run needs: needs with equal providers and types are one. A provider that the node has chosen is the only
/// one, and credentials of hosts are needed host by host. `nodes` are those of the graph and of the agents inside it.
pub fn credentials_input_schema<'a>(graph_name: &str, nodes: impl IntoIterator<Item = &'a NodeModel>, catalog: &dyn BlockCatalog) -> Value {
    let mut needs: IndexMap<String, Need> = IndexMap::new();
    for node in nodes {
        let Some(block) = catalog.block(node.block_id) else { continue };
        for pin in block.inputs.iter().filter(|pin| is_credentials(pin.name)) {
            let need = Need::of(node, pin);
            match needs.get_mut(&need.key()) {
                Some(known) => known.unite(need),
                None => {
                    needs.insert(need.key(), need);
                }
            }
        }
    }
    let required: Vec<&String> = needs.keys().collect();
    let mut schema = json!({"type": "object", "title": format!("{}CredentialsInputSchema", graph_name.replace(' ', ""))});
    if !required.is_empty() {
        schema["required"] = json!(required);
    }
    let properties: Map = needs.iter().map(|(key, need)| (key.clone(), need.schema())).collect();
    schema["properties"] = Value::Object(properties);
    schema
}

/// The key under which a run is given the credentials for a pin of a node, such as `openai_api_key_credentials`.
pub fn credentials_key(node: &NodeModel, pin: &Pin) -> String {
    Need::of(node, pin).key()
}

/// What a user sets up to let events from outside start the graph: provider, configuration, and the credentials for it (rest.md §2.2). None
/// without a node that such events start.
pub fn trigger_setup_info(nodes: &[NodeModel], catalog: &dyn BlockCatalog) -> Option<Value> {
    let triggers = nodes.iter().filter_map(|node| Some((node, catalog.block(node.block_id)?)));
    let (node, block) = triggers
        .into_iter()
        .find(|(_, block)| matches!(block.kind, BlockKind::Webhook | BlockKind::WebhookManual))?;
    let credentials = block.inputs.iter().find(|pin| is_credentials(pin.name));
    let named = webhook::provider(block.id).map(str::to_owned);
    let provider = named.or_else(|| credentials.and_then(|pin| names(pin, "credentials_provider").into_iter().next()))?;
    let mut config_schema = block.input_schema();
    for pin in block.inputs.iter().filter(|pin| is_credentials(pin.name)) {
        if let Some(properties) = config_schema.get_mut("properties").and_then(Value::as_object_mut) {
            properties.shift_remove(pin.name);
        }
        if let Some(required) = config_schema.get_mut("required").and_then(Value::as_array_mut) {
            required.retain(|name| name != pin.name);
        }
    }
    Some(json!({
        "provider": provider,
        "config_schema": config_schema,
        "credentials_input_name": credentials.map(|pin| credentials_key(node, pin)),
    }))
}

/// The provider whose credentials belong to a host each.
const HTTP: &str = "http";

/// What one pin of one node, or several alike, needs.
struct Need {
    title: &'static str,
    providers: Vec<String>,
    types: Vec<String>,
    /// The host, where credentials belong to one.
    host: Option<String>,
    /// Extras of the pin's schema that clients read.
    extras: Map,
}

impl Need {
    fn of(node: &NodeModel, pin: &Pin) -> Self {
        let mut extras: Map = pin
            .schema
            .as_object()
            .into_iter()
            .flatten()
            .filter(|(key, _)| key.starts_with("credentials_") || key.starts_with("discriminator"))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        let mut providers = names(pin, "credentials_provider");
        let chosen = extras
            .get("discriminator")
            .and_then(Value::as_str)
            .and_then(|name| node.input_default.get(name));
        let chosen = chosen.and_then(Value::as_str).map(str::to_owned);
        let mut host = None;
        if let Some(chosen) = chosen {
            match extras.get("discriminator_mapping").and_then(Value::as_object) {
                Some(mapping) => {
                    if let Some(provider) = mapping.get(&chosen).and_then(Value::as_str) {
                        providers = vec![provider.to_owned()];
                        extras.insert("credentials_provider".to_owned(), json!(providers));
                    }
                }
                None => {
                    if providers == [HTTP] {
                        host = host_of(&chosen);
                    }
                    extras.insert("discriminator_values".to_owned(), json!([chosen]));
                }
            }
        }
        Self {
            title: pin.name,
            providers,
            types: names(pin, "credentials_types"),
            host,
            extras,
        }
    }

    fn key(&self) -> String {
        let mut providers: Vec<&str> = self.providers.iter().chain(&self.host).map(String::as_str).collect();
        providers.sort_unstable();
        format!("{}_{}_credentials", providers.join("-"), self.types.join("-"))
    }

    /// Scopes and chosen values of both.
    fn unite(&mut self, other: Self) {
        for list in ["credentials_scopes", "discriminator_values"] {
            let Some(Value::Array(more)) = other.extras.get(list) else { continue };
            match self.extras.get_mut(list) {
                Some(Value::Array(known)) => {
                    let new: Vec<Value> = more.iter().filter(|value| !known.contains(value)).cloned().collect();
                    known.extend(new);
                }
                _ => {
                    self.extras.insert(list.to_owned(), json!(more));
                }
            }
        }
    }

    fn schema(&self) -> Value {
        let mut schema = json!({
            "type": "object",
            "title": self.title,
            "properties": {
                "id": {"type": "string", "title": "Id"},
                "title": {"anyOf": [{"type": "string"}, {"type": "null"}], "default": null, "title": "Title"},
                "provider": {"type": "string", "title": "Provider"},
                "type": {"type": "string", "enum": self.types, "title": "Type"},
            },
            "required": ["id", "provider", "type"],
        });
        if let Some(schema) = schema.as_object_mut() {
            schema.extend(self.extras.clone());
        }
        schema
    }
}

/// Host, and port if one is given, of an address such as `https://example.com/path`; the scheme may be missing.
fn host_of(url: &str) -> Option<String> {
    let rest = url.split_once("://").map_or(url, |(_, rest)| rest);
    let authority = rest.split(['/', '?', '#']).next()?;
    let host = authority.rsplit_once('@').map_or(authority, |(_, host)| host);
    (!host.is_empty()).then(|| host.to_ascii_lowercase())
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

#[cfg(test)]
mod tests {
    use model::{Map, NodeModel};
    use serde_json::{Value, json};
    use uuid::Uuid;

    use super::{credentials_input_schema, credentials_key, host_of, trigger_setup_info};
    use crate::block::{BlockCatalog, BlockDescriptor, BlockKind, Effects, Pin};
    use crate::types::PinType;

    const AI: Uuid = Uuid::from_u128(1);
    const HTTP: Uuid = Uuid::from_u128(2);
    const TRIGGER: Uuid = uuid::uuid!("8fa8c167-2002-47ce-aba8-97572fc5d387");

    struct Blocks(Vec<BlockDescriptor>);

    impl BlockCatalog for Blocks {
        fn block(&self, id: Uuid) -> Option<&BlockDescriptor> {
            self.0.iter().find(|block| block.id == id)
        }
    }

    fn block(id: Uuid, kind: BlockKind, name: &'static str, schema: Value) -> BlockDescriptor {
        BlockDescriptor {
            id,
            name: "Block",
            description: "",
            categories: &[],
            kind,
            effects: Effects::Once,
            static_output: false,
            disabled: false,
            inputs: vec![Pin {
                name,
                ty: PinType::Any,
                required: true,
                own: true,
                depends_on: &[],
                schema,
            }],
            outputs: Vec::new(),
        }
    }

    fn blocks() -> Blocks {
        let mapping = json!({"gpt": "openai", "claude": "anthropic"});
        let ai = json!({"credentials_provider": ["openai", "anthropic"], "credentials_types": ["api_key"], "credentials_scopes": ["a"],
                        "discriminator": "model", "discriminator_mapping": mapping});
        let http = json!({"credentials_provider": ["http"], "credentials_types": ["host_scoped"], "discriminator": "url"});
        Blocks(vec![
            block(AI, BlockKind::Ai, "credentials", ai),
            block(HTTP, BlockKind::Standard, "credentials", http),
            block(TRIGGER, BlockKind::WebhookManual, "payload", json!({"type": "object"})),
        ])
    }

    fn node(block_id: Uuid, input_default: Value) -> NodeModel {
        let input_default: Map = input_default.as_object().cloned().unwrap_or_default();
        NodeModel {
            id: Uuid::now_v7(),
            block_id,
            input_default,
            metadata: Map::new(),
            input_links: Vec::new(),
            output_links: Vec::new(),
            graph_id: Uuid::nil(),
            graph_version: 1,
            webhook_id: None,
            webhook: None,
        }
    }

    #[test]
    fn a_chosen_model_narrows_the_provider_and_hosts_are_apart() {
        let blocks = blocks();
        let nodes = [
            node(AI, json!({"model": "gpt"})),
            node(AI, json!({"model": "gpt"})),
            node(AI, json!({"model": "claude"})),
            node(AI, json!({})),
            node(HTTP, json!({"url": "https://user@A.test:8443/x?y"})),
            node(HTTP, json!({"url": "https://a.test:8443/z"})),
            node(HTTP, json!({"url": "b.test"})),
        ];
        let schema = credentials_input_schema("My graph", &nodes, &blocks);
        let keys: Vec<&String> = schema["properties"].as_object().unwrap().keys().collect();
        assert_eq!(
            keys,
            [
                "openai_api_key_credentials",
                "anthropic_api_key_credentials",
                "anthropic-openai_api_key_credentials",
                "a.test:8443-http_host_scoped_credentials",
                "b.test-http_host_scoped_credentials",
            ]
        );
        assert_eq!(schema["title"], "MygraphCredentialsInputSchema");
        let properties = &schema["properties"];
        assert_eq!(properties["openai_api_key_credentials"]["credentials_provider"], json!(["openai"]));
        assert_eq!(
            properties["a.test:8443-http_host_scoped_credentials"]["discriminator_values"],
            json!(["https://user@A.test:8443/x?y", "https://a.test:8443/z"])
        );
        let pin = &blocks.0[1].inputs[0];
        assert_eq!(credentials_key(&nodes[6], pin), "b.test-http_host_scoped_credentials");
        assert_eq!(host_of("https:///x"), None);
    }

    #[test]
    fn a_trigger_tells_who_calls_and_what_to_set() {
        let blocks = blocks();
        let info = trigger_setup_info(&[node(AI, json!({})), node(TRIGGER, json!({}))], &blocks).unwrap();
        assert_eq!(
            (&info["provider"], &info["credentials_input_name"]),
            (&json!("generic_webhook"), &Value::Null)
        );
        assert!(info["config_schema"]["properties"]["payload"].is_object());
        assert_eq!(trigger_setup_info(&[node(AI, json!({}))], &blocks), None);
    }
}
