//! References to credentials. A run carries references only, never a secret (design §4).

use serde::{Deserialize, Serialize};

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialsMetaInput {
    pub id: String,
    #[serde(default)]
    pub title: Option<String>,
    pub provider: String,
    /// `api_key`, `oauth2`, `user_password` or `host_scoped`.
    #[serde(rename = "type")]
    pub kind: String,
}
