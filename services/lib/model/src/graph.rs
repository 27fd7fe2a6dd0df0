//! Graphs: nodes with their defaults, links between pins (rest.md §2.2).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{BlockId, GraphId, Map, NodeId, Timestamp, UserId};

/// A link from an output pin to an input pin. Pin names may carry dynamic selectors (internals §2.6).
#[derive(Debug, Clone, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Link {
    /// Empty in a request: the server mints it.
    #[serde(default)]
    pub id: String,
    /// Client text in a request (`"1"`), a UUID in everything stored.
    pub source_id: String,
    pub sink_id: String,
    pub source_name: String,
    pub sink_name: String,
    #[serde(default)]
    pub is_static: bool,
}

/// A node as a client sends it. Its id is any text that the links refer to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Node {
    #[serde(default)]
    pub id: String,
    pub block_id: String,
    #[serde(default)]
    pub input_default: Map,
    #[serde(default)]
    pub metadata: Map,
}

/// A graph as a client sends it, and as an inline graph of a custom resource spells it. Unknown keys are ignored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Graph {
    #[serde(default)]
    pub id: String,
    #[serde(default = "one")]
    pub version: i32,
    #[serde(default = "yes")]
    pub is_active: bool,
    pub name: String,
    pub description: String,
    #[serde(default)]
    pub instructions: Option<String>,
    #[serde(default)]
    pub recommended_schedule_cron: Option<String>,
    #[serde(default)]
    pub nodes: Vec<Node>,
    #[serde(default)]
    pub links: Vec<Link>,
    #[serde(default)]
    pub forked_from_id: Option<String>,
    #[serde(default)]
    pub forked_from_version: Option<i32>,
    #[serde(default)]
    pub sub_graphs: Vec<Graph>,
}

fn one() -> i32 {
    1
}

fn yes() -> bool {
    true
}

/// A stored node with its links, as reads return it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NodeModel {
    pub id: NodeId,
    pub block_id: BlockId,
    pub input_default: Map,
    pub metadata: Map,
    pub input_links: Vec<Link>,
    pub output_links: Vec<Link>,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub webhook_id: Option<String>,
    pub webhook: Option<Value>,
}

/// A stored graph as reads return it (rest.md §2.2, GraphModel).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphModel {
    pub id: GraphId,
    pub version: i32,
    pub is_active: bool,
    pub name: String,
    pub description: String,
    pub instructions: Option<String>,
    pub recommended_schedule_cron: Option<String>,
    pub nodes: Vec<NodeModel>,
    pub links: Vec<Link>,
    pub forked_from_id: Option<GraphId>,
    pub forked_from_version: Option<i32>,
    pub sub_graphs: Vec<GraphModel>,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub input_schema: Value,
    pub output_schema: Value,
    pub has_external_trigger: bool,
    pub has_human_in_the_loop: bool,
    pub trigger_setup_info: Option<Value>,
    pub credentials_input_schema: Value,
}

/// What a user has set for one agent in the library (internals §1.5, method 22).
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct GraphSettings {
    /// Absent means on.
    pub human_in_the_loop_safe_mode: Option<bool>,
}
