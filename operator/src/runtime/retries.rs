//! Waits after errors, counted for each object: one that keeps failing does not slow the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

const FIRST: Duration = Duration::from_millis(500);
const LONGEST: Duration = Duration::from_secs(120);

/// Failures in a row by key.
#[derive(Default)]
pub struct Retries(Mutex<HashMap<String, u32>>);

impl Retries {
    /// The wait before the next try: doubles with each failure, up to two minutes, with jitter.
    pub fn next(&self, key: &str) -> Duration {
        let mut failures = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let count = failures.entry(key.to_owned()).or_default();
        let bound = FIRST.saturating_mul(2_u32.saturating_pow((*count).min(10))).min(LONGEST);
        *count = count.saturating_add(1);
        bound.mul_f64(rand::random_range(0.5..=1.0))
    }

    /// After a success, or when the object is gone.
    pub fn reset(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_for_each_key_alone_and_start_over_after_a_success() {
        let retries = Retries::default();
        let waits: Vec<Duration> = (0..12).map(|_| retries.next("a")).collect();
        assert!(waits[0] <= FIRST && waits[11] > LONGEST / 3 && waits[11] <= LONGEST, "{waits:?}");
        assert!(retries.next("b") <= FIRST);
        retries.reset("a");
        assert!(retries.next("a") <= FIRST);
    }
}
