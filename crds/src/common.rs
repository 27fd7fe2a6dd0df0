//! What several kinds share: references, the graph that is meant, pieces of schema.

use std::collections::BTreeMap;

use kube::KubeSchema;
use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

/// Names of objects: a DNS subdomain, as the API server has it.
pub const OBJECT_NAME: &str = r"^[a-z0-9]([-a-z0-9]*[a-z0-9])?(\.[a-z0-9]([-a-z0-9]*[a-z0-9])?)*$";
/// UUIDs in lower or upper case.
pub const UUID: &str = r"^[0-9a-fA-F]{8}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{4}-[0-9a-fA-F]{12}$";
/// Keys of Secrets and ConfigMaps.
pub const DATA_KEY: &str = r"^[-._a-zA-Z0-9]+$";
/// Quantities as people write them: 500m, 1.5, 2Gi.
pub const QUANTITY: &str = r"^[0-9]+(\.[0-9]{1,3})?(m|k|M|G|T|P|Ki|Mi|Gi|Ti|Pi)?$";

/// Durations as Kubernetes writes them: 90s, 15m, 1h30m.
pub const DURATION: &str = r"^([0-9]{1,8}(\.[0-9]{1,3})?(h|m|s))+$";

/// An object of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LocalObjectReference {
    /// Its name.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// One key of a Secret of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct SecretKeyReference {
    /// Name of the Secret.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Key within it.
    #[schemars(length(min = 1, max = 253), regex(pattern = DATA_KEY))]
    pub key: String,
}

/// The AutoGPTPlatform that runs it, in the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PlatformRef {
    /// Name of the AutoGPTPlatform.
    #[schemars(length(min = 1, max = 40), regex(pattern = OBJECT_NAME))]
    pub name: String,
}

/// The graph to run: a stored one by its id, or one written here, or one in a ConfigMap.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("[has(self.id), has(self.inline), has(self.configMapRef)].exists_one(x, x)").message("give exactly one of graph.id, graph.inline and graph.configMapRef"))]
#[x_kube(validation = Rule::new("!has(self.version) || has(self.id)").message("graph.version belongs to graph.id: an inline graph and one from a ConfigMap have no versions"))]
pub struct GraphSource {
    /// Id of a stored graph.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 36, max = 36), regex(pattern = UUID))]
    pub id: Option<String>,
    /// Version of the stored graph; the newest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub version: Option<i32>,
    /// The graph itself: name, nodes and links as the REST API spells them. It is stored once for each content.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inline_graph")]
    pub inline: Option<Map<String, Value>>,
    /// A ConfigMap that holds the graph as JSON.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub config_map_ref: Option<ConfigMapKeyRef>,
}

impl GraphSource {
    /// Names no graph at all.
    pub fn is_empty(&self) -> bool {
        self.id.is_none() && self.inline.is_none() && self.config_map_ref.is_none()
    }
}

/// One key of a ConfigMap of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct ConfigMapKeyRef {
    /// Name of the ConfigMap.
    #[schemars(length(min = 1, max = 253), regex(pattern = OBJECT_NAME))]
    pub name: String,
    /// Key within it.
    #[serde(default = "graph_json")]
    #[schemars(length(min = 1, max = 253), regex(pattern = DATA_KEY))]
    pub key: String,
}

fn graph_json() -> String {
    "graph.json".to_owned()
}

/// Inputs that the platform keeps itself: they belong to a schedule that was made through the REST API.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct InputsRef {
    /// Id of that schedule.
    #[schemars(length(min = 36, max = 36), regex(pattern = UUID))]
    pub schedule_id: String,
}

/// Credentials by the name of the graph's credentials input.
pub type CredentialReferences = BTreeMap<String, CredentialReference>;

/// A Secret of the same namespace that a run may use.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct CredentialReference {
    /// The Secret. It must be labelled `autogpt.dev/credential=<provider>`, and holds `api_key`, or `username` and `password`, or `host` and a key for each header.
    pub secret_ref: LocalObjectReference,
}

/// Values by name whose shape only the graph knows.
pub fn inputs(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "type": "object",
        "nullable": true,
        "maxProperties": 256,
        "x-kubernetes-preserve-unknown-fields": true,
    })
}

/// An inline graph. What only the platform can judge (pins, defaults of blocks) passes as it is.
pub fn inline_graph(_: &mut SchemaGenerator) -> Schema {
    let text = |max: u32| serde_json::json!({"type": "string", "minLength": 1, "maxLength": max});
    let free = serde_json::json!({"type": "object", "maxProperties": 256, "x-kubernetes-preserve-unknown-fields": true});
    json_schema!({
        "type": "object",
        "nullable": true,
        "required": ["name", "nodes"],
        "x-kubernetes-preserve-unknown-fields": true,
        "properties": {
            "name": {"description": "Name of the graph.", "type": "string", "minLength": 1, "maxLength": 200},
            "description": {"description": "What it does.", "type": "string", "maxLength": 10_000, "default": ""},
            "nodes": {
                "description": "The blocks of the graph.",
                "type": "array",
                "minItems": 1,
                "maxItems": 1000,
                "items": {
                    "type": "object",
                    "required": ["id", "block_id"],
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "id": {"description": "Any text that is unique in the graph; links refer to it.", "type": "string", "minLength": 1, "maxLength": 128},
                        "block_id": {"description": "Id of the block.", "type": "string", "minLength": 36, "maxLength": 36, "pattern": UUID},
                        "input_default": free,
                        "metadata": free,
                    },
                },
            },
            "links": {
                "description": "Which output feeds which input.",
                "type": "array",
                "maxItems": 5000,
                "items": {
                    "type": "object",
                    "required": ["source_id", "sink_id", "source_name", "sink_name"],
                    "x-kubernetes-preserve-unknown-fields": true,
                    "properties": {
                        "source_id": text(128),
                        "sink_id": text(128),
                        "source_name": text(1024),
                        "sink_name": text(1024),
                        "is_static": {"type": "boolean"},
                    },
                },
            },
        },
    })
}

/// A quantity of the kind that Kubernetes uses, with the suffixes that people use.
pub fn quantity(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "anyOf": [{"type": "integer"}, {"type": "string"}],
        "pattern": QUANTITY,
        "maxLength": 32,
        "nullable": true,
        "x-kubernetes-int-or-string": true,
    })
}

/// Conditions, merged by type when applied.
pub fn condition_list(_: &mut SchemaGenerator) -> Schema {
    json_schema!({
        "description": "What is the case, since when, and what to do about it.",
        "type": "array",
        "maxItems": 16,
        "x-kubernetes-list-type": "map",
        "x-kubernetes-list-map-keys": ["type"],
        "items": {
            "type": "object",
            "required": ["type", "status", "reason", "message", "lastTransitionTime"],
            "properties": {
                "type": {"type": "string", "maxLength": 64},
                "status": {"type": "string", "enum": ["True", "False", "Unknown"]},
                "reason": {"type": "string", "minLength": 1, "maxLength": 128},
                "message": {"type": "string", "maxLength": 32_768},
                "observedGeneration": {"type": "integer", "format": "int64", "minimum": 0},
                "lastTransitionTime": {"type": "string", "format": "date-time"},
            },
        },
    })
}
