//! One signal for "finish what you are doing", handed down to every task.

use tokio_util::sync::CancellationToken;

/// A cheap handle; all clones see the same trigger. A child is triggered with its parent, but not the other way round.
#[derive(Debug, Clone, Default)]
pub struct Shutdown(CancellationToken);

impl Shutdown {
    pub fn new() -> Self {
        Self::default()
    }

    /// Starts the shutdown. Doing it twice is harmless.
    pub fn trigger(&self) {
        self.0.cancel();
    }

    /// Resolves once the shutdown has started.
    pub async fn cancelled(&self) {
        self.0.cancelled().await;
    }

    pub fn is_cancelled(&self) -> bool {
        self.0.is_cancelled()
    }

    /// A handle that can be triggered alone.
    pub fn child(&self) -> Self {
        Self(self.0.child_token())
    }

    /// The same signal for libraries that take a token.
    pub fn token(&self) -> CancellationToken {
        self.0.clone()
    }
}
