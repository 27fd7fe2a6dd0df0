//! The body of `GET /api/blocks`, made once: it is large, the same for everybody, and asked for at every page load.

use std::io::Write;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use serde_json::Value;
use sha2::{Digest, Sha256};

pub struct BlockList {
    plain: Bytes,
    compressed: Bytes,
    tag: String,
}

impl BlockList {
    pub fn new(list: &Value) -> std::io::Result<Self> {
        let plain = serde_json::to_vec(list)?;
        let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
        encoder.write_all(&plain)?;
        let digest = Sha256::digest(&plain);
        let tag: String = digest.iter().take(16).map(|byte| format!("{byte:02x}")).collect();
        Ok(Self {
            plain: plain.into(),
            compressed: encoder.finish()?.into(),
            // Weak, because the plain and the compressed form share it.
            tag: format!("W/\"{tag}\""),
        })
    }

    pub fn plain(&self) -> Bytes {
        self.plain.clone()
    }

    /// The same in gzip.
    pub fn compressed(&self) -> Bytes {
        self.compressed.clone()
    }

    pub fn tag(&self) -> &str {
        &self.tag
    }

    /// Whether an `If-None-Match` value names this list.
    pub fn has_tag(&self, known: &str) -> bool {
        known
            .split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag.trim_start_matches("W/"))
    }
}
