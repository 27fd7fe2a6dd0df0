//! Values that must not reach a log line or the printed configuration.

use serde::{Deserialize, Serialize, Serializer};

/// A secret text. Debug output and serialisation show only that there is one.
#[derive(Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Secret(String);

pub(crate) const REDACTED: &str = "[redacted]";

impl Secret {
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The secret itself.
    pub fn expose(&self) -> &str {
        &self.0
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(if self.is_empty() { "\"\"" } else { REDACTED })
    }
}

impl Serialize for Secret {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(if self.is_empty() { "" } else { REDACTED })
    }
}

/// A URL without its password.
pub(crate) fn redact_url<S: Serializer>(text: &str, serializer: S) -> Result<S::Ok, S::Error> {
    match url::Url::parse(text) {
        Ok(mut url) if url.password().is_some() => {
            let _ = url.set_password(Some("redacted"));
            serializer.serialize_str(url.as_str())
        }
        Ok(_) => serializer.serialize_str(text),
        Err(_) if text.is_empty() => serializer.serialize_str(""),
        Err(_) => serializer.serialize_str(REDACTED),
    }
}
