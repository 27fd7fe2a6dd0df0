//! Telling the WebSocket service that a run was accepted (rest.md §2.5).

use bus::events::EventBus;
use model::{ExecutionEvent, GraphExecution, GraphExecutionMeta};

/// Publishes live events. They are hints: losing Redis never fails a request.
#[derive(Clone)]
pub struct Announcer(EventBus);

impl Announcer {
    pub fn new(bus: EventBus) -> Self {
        Self(bus)
    }

    /// The run as it was accepted: nothing has come out of it yet, and it has no place in the run's journal.
    pub fn announce(&self, accepted: &GraphExecutionMeta) {
        let event = ExecutionEvent::GraphExecutionUpdate(GraphExecution {
            meta: accepted.clone(),
            outputs: Default::default(),
        });
        self.0.publish(&event, None, None);
    }
}
