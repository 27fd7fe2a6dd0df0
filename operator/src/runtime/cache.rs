//! A watched kind in memory, and the stream of its changes.

use std::fmt::{Debug, Display};
use std::hash::Hash;

use futures::{Stream, StreamExt};
use kube::api::Api;
use kube::runtime::reflector::{self, Store};
use kube::runtime::{WatchStreamExt, controller, watcher};
use kube::{Resource, ResourceExt};
use serde::de::DeserializeOwned;

/// Starts watching. The stream yields every object that changed or went, and must be polled for the store to follow.
pub fn cache<K>(api: Api<K>, config: watcher::Config) -> (Store<K>, impl Stream<Item = Result<K, watcher::Error>> + Send + 'static)
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + Debug + Send + Sync + 'static,
    K::DynamicType: Eq + Hash + Clone + Default,
{
    let (reader, writer) = reflector::store();
    let stream = watcher(api, config)
        .default_backoff()
        // The history of who wrote which field is half of an object and read by nobody here.
        .modify(|object| object.managed_fields_mut().clear())
        .reflect(writer)
        .touched_objects();
    let mut complaint = Complaint::about(K::kind(&()).into_owned());
    (reader, stream.inspect(move |change| complaint.hear(change.as_ref().err())))
}

/// Says once that a kind cannot be watched, and once that it can again.
pub struct Complaint {
    what: String,
    made: bool,
}

impl Complaint {
    /// Nothing is wrong yet.
    pub fn about(what: String) -> Self {
        Self { what, made: false }
    }

    /// Takes note of how it went.
    pub fn hear(&mut self, error: Option<&impl Display>) {
        match error {
            Some(error) if !self.made => {
                tracing::warn!(kind = %self.what, %error, "cannot be watched, trying again; check that its definition and the operator's rights are there");
            }
            None if self.made => tracing::info!(kind = %self.what, "is watched again"),
            _ => {}
        }
        self.made = error.is_some();
    }

    /// The same for the outcome of a controller's look, which also carries the errors of its own watch.
    pub fn hear_outcome<T, E: std::error::Error, Q: std::error::Error>(&mut self, outcome: &Result<T, controller::Error<E, Q>>) {
        match outcome {
            Ok(_) => self.hear(None::<&Q>),
            Err(controller::Error::QueueError(error)) => self.hear(Some(error)),
            // Reported where it happened, or about an object that is gone.
            Err(error) => tracing::debug!(kind = %self.what, %error, "a look ended with an error"),
        }
    }
}
