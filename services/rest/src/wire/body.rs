//! Request bodies (rest.md traps 3 and 7).

use std::convert::Infallible;

use axum::body::Bytes;
use axum::extract::{FromRequest, Request};
use http::{HeaderMap, StatusCode, header};
use runtime::serve::TooSlow;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

use super::error::ApiError;
use super::json;
use super::shape::{Problem, Shape, check};

/// Largest request body. The reference has no limit; a graph or the inputs of a run stay far below this.
pub const MAX_BODY_BYTES: usize = 64 * 1024 * 1024;

/// A body that is checked against its shape before serde reads it.
pub trait Shaped: DeserializeOwned {
    const SHAPE: Shape;
    /// Whether `null` and an empty body stand for `{}`.
    const OPTIONAL: bool = false;
    /// Whether the body is stored: then control characters go now, so that the answer shows what a later read shows.
    const STORED: bool = false;
}

/// Extracts a JSON body; every problem in it is answered with one 422.
#[derive(Debug, Clone)]
pub struct JsonBody<T>(pub T);

impl<T: Shaped, S: Send + Sync> FromRequest<S> for JsonBody<T> {
    type Rejection = ApiError;

    async fn from_request(request: Request, _: &S) -> Result<Self, ApiError> {
        Unread(request).read().await.map(Self)
    }
}

/// A body that has not been received yet: for handlers that must know first who sends it, so that nobody else's is taken in.
#[derive(Debug)]
pub struct Unread(Request);

impl<S: Send + Sync> FromRequest<S> for Unread {
    type Rejection = Infallible;

    async fn from_request(request: Request, _: &S) -> Result<Self, Infallible> {
        Ok(Self(request))
    }
}

impl Unread {
    pub async fn read<T: Shaped>(self) -> Result<T, ApiError> {
        let is_json = is_json(self.0.headers());
        parse(&self.bytes().await?, is_json)
    }

    /// All of it, whatever it is.
    pub async fn bytes(self) -> Result<Bytes, ApiError> {
        Bytes::from_request(self.0, &()).await.map_err(|rejection| match rejection.status() {
            StatusCode::PAYLOAD_TOO_LARGE => ApiError::detail(
                StatusCode::PAYLOAD_TOO_LARGE,
                format!("The body is larger than {} MiB", MAX_BODY_BYTES / 1024 / 1024),
            ),
            _ if TooSlow::caused(&rejection) => ApiError::detail(StatusCode::REQUEST_TIMEOUT, TooSlow.to_string()),
            status => ApiError::detail(status, rejection.body_text()),
        })
    }
}

/// A body that has arrived.
pub fn parse<T: Shaped>(bytes: &[u8], is_json: bool) -> Result<T, ApiError> {
    let mut value = read::<T>(bytes, is_json)?;
    if T::STORED {
        store::make_storable(&mut value);
    }
    let checked = check(&T::SHAPE, value, &["body"]).map_err(ApiError::Invalid)?;
    serde_json::from_value(checked).map_err(|error| Problem::new("value_error", &["body"], error.to_string(), Value::Null).into())
}

fn read<T: Shaped>(bytes: &[u8], is_json: bool) -> Result<Value, ApiError> {
    let blank = bytes.iter().all(u8::is_ascii_whitespace);
    let value = if blank {
        Value::Null
    } else if is_json {
        json::parse(bytes).map_err(|malformed| {
            let mut problem =
                Problem::new("json_invalid", &["body"], "JSON decode error", json!({})).with_context(json!({ "error": malformed.reason }));
            problem.loc.push(super::shape::Step::Index(malformed.position));
            problem
        })?
    } else {
        // The reference hands the raw bytes on: they are never an object.
        Value::String(String::from_utf8_lossy(bytes).into_owned())
    };
    match value {
        Value::Null if T::OPTIONAL => Ok(json!({})),
        Value::Null => Err(Problem::new("missing", &["body"], "Field required", Value::Null).into()),
        value => Ok(value),
    }
}

/// A body without a content type counts as JSON.
fn is_json(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(header::CONTENT_TYPE) else {
        return true;
    };
    let essence = value
        .to_str()
        .unwrap_or_default()
        .split(';')
        .next()
        .unwrap_or_default()
        .trim()
        .to_ascii_lowercase();
    essence == "application/json" || (essence.starts_with("application/") && essence.ends_with("+json"))
}
