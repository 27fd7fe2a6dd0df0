//! References to credentials. A run carries references only, never a secret (design §4).

use std::fmt;

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::Map;

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
    /// What a login at a service has given.
    #[serde(rename = "oauth2")]
    OAuth2(OAuth2Tokens),
}

/// Tokens of a login at a service of others. Times are seconds since 1970.
#[derive(Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct OAuth2Tokens {
    pub access_token: String,
    #[serde(default)]
    pub access_token_expires_at: Option<i64>,
    #[serde(default)]
    pub refresh_token: Option<String>,
    #[serde(default)]
    pub refresh_token_expires_at: Option<i64>,
    /// What the user is called there.
    #[serde(default)]
    pub username: Option<String>,
    #[serde(default)]
    pub scopes: Vec<String>,
    #[serde(default)]
    pub metadata: Map,
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
            Self::OAuth2(_) => "oauth2",
        }
    }

    /// Shown in lists.
    pub fn username(&self) -> Option<&str> {
        match self {
            Self::UserPassword { username, .. } => Some(username),
            Self::OAuth2(tokens) => tokens.username.as_deref(),
            Self::ApiKey { .. } | Self::HostScoped { .. } => None,
        }
    }

    /// Shown in lists.
    pub fn host(&self) -> Option<&str> {
        match self {
            Self::HostScoped { host, .. } => Some(host),
            Self::ApiKey { .. } | Self::UserPassword { .. } | Self::OAuth2(_) => None,
        }
    }

    /// Shown in lists.
    pub fn scopes(&self) -> Option<&[String]> {
        match self {
            Self::OAuth2(tokens) => Some(&tokens.scopes),
            Self::ApiKey { .. } | Self::UserPassword { .. } | Self::HostScoped { .. } => None,
        }
    }
}

impl fmt::Debug for OAuth2Tokens {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("oauth2").finish_non_exhaustive()
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
