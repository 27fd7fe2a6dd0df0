//! Waiting for something that is absent without flooding it or the log.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use crate::Shutdown;

/// Exponential waits with full jitter: the n-th is drawn from 0 to `base · 2ⁿ`, at most `cap`.
#[derive(Debug, Clone)]
pub struct Backoff {
    base: Duration,
    cap: Duration,
    attempt: u32,
}

impl Backoff {
    pub fn new(base: Duration, cap: Duration) -> Self {
        Self { base, cap, attempt: 0 }
    }

    /// The next wait. Never shorter than a tenth of its bound, so that it cannot spin.
    pub fn next_delay(&mut self) -> Duration {
        let bound = self.base.saturating_mul(2_u32.saturating_pow(self.attempt.min(20))).min(self.cap);
        self.attempt = self.attempt.saturating_add(1);
        bound.mul_f64(rand::random_range(0.1..=1.0))
    }

    /// Begins again with short waits, after a success.
    pub fn reset(&mut self) {
        self.attempt = 0;
    }

    pub fn attempts(&self) -> u32 {
        self.attempt
    }
}

impl Default for Backoff {
    /// 100 ms to 5 s: for dependencies inside the platform.
    fn default() -> Self {
        Self::new(Duration::from_millis(100), Duration::from_secs(5))
    }
}

/// Repeats `action` until it succeeds. One log line when it starts failing, one when it has recovered.
///
/// `None` when the shutdown came first.
pub async fn retry_forever<T, E, Fut>(name: &str, shutdown: &Shutdown, mut action: impl FnMut() -> Fut) -> Option<T>
where
    E: Display,
    Fut: Future<Output = Result<T, E>>,
{
    let mut backoff = Backoff::default();
    loop {
        let outcome = tokio::select! {
            outcome = action() => outcome,
            () = shutdown.cancelled() => return None,
        };
        match outcome {
            Ok(value) => {
                if backoff.attempts() > 0 {
                    tracing::info!(dependency = name, attempts = backoff.attempts() + 1, "recovered");
                }
                return Some(value);
            }
            Err(error) => {
                if backoff.attempts() == 0 {
                    tracing::warn!(dependency = name, %error, "waiting until it is available");
                }
            }
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.cancelled() => return None,
        }
    }
}
