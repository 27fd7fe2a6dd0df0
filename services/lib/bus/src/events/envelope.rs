//! An event as it is read: the payload is passed on as it stands.

use serde::Deserialize;
use serde_json::value::RawValue;

/// A message on Redis, of any kind. As [`model::event::EventEnvelope`], which is what is written.
#[derive(Debug, Deserialize)]
pub struct Envelope<'a> {
    #[serde(borrow)]
    pub payload: &'a RawValue,
    /// The run's journal position.
    #[serde(default)]
    pub seq: Option<i64>,
    /// The position of the event before.
    #[serde(default)]
    pub prev: Option<i64>,
}
