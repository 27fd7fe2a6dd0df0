//! Taking a reply in, no more of it than allowed.

use bytes::{Bytes, BytesMut};

/// Why a body was not taken in.
#[derive(Debug, thiserror::Error)]
pub enum BodyError {
    #[error("the reply is larger than {0} bytes")]
    TooLarge(usize),
    #[error(transparent)]
    Broken(#[from] reqwest::Error),
}

/// The whole body, if it is no larger than `limit` bytes.
///
/// # Errors
/// [`BodyError`]: it is larger, or the connection was lost.
pub async fn whole(mut reply: reqwest::Response, limit: usize) -> Result<Bytes, BodyError> {
    if reply.content_length().is_some_and(|length| length > limit as u64) {
        return Err(BodyError::TooLarge(limit));
    }
    let mut body = BytesMut::new();
    while let Some(chunk) = reply.chunk().await? {
        if body.len() + chunk.len() > limit {
            return Err(BodyError::TooLarge(limit));
        }
        body.extend_from_slice(&chunk);
    }
    Ok(body.freeze())
}
