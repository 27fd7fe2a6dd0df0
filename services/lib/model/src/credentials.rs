//! References to credentials. A run carries references only, never a secret (design §4).

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

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

/// What is secret of a credential. Shows nothing of it in logs.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum CredentialSecret {
    ApiKey {
        api_key: String,
        /// When its issuer lets it end, as seconds since 1970: for its owner to know, nothing here acts on it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        expires_at: Option<i64>,
    },
    UserPassword {
        username: String,
        password: String,
    },
    /// Headers that requests to a host get.
    HostScoped {
        host: String,
        headers: IndexMap<String, String>,
    },
}

impl CredentialSecret {
    /// A key of which nobody says when it ends.
    pub fn api_key(api_key: impl Into<String>) -> Self {
        Self::ApiKey {
            api_key: api_key.into(),
            expires_at: None,
        }
    }

    /// The contract's word for the kind.
    pub fn kind(&self) -> &'static str {
        match self {
            Self::ApiKey { .. } => "api_key",
            Self::UserPassword { .. } => "user_password",
            Self::HostScoped { .. } => "host_scoped",
        }
    }

    /// Shown in lists.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::UserPassword { username, .. } => Some(username),
            Self::ApiKey { .. } | Self::HostScoped { .. } => None,
        }
    }

    /// Shown in lists.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::HostScoped { host, .. } => Some(host),
            Self::ApiKey { .. } | Self::UserPassword { .. } => None,
        }
    }
}

impl fmt::Debug for CredentialSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct(self.kind()).finish_non_exhaustive()
    }
}

/// A credential to be kept for a user.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutCredential {
    /// Where it comes from: the same origin of the same user is the same credential.
    pub origin: String,
    pub provider: String,
    #[serde(default)]
    pub title: Option<String>,
    pub secret: CredentialSecret,
}

/// A credential that was kept of something else, without its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct CredentialCopy {
    pub id: Uuid,
    pub origin: String,
    /// Which keeping this was: it grows when the credential is kept again. Microseconds of the database's clock.
    pub kept: i64,
}

/// A credential with its secret, for the block that was given the reference.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenCredential {
    pub id: String,
    pub provider: String,
    #[serde(default)]
    pub title: Option<String>,
    pub secret: CredentialSecret,
}

impl OpenCredential {
    /// Whether it is of the provider and kind that a reference to it says.
    pub fn fits(&self, reference: &CredentialsMetaInput) -> bool {
        self.provider == reference.provider && self.secret.kind() == reference.kind
    }
}
