//! Events: what `kubectl describe` shows beside the status. Losing one is no error.

use std::sync::Arc;

use k8s_openapi::api::core::v1::ObjectReference;
use kube::runtime::events::{Event, EventType, Recorder, Reporter};
use kube::{Client, Resource};
use tokio::sync::Semaphore;

/// Name under which everything is written: field manager, event source, label value.
pub const MANAGER: &str = "autogpt-operator";

/// Writes events about objects.
#[derive(Clone)]
pub struct Events {
    recorder: Recorder,
    pending: Arc<Semaphore>,
}

/// So many events may be on their way at a time.
const PENDING: usize = 2000;

impl Events {
    pub fn new(client: Client, identity: &str) -> Self {
        let reporter = Reporter {
            controller: MANAGER.to_owned(),
            instance: Some(identity.to_owned()),
        };
        Self {
            recorder: Recorder::new(client, reporter),
            pending: Arc::new(Semaphore::new(PENDING)),
        }
    }

    /// Something ordinary happened.
    pub fn normal<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &str, note: impl Into<String>) {
        self.write(EventType::Normal, about, None, reason, note.into());
    }

    /// Something that somebody should look at happened.
    pub fn warning<K: Resource<DynamicType = ()>>(&self, about: &K, reason: &str, note: impl Into<String>) {
        self.write(EventType::Warning, about, None, reason, note.into());
    }

    /// Nobody waits for an event: events go last, and who waited for one would hold up the next object. Losing one is no error, so it is
    /// lost rather than piled up. Events of one reason about one object are counted together unless they are `related` to different others.
    pub fn write<K: Resource<DynamicType = ()>>(&self, type_: EventType, about: &K, related: Option<ObjectReference>, reason: &str, note: String) {
        let (events, about, reason) = (self.clone(), about.object_ref(&()), reason.to_owned());
        let Ok(permit) = self.pending.clone().try_acquire_owned() else {
            return;
        };
        tokio::spawn(async move {
            events.publish(type_, about, related, &reason, note).await;
            drop(permit);
        });
    }

    async fn publish(&self, type_: EventType, about: ObjectReference, related: Option<ObjectReference>, reason: &str, mut note: String) {
        // The API server refuses longer notes.
        crds::conditions::truncate(&mut note, 1000);
        let event = Event {
            type_,
            reason: reason.to_owned(),
            note: Some(note),
            action: reason.to_owned(),
            secondary: related,
        };
        if let Err(error) = self.recorder.publish(&event, &about).await {
            tracing::debug!(%error, reason, "an event could not be written");
        }
    }
}
