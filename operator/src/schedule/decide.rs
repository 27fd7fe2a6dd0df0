//! What becomes of a due time. Pure and total.
//!
//! Policies of this version: overlap Allow (runs may overlap), catch-up Latest (after an absence the newest due time
//! fires, the older ones are missed).

use chrono::{DateTime, Utc};
use crds::schedule::Outcome;

/// What the decision depends on beside the due time.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct State {
    /// The note of the suspension, when suspended.
    pub suspended: Option<String>,
    /// A later due time that has come as well.
    pub later_due: Option<DateTime<Utc>>,
}

/// One decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decision {
    pub outcome: Outcome,
    pub reason: Option<String>,
}

/// Decides about a due time that has come.
pub fn decide(state: &State, slot: DateTime<Utc>, now: DateTime<Utc>) -> Decision {
    debug_assert!(slot <= now, "a decision before its time");
    let decision = |outcome, reason: String| Decision {
        outcome,
        reason: Some(reason).filter(|reason| !reason.is_empty()),
    };
    match (&state.suspended, state.later_due) {
        (Some(note), _) if note.is_empty() => decision(Outcome::Skipped, "the schedule is suspended".to_owned()),
        (Some(note), _) => decision(Outcome::Skipped, format!("the schedule is suspended: {note}")),
        (None, Some(later)) => decision(
            Outcome::Missed,
            format!(
                "passed while nothing could fire; of the due times since then only the newest, {}, fires",
                later.format("%FT%TZ")
            ),
        ),
        (None, None) => decision(Outcome::Fired, String::new()),
    }
}

/// From which instant on due times count.
///
/// Those up to `decided_through` have their decision. A schedule that is new, or whose calendar was edited, does not fire
/// the past: only what is due after the moment of its creation or edit counts.
pub fn floor(decided_through: Option<DateTime<Utc>>, created: DateTime<Utc>, edited: Option<DateTime<Utc>>) -> DateTime<Utc> {
    [decided_through, edited].into_iter().flatten().fold(created, DateTime::max)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(minute: u32) -> DateTime<Utc> {
        DateTime::from_timestamp(i64::from(minute) * 60, 0).unwrap()
    }

    #[test]
    fn a_due_time_fires() {
        let decision = decide(&State::default(), at(1), at(1));
        assert_eq!((decision.outcome, decision.reason), (Outcome::Fired, None));
    }

    #[test]
    fn late_is_better_than_never() {
        assert_eq!(decide(&State::default(), at(1), at(500)).outcome, Outcome::Fired);
    }

    #[test]
    fn of_several_only_the_newest_fires() {
        let state = State {
            later_due: Some(at(2)),
            ..State::default()
        };
        assert_eq!(decide(&state, at(1), at(3)).outcome, Outcome::Missed);
    }

    #[test]
    fn nothing_fires_while_suspended() {
        for later_due in [None, Some(at(2))] {
            let state = State {
                suspended: Some("holidays".to_owned()),
                later_due,
            };
            let decision = decide(&state, at(1), at(3));
            assert_eq!(decision.outcome, Outcome::Skipped);
            assert_eq!(decision.reason.as_deref(), Some("the schedule is suspended: holidays"));
        }
    }

    #[test]
    fn neither_a_new_schedule_nor_an_edited_one_fires_the_past() {
        assert_eq!(floor(None, at(5), None), at(5));
        assert_eq!(floor(Some(at(7)), at(5), None), at(7));
        assert_eq!(floor(Some(at(7)), at(5), Some(at(9))), at(9));
        assert_eq!(floor(Some(at(10)), at(5), Some(at(9))), at(10));
    }
}
