//! What becomes of a run that came back without its executor having handed it over: another attempt, now or later, or the end.
//!
//! The decision is pure; [`crate::sweep`] applies it. Runs that get on are never given up: any node that ends begins a new count.

use std::time::Duration;

/// The first failure is most likely the executor's, so the run goes on at once; from the second on it waits, doubling from this.
const FIRST_WAIT: Duration = Duration::from_secs(1);
const LONGEST_WAIT: Duration = Duration::from_secs(60);

/// What is known of a run that came back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct History {
    /// Attempts in a row that were counted before.
    pub attempts: u32,
    /// Node executions that had ended when the last one was counted.
    pub finished_then: i64,
    /// Node executions that have ended by now.
    pub finished_now: i64,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// Back to the queue, for everybody to claim after `wait`.
    Again { attempts: u32, wait: Duration },
    /// No executor gets on with it.
    Dead { attempts: u32 },
}

/// `jitter` is drawn from 0 to 1: a wait is at least half of its bound, so that what failed together does not come back together.
pub fn judge(history: History, max_attempts: u32, jitter: f64) -> Verdict {
    let before = if history.finished_now > history.finished_then {
        0
    } else {
        history.attempts
    };
    let attempts = before.saturating_add(1);
    if attempts >= max_attempts.max(1) {
        return Verdict::Dead { attempts };
    }
    Verdict::Again {
        attempts,
        wait: bound(attempts).mul_f64(0.5 + jitter.clamp(0.0, 1.0) / 2.0),
    }
}

fn bound(attempts: u32) -> Duration {
    match attempts.checked_sub(2) {
        None => Duration::ZERO,
        Some(doublings) => FIRST_WAIT.saturating_mul(2_u32.saturating_pow(doublings)).min(LONGEST_WAIT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(attempts: u32, finished: (i64, i64), max_attempts: u32, jitter: f64) -> Verdict {
        let history = History {
            attempts,
            finished_then: finished.0,
            finished_now: finished.1,
        };
        judge(history, max_attempts, jitter)
    }

    fn again(attempts: u32, milliseconds: u64) -> Verdict {
        Verdict::Again {
            attempts,
            wait: Duration::from_millis(milliseconds),
        }
    }

    #[test]
    fn waits_double_between_half_and_the_whole_of_their_bound() {
        let table = [
            (0, 0.0, again(1, 0)),
            (0, 1.0, again(1, 0)),
            (1, 0.0, again(2, 500)),
            (1, 1.0, again(2, 1_000)),
            (2, 0.5, again(3, 1_500)),
            (3, 1.0, again(4, 4_000)),
            (7, 1.0, again(8, 60_000)),
            (1_000_000, 0.0, again(1_000_001, 30_000)),
        ];
        for (attempts, jitter, verdict) in table {
            assert_eq!(judged(attempts, (3, 3), u32::MAX, jitter), verdict, "{attempts} {jitter}");
        }
    }

    #[test]
    fn the_last_attempt_is_the_end_unless_a_node_has_ended_since() {
        assert_eq!(judged(3, (7, 7), 5, 0.0), again(4, 2_000));
        assert_eq!(judged(4, (7, 7), 5, 0.0), Verdict::Dead { attempts: 5 });
        assert_eq!(judged(4, (7, 8), 5, 0.0), again(1, 0));
        assert_eq!(judged(0, (0, 0), 1, 0.0), Verdict::Dead { attempts: 1 });
        assert_eq!(judged(0, (0, 9), 1, 0.0), Verdict::Dead { attempts: 1 });
        assert_eq!(judged(0, (0, 0), 0, 0.0), Verdict::Dead { attempts: 1 });
    }
}
