//! Libraries and presets: what a user has to run, and how he likes to run it (rest.md §2.8).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use uuid::Uuid;

use crate::graph::GraphSettings;
use crate::{CredentialsMetaInput, GraphId, Map, Pagination, Timestamp, UserId};

/// The order of a list of a library.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum LibrarySort {
    /// The oldest first.
    CreatedAt,
    /// The last changed first.
    #[default]
    UpdatedAt,
}

/// How the latest runs of an agent went.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum LibraryAgentStatus {
    Completed,
    Healthy,
    Waiting,
    Error,
}

/// An agent in somebody's library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LibraryAgent {
    pub id: Uuid,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub image_url: Option<String>,
    pub creator_name: String,
    pub creator_image_url: String,
    pub status: LibraryAgentStatus,
    pub created_at: Timestamp,
    /// The later one of the entry's and the graph's.
    pub updated_at: Timestamp,
    pub name: String,
    pub description: String,
    pub instructions: Option<String>,
    pub input_schema: Value,
    pub output_schema: Value,
    pub credentials_input_schema: Value,
    pub has_external_trigger: bool,
    pub trigger_setup_info: Option<Value>,
    /// A run completed within the last week.
    pub new_output: bool,
    /// Owns the graph.
    pub can_access_graph: bool,
    pub is_latest_version: bool,
    pub is_favorite: bool,
    pub recommended_schedule_cron: Option<String>,
    pub settings: GraphSettings,
    pub marketplace_listing: Option<MarketplaceListing>,
}

/// A page of a user's library.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LibraryAgents {
    pub agents: Vec<LibraryAgent>,
    pub pagination: Pagination,
}

/// Where the catalogue shows an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketplaceListing {
    pub id: Uuid,
    pub name: String,
    pub slug: String,
    pub creator: MarketplaceListingCreator,
}

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MarketplaceListingCreator {
    pub name: String,
    pub id: Uuid,
    /// The user name.
    pub slug: String,
}

/// A change of a library entry; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct LibraryAgentUpdate {
    pub auto_update_version: Option<bool>,
    pub is_favorite: Option<bool>,
    pub is_archived: Option<bool>,
    pub settings: Option<GraphSettings>,
}

/// Inputs and credentials under a name. One with a webhook runs when that is called.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct LibraryAgentPreset {
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Map,
    pub credentials: IndexMap<String, CredentialsMetaInput>,
    pub name: String,
    pub description: String,
    pub is_active: bool,
    pub webhook_id: Option<Uuid>,
    pub id: Uuid,
    pub user_id: UserId,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub webhook: Option<Value>,
}

/// A preset to be.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct NewPreset {
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub inputs: Map,
    pub credentials: IndexMap<String, CredentialsMetaInput>,
    pub name: String,
    pub description: String,
    #[serde(default = "yes")]
    pub is_active: bool,
}

fn yes() -> bool {
    true
}

/// A change of a preset; what is none stays.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct PresetUpdate {
    pub inputs: Option<Map>,
    pub credentials: Option<IndexMap<String, CredentialsMetaInput>>,
    pub name: Option<String>,
    pub description: Option<String>,
    pub is_active: Option<bool>,
}
