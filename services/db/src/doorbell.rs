//! The short way to work: an executor with free slots waits here, and hears of an accepted run before RabbitMQ has it.
//!
//! A hint like the message, but one hop away instead of three. It may be lost or come for nothing; the message comes anyway.

use std::sync::Arc;
use std::time::Duration;

use runtime::Shutdown;
use tokio::sync::Notify;

/// After so long without work the caller asks again: a connection that is gone must not be waited on for ever.
const WAIT: Duration = Duration::from_secs(20);

/// Clones ring the same bell.
#[derive(Clone)]
pub struct Doorbell {
    bell: Arc<Notify>,
    shutdown: Shutdown,
}

impl Doorbell {
    pub fn new(shutdown: &Shutdown) -> Self {
        Self {
            bell: Arc::default(),
            shutdown: shutdown.clone(),
        }
    }

    /// Wakes the one who has waited longest, or the next who comes: all of them would only be in each other's way.
    pub fn ring(&self) {
        self.bell.notify_one();
    }

    /// True when there may be work.
    pub async fn rung(&self) -> bool {
        tokio::select! {
            () = self.bell.notified() => true,
            () = tokio::time::sleep(WAIT) => false,
            () = self.shutdown.cancelled() => false,
        }
    }
}
