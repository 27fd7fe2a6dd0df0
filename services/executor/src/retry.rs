//! Whether a failed attempt of a node is followed by another, and when. Pure.

use std::time::Duration;

use blocks::BlockErrorKind;
use engine::block::Effects;
use engine::policy::RetryPolicy;

/// How an attempt failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// The input, the graph or the block's own verdict: it fails again whenever it is tried.
    Foreseen,
    /// Nobody foresaw it: the other side did not answer as it should, the time ran out, the block panicked. May be over the next time.
    Unforeseen,
}

impl From<BlockErrorKind> for Fault {
    fn from(kind: BlockErrorKind) -> Self {
        match kind {
            BlockErrorKind::Input | BlockErrorKind::Output | BlockErrorKind::Execution => Self::Foreseen,
            BlockErrorKind::Unknown => Self::Unforeseen,
        }
    }
}

/// A failed attempt, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Failed {
    /// The first one is 1.
    pub attempt: u32,
    pub fault: Fault,
    pub effects: Effects,
    /// It emitted values: they have been routed, and another attempt might emit others.
    pub emitted: bool,
}

/// The pause before the next attempt, `jitter` from 0 to 1 choosing between half and the whole of it. None when there is no next one.
pub fn next_delay(policy: &RetryPolicy, failed: Failed, jitter: f64) -> Option<Duration> {
    let again = failed.attempt < policy.max_attempts && failed.fault == Fault::Unforeseen && failed.effects != Effects::Once && !failed.emitted;
    again.then(|| {
        let exponent = i32::try_from(failed.attempt.saturating_sub(1)).unwrap_or(i32::MAX);
        let seconds = policy.initial_interval.as_secs_f64() * policy.multiplier.powi(exponent);
        let bound = seconds.min(policy.max_interval.as_secs_f64());
        Duration::from_secs_f64(bound * (0.5 + jitter.clamp(0.0, 1.0) / 2.0))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const POLICY: RetryPolicy = RetryPolicy {
        max_attempts: 5,
        initial_interval: Duration::from_millis(500),
        multiplier: 2.0,
        max_interval: Duration::from_millis(3_000),
    };

    fn failed(attempt: u32) -> Failed {
        Failed {
            attempt,
            fault: Fault::Unforeseen,
            effects: Effects::Idempotent,
            emitted: false,
        }
    }

    #[test]
    fn pauses_grow_up_to_the_longest_and_then_it_is_over() {
        let table = [
            (1, 0.0, Some(250)),
            (1, 1.0, Some(500)),
            (2, 1.0, Some(1_000)),
            (3, 0.5, Some(1_500)),
            (4, 1.0, Some(3_000)),
            (5, 1.0, None),
            (6, 1.0, None),
        ];
        for (attempt, jitter, milliseconds) in table {
            assert_eq!(
                next_delay(&POLICY, failed(attempt), jitter),
                milliseconds.map(Duration::from_millis),
                "{attempt} {jitter}"
            );
        }
        let endless = RetryPolicy {
            max_attempts: u32::MAX,
            ..POLICY
        };
        assert_eq!(next_delay(&endless, failed(1_000_000), 1.0), Some(Duration::from_secs(3)));
    }

    #[test]
    fn only_what_may_be_repeated_and_may_help_is_repeated() {
        let repeated = |failed| next_delay(&POLICY, failed, 0.0).is_some();
        for effects in [Effects::Pure, Effects::Idempotent, Effects::Once] {
            assert_eq!(repeated(Failed { effects, ..failed(1) }), effects != Effects::Once, "{effects:?}");
        }
        for kind in [
            BlockErrorKind::Input,
            BlockErrorKind::Output,
            BlockErrorKind::Execution,
            BlockErrorKind::Unknown,
        ] {
            let fault = Fault::from(kind);
            assert_eq!(repeated(Failed { fault, ..failed(1) }), kind == BlockErrorKind::Unknown, "{kind:?}");
        }
        assert!(!repeated(Failed { emitted: true, ..failed(1) }));
        assert!(
            next_delay(&RetryPolicy::default(), failed(1), 0.0).is_none(),
            "one attempt unless the graph says more"
        );
    }
}
