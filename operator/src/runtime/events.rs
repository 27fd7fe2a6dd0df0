//! Events: what `kubectl describe` shows beside the status. Losing one is no error.

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};

/// Name under which everything is written: field manager, event source, label value.
pub const MANAGER: &str = "autogpt-operator";

/// Writes events about objects.
#[derive(Clone)]
pub struct Events(Recorder);

impl Events {
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(identity.to_owned()),
        };
        Self(Recorder::new(client, reporter))
    }

    /// Something ordinary happened.
    pub async fn normal<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &str, note: impl Into<String>) {
        self.publish(EventType::Normal, about.object_ref(&()), reason, note.into()).await;
    }

    /// Something that somebody should look at happened.
    pub async fn warning<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &str, note: impl Into<String>) {
        self.publish(EventType::Warning, about.object_ref(&()), reason, note.into()).await;
    }

    async fn publish(&self, type_: EventType, about: ObjectReference, reason: &str, mut note: String) {
        // The API server refuses longer notes.
        crds::conditions::truncate(&mut note, 1000);
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: reason.to_owned(),
            secondary: None,
        };
        if let Err(error) = self.0.publish(&event, &about).await {
            tracing::debug!(%error, reason, "an event could not be written");
        }
    }
}
