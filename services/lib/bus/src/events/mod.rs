//! Live events on Redis (internals §3.1): at most once, never in anybody's way.

mod envelope;
mod publisher;
mod size;
mod subscriber;

pub use envelope::Envelope;
pub use publisher::EventBus;
pub use subscriber::{Received, Subscriber, Subscription};

use model::{ExecutionEvent, GraphExecId, GraphId, UserId};
use runtime::Settings;

/// An event as it is published: compact JSON of at most `limit` bytes (or the contract's notice that even the shortened event has more).
/// `seq` is the run's journal position, `prev` that of the event before: a reader sees a loss.
pub fn message(event: &ExecutionEvent, seq: Option<i64>, prev: Option<i64>, limit: usize) -> Vec<u8> {
    size::fitted(size::Seen { payload: event, seq, prev }, limit)
}

/// Channel names. The bus names are settings of the contract.
#[derive(Debug, Clone)]
pub struct Channels {
    execution: String,
    notification: String,
}

impl Channels {
    pub fn new(settings: &Settings) -> Self {
        Self {
            execution: settings.redis.execution_event_bus_name.clone(),
            notification: settings.redis.notification_event_bus_name.clone(),
        }
    }

    /// All events of one run.
    pub fn run(&self, user: UserId, graph: GraphId, run: GraphExecId) -> String {
        format!("{}/{user}/{graph}/{run}", self.execution)
    }

    /// The graph events of all runs of one graph. Ours: the contract's readers use a pattern over all users instead.
    pub fn graph(&self, user: UserId, graph: GraphId) -> String {
        format!("{}/{user}/{graph}", self.execution)
    }

    pub fn notification(&self, user: UserId) -> String {
        format!("{}/{user}", self.notification)
    }

    /// An empty message each time a run's own state changed: wakes readers of progress. Ours.
    pub fn progress(&self) -> String {
        format!("{}_progress", self.execution)
    }
}
