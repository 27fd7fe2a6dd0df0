//! Waits after errors, counted for each object: one that keeps failing does not slow the others.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use crate::runtime::refusal::refusal;

const FIRST: Duration = Duration::from_millis(500);
/// What is said about an object is not said in other words sooner: its own status would call it up again and again.
const SAY_AGAIN: Duration = Duration::from_secs(10);

/// Why something failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cause {
    /// Nobody answered, or somebody else was faster: it may work at once when it is tried again.
    Unanswered,
    /// Somebody has to do something about it first.
    Refused,
    /// Something is not there yet whose coming is mostly noticed by itself.
    Waiting,
}

impl Cause {
    /// Why a request to the API server failed.
    pub fn of(error: &kube::Error) -> Self {
        if refusal(error).is_some() { Self::Refused } else { Self::Unanswered }
    }

    /// The longest wait. The API server that comes back finds everybody there within it.
    fn longest(self) -> Duration {
        match self {
            Self::Unanswered => Duration::from_secs(5),
            Self::Refused => Duration::from_secs(30),
            Self::Waiting => Duration::from_secs(60),
        }
    }
}

/// Failures in a row by key.
#[derive(Default)]
pub struct Retries(Mutex<HashMap<String, Failures>>);

#[derive(Default)]
struct Failures {
    cause: Option<Cause>,
    count: u32,
    /// When something was said last, and about which generation.
    said: Option<(Instant, Option<i64>)>,
}

impl Retries {
    /// The wait before the next try: doubles with each failure of the same cause, up to its longest, with jitter.
    pub fn next(&self, key: &str, cause: Cause) -> Duration {
        self.locked(key, |failures| {
            if failures.cause.replace(cause) != Some(cause) {
                failures.count = 0;
            }
            let bound = FIRST.saturating_mul(2_u32.saturating_pow(failures.count.min(10))).min(cause.longest());
            failures.count = failures.count.saturating_add(1);
            bound.mul_f64(rand::random_range(0.5..=1.0))
        })
    }

    /// Whether the object of this generation may say now what is wrong with it. Whoever asks says it.
    pub fn may_say(&self, key: &str, generation: Option<i64>) -> bool {
        self.locked(key, |failures| {
            let known = failures.said.filter(|(_, about)| *about == generation);
            let may = known.is_none_or(|(since, _)| since.elapsed() >= SAY_AGAIN);
            if may {
                failures.said = Some((Instant::now(), generation));
            }
            may
        })
    }

    /// After a success, or when the object is gone.
    pub fn reset(&self, key: &str) {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).remove(key);
    }

    fn locked<T>(&self, key: &str, use_failures: impl FnOnce(&mut Failures) -> T) -> T {
        use_failures(self.0.lock().unwrap_or_else(PoisonError::into_inner).entry(key.to_owned()).or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn waits_grow_for_each_key_alone_and_start_over_after_a_success() {
        let retries = Retries::default();
        let waits: Vec<Duration> = (0..12).map(|_| retries.next("a", Cause::Refused)).collect();
        let longest = Cause::Refused.longest();
        assert!(waits[0] <= FIRST && waits[11] >= longest / 2 && waits[11] <= longest, "{waits:?}");
        assert!(retries.next("b", Cause::Refused) <= FIRST);
        retries.reset("a");
        assert!(retries.next("a", Cause::Refused) <= FIRST);
    }

    #[test]
    fn who_gets_no_answer_asks_again_within_seconds_and_what_it_was_refused_before_does_not_count() {
        let retries = Retries::default();
        for _ in 0..12 {
            retries.next("a", Cause::Refused);
        }
        assert!(retries.next("a", Cause::Unanswered) <= FIRST);
        assert!((0..12).all(|_| retries.next("a", Cause::Unanswered) <= Duration::from_secs(5)));
    }

    #[test]
    fn what_is_wrong_is_said_once_for_a_while_unless_it_went_well_in_between() {
        let retries = Retries::default();
        let say = |key, generation| retries.may_say(key, Some(generation));
        assert!(say("a", 1) && !say("a", 1) && say("b", 1));
        retries.next("a", Cause::Refused);
        assert!(!say("a", 1) && say("a", 2), "an edit is another matter");
        retries.reset("a");
        assert!(say("a", 2));
    }
}
