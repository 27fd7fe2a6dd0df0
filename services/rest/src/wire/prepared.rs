//! A JSON answer that is made once: large, the same for everybody and asked for often.

use std::io::Write;

use axum::response::{IntoResponse, Response};
use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use http::header::{ACCEPT_ENCODING, CONTENT_ENCODING, CONTENT_TYPE, ETAG, IF_NONE_MATCH, VARY};
use http::{HeaderMap, StatusCode};
use serde_json::Value;
use sha2::{Digest, Sha256};

pub struct Prepared {
    plain: Bytes,
    compressed: Bytes,
    tag: String,
}

impl Prepared {
    pub fn new(value: &Value) -> std::io::Result<Self> {
        let plain = serde_json::to_vec(value)?;
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

    /// 304 for who has it, gzip for who takes it.
    pub fn answer(&self, headers: &HeaderMap) -> Response {
        let unchanged = headers.get(IF_NONE_MATCH).and_then(|value| value.to_str().ok());
        if unchanged.is_some_and(|known| self.has_tag(known)) {
            return (StatusCode::NOT_MODIFIED, [(ETAG, self.tag.as_str()), (VARY, "accept-encoding")]).into_response();
        }
        let common = [(CONTENT_TYPE, "application/json"), (ETAG, self.tag.as_str()), (VARY, "accept-encoding")];
        if accepts_gzip(headers) {
            (common, [(CONTENT_ENCODING, "gzip")], self.compressed.clone()).into_response()
        } else {
            (common, self.plain.clone()).into_response()
        }
    }

    /// Whether an `If-None-Match` value names this content.
    fn has_tag(&self, known: &str) -> bool {
        known
            .split(',')
            .map(str::trim)
            .any(|tag| tag == "*" || tag.trim_start_matches("W/") == self.tag.trim_start_matches("W/"))
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let given = headers.get_all(ACCEPT_ENCODING).iter().filter_map(|value| value.to_str().ok());
    given.flat_map(|value| value.split(',')).any(|coding| {
        let (name, weight) = coding.split_once(';').unwrap_or((coding, ""));
        let refused = weight.trim().strip_prefix("q=").is_some_and(|q| q.trim().parse::<f32>() == Ok(0.0));
        matches!(name.trim(), "gzip" | "*") && !refused
    })
}
