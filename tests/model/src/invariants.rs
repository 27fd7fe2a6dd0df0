//! What may never happen, whatever fails: the invariants of the platform as functions over facts. Who gathers the facts is the
//! caller: the property tests from a journal, the model from its states.
//!
//! Numbers are those of the list that the whole platform is measured by. Those about the ledger of credits (7), schedule slots (9),
//! tenants (11), bounds (13) and fairness (14) are properties of SQL and are checked on PostgreSQL, beside the statements.

use std::collections::BTreeMap;
use std::fmt;

use model::ExecutionStatus;

/// An invariant that did not hold.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Breach {
    pub invariant: u8,
    pub what: String,
}

impl fmt::Display for Breach {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "invariant {}: {}", self.invariant, self.what)
    }
}

impl std::error::Error for Breach {}

pub type Kept = Result<(), Breach>;

fn keeps(invariant: u8, holds: bool, what: impl FnOnce() -> String) -> Kept {
    if holds { Ok(()) } else { Err(Breach { invariant, what: what() }) }
}

/// (1) A run that was accepted is over, held, or waits for a reason.
pub fn waits_for_something(status: ExecutionStatus, held: bool) -> Kept {
    let waits = matches!(status, ExecutionStatus::Queued | ExecutionStatus::Review);
    keeps(1, status.is_terminal() || held || waits, || {
        format!("a run is {status} and nobody holds it")
    })
}

/// (2) One writer: epochs never fall along a journal, and each belongs to one owner. `writers` are (epoch, owner) of every applied
/// entry in order.
pub fn one_writer<O: PartialEq + fmt::Debug>(writers: &[(i64, O)]) -> Kept {
    for pair in writers.windows(2) {
        let [(before, first), (after, second)] = pair else { continue };
        keeps(2, before <= after, || format!("epoch {before} was followed by {after}"))?;
        keeps(2, before != after || first == second, || {
            format!("{first:?} and {second:?} wrote under epoch {before}")
        })?;
    }
    Ok(())
}

/// (3) Only the contract's transitions.
pub fn legal_turn(from: ExecutionStatus, to: ExecutionStatus) -> Kept {
    keeps(3, from.can_become(to), || format!("{from} became {to}"))
}

/// (3) A finished run never changes. `before` and `after` are whatever is known of the run.
pub fn final_is_final<T: PartialEq + fmt::Debug>(status: ExecutionStatus, before: &T, after: &T) -> Kept {
    keeps(3, !status.is_terminal() || before == after, || {
        format!("a finished run changed from {before:?} to {after:?}")
    })
}

/// (3) A node execution finishes once.
pub fn finishes_once(finished_before: bool) -> Kept {
    keeps(3, !finished_before, || "a node execution finished twice".to_owned())
}

/// (4) The effects of one node execution all carry one idempotency key, and those of a `Once` block are at most one.
pub fn effects_of_one_key<K: PartialEq + fmt::Debug>(keys: &[K], once: bool) -> Kept {
    keeps(4, keys.windows(2).all(|pair| pair[0] == pair[1]), || {
        format!("effects under several keys: {keys:?}")
    })?;
    keeps(4, !once || keys.len() <= 1, || {
        format!("a block that may start once started {} times", keys.len())
    })
}

/// (5) What was committed stays: the later list begins with the earlier one.
pub fn committed_stays<T: PartialEq + fmt::Debug>(before: &[T], after: &[T]) -> Kept {
    keeps(5, after.starts_with(before), || format!("{before:?} became {after:?}"))
}

/// (6) What was sent along links to one pin is what arrived there, each value as often.
pub fn delivered(to: impl fmt::Display, sent: impl IntoIterator<Item = String>, arrived: impl IntoIterator<Item = String>) -> Kept {
    let (sent, arrived) = (counted(sent), counted(arrived));
    keeps(6, sent == arrived, || format!("to {to}: sent {sent:?}, arrived {arrived:?}"))
}

/// (8) A run that waits for an executor is announced, by an outbox row or a message that is on its way, or a sweep announces it again.
pub fn is_announced(waiting: bool, announced: bool, swept: bool) -> Kept {
    keeps(8, !waiting || announced || swept, || {
        "a run waits and nothing will ever say so".to_owned()
    })
}

/// (10) After an acknowledged cancel no node starts.
pub fn no_start_after_cancel(acknowledged: bool) -> Kept {
    keeps(10, !acknowledged, || "a node started after its run's cancel was acknowledged".to_owned())
}

/// (12) The next entry of a run has the next position.
pub fn gapless(expected: i64, found: i64) -> Kept {
    keeps(12, expected == found, || format!("position {found} where {expected} was next"))
}

/// (15) A crash changes nothing about the end.
pub fn same_end<T: PartialEq + fmt::Debug>(undisturbed: &T, disturbed: &T) -> Kept {
    keeps(15, undisturbed == disturbed, || {
        format!("undisturbed: {undisturbed:#?}\ndisturbed: {disturbed:#?}")
    })
}

fn counted(values: impl IntoIterator<Item = String>) -> BTreeMap<String, usize> {
    let mut counts = BTreeMap::new();
    for value in values {
        *counts.entry(value).or_default() += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;
    use ExecutionStatus::{Completed, Queued, Running};

    #[test]
    fn each_invariant_can_break() {
        let broken = [
            waits_for_something(Running, false),
            one_writer(&[(2, 'a'), (1, 'b')]),
            one_writer(&[(2, 'a'), (2, 'b')]),
            legal_turn(Completed, Running),
            final_is_final(Completed, &1, &2),
            finishes_once(true),
            effects_of_one_key(&["k", "l"], false),
            effects_of_one_key(&["k", "k"], true),
            committed_stays(&[1, 2], &[1]),
            delivered("x", ["1".to_owned()], []),
            is_announced(true, false, false),
            no_start_after_cancel(true),
            gapless(4, 5),
            same_end(&1, &2),
        ];
        let numbers: Vec<u8> = broken.into_iter().map(|kept| kept.unwrap_err().invariant).collect();
        assert_eq!(numbers, [1, 2, 2, 3, 3, 3, 4, 4, 5, 6, 8, 10, 12, 15]);
    }

    #[test]
    fn each_invariant_can_hold() {
        let kept = [
            waits_for_something(Queued, false),
            one_writer(&[(1, 'a'), (1, 'a'), (2, 'b')]),
            legal_turn(Queued, Running),
            final_is_final(Completed, &1, &1),
            final_is_final(Running, &1, &2),
            effects_of_one_key(&["k", "k"], false),
            committed_stays(&[1], &[1, 2]),
            delivered("x", ["1".to_owned(), "2".to_owned()], ["2".to_owned(), "1".to_owned()]),
            gapless(4, 4),
        ];
        assert!(kept.iter().all(Result::is_ok), "{kept:?}");
    }
}
