//! API keys as their owner sees them (rest.md §2.8, §3.3).

use serde::{Deserialize, Serialize};

use crate::{Timestamp, UserId};

/// What the bearer of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum ApiKeyPermission {
    ExecuteGraph,
    ReadGraph,
    ExecuteBlock,
    ReadBlock,
    ReadStore,
    UseTools,
    ManageIntegrations,
    ReadIntegrations,
    DeleteIntegrations,
}

impl ApiKeyPermission {
    pub const ALL: [Self; 9] = [
        Self::ExecuteGraph,
        Self::ReadGraph,
        Self::ExecuteBlock,
        Self::ReadBlock,
        Self::ReadStore,
        Self::UseTools,
        Self::ManageIntegrations,
        Self::ReadIntegrations,
        Self::DeleteIntegrations,
    ];

    /// The contract's word, as stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ExecuteGraph => "EXECUTE_GRAPH",
            Self::ReadGraph => "READ_GRAPH",
            Self::ExecuteBlock => "EXECUTE_BLOCK",
            Self::ReadBlock => "READ_BLOCK",
            Self::ReadStore => "READ_STORE",
            Self::UseTools => "USE_TOOLS",
            Self::ManageIntegrations => "MANAGE_INTEGRATIONS",
            Self::ReadIntegrations => "READ_INTEGRATIONS",
            Self::DeleteIntegrations => "DELETE_INTEGRATIONS",
        }
    }

    /// None for a word that the contract does not have.
    pub fn from_word(word: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|permission| permission.as_str() == word)
    }
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ApiKeyInfo {
    pub id: String,
    pub name: String,
    /// The first eight characters of the key.
    pub head: String,
    /// The last eight.
    pub tail: String,
    /// `ACTIVE`, `REVOKED` or `SUSPENDED`.
    pub status: String,
    pub permissions: Vec<ApiKeyPermission>,
    pub created_at: Timestamp,
    pub last_used_at: Option<Timestamp>,
    pub revoked_at: Option<Timestamp>,
    pub description: Option<String>,
    pub user_id: UserId,
}
