//! Telling the WebSocket service what happened to a run outside its executor: that it was accepted (rest.md §2.5), that it goes on.

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

    /// The run as it is now, after a change that no executor made.
    pub fn announce_change(&self, execution: GraphExecution) {
        self.0.publish(&ExecutionEvent::GraphExecutionUpdate(execution), None, None);
    }
}
