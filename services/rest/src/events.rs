//! Telling the WebSocket service what happened to a run outside its executor: that it was accepted (rest.md §2.5), that it goes on.

use bus::events::{Channels, EventBus};
use model::{ExecutionEvent, GraphExecution, GraphExecutionMeta, UserId};
use runtime::Settings;
use serde_json::{Value, json};

/// Publishes live events. They are hints: losing Redis never fails a request.
#[derive(Clone)]
pub struct Announcer {
    bus: EventBus,
    channels: Channels,
}

impl Announcer {
    pub fn new(settings: &Settings) -> Self {
        Self {
            bus: EventBus::start(settings),
            channels: Channels::new(settings),
        }
    }

    /// To all connections of a user (internals §3.1).
    pub fn notify(&self, user_id: UserId, payload: &Value) {
        let event = json!({ "payload": { "user_id": user_id, "payload": payload } });
        self.bus
            .publish_bytes(self.channels.notification(user_id), event.to_string().into_bytes());
    }

    /// The run as it was accepted: nothing has come out of it yet, and it has no place in the run's journal.
    pub fn announce(&self, accepted: &GraphExecutionMeta) {
        let event = ExecutionEvent::GraphExecutionUpdate(GraphExecution {
            meta: accepted.clone(),
            outputs: Default::default(),
        });
        self.bus.publish(&event, None, None);
    }

    /// The run as it is now, after a change that no executor made.
    pub fn announce_change(&self, execution: GraphExecution) {
        self.bus.publish(&ExecutionEvent::GraphExecutionUpdate(execution), None, None);
    }
}
