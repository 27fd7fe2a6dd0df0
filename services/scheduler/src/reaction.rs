//! What becomes of a schedule whose run could not be started (internals §4.3).

use crds::conditions::reason::{GRAPH_INVALID, GRAPH_NOT_FOUND};
use submit::SubmitError;

use crate::schedules::Removal;

/// The contract's table.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reaction {
    /// The graph is gone for this user: every schedule that runs it goes.
    DeleteAllOfGraph(Removal),
    /// The graph cannot run any more as this schedule asks: this one goes.
    DeleteThis(Removal),
    /// Waiting does not help, but the user may mend it: the slot is lost, the schedule stays.
    GiveUpSlot,
    /// The platform's own trouble: the same slot again, later. The reference loses it.
    TryAgain,
}

impl Reaction {
    pub fn to(error: &SubmitError) -> Self {
        match error {
            SubmitError::GraphNotFound { .. } | SubmitError::NotInLibrary => {
                Self::DeleteAllOfGraph(Removal::hopeless(GRAPH_NOT_FOUND, &error.to_string()))
            }
            SubmitError::Validation { .. } => Self::DeleteThis(Removal::hopeless(GRAPH_INVALID, &error.to_string())),
            SubmitError::NotAccessible | SubmitError::Invalid(_) | SubmitError::InsufficientBalance => Self::GiveUpSlot,
            SubmitError::Store(_) => Self::TryAgain,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_goes_says_why() {
        let gone = Reaction::to(&SubmitError::NotInLibrary);
        let Reaction::DeleteAllOfGraph(why) = gone else { panic!("{gone:?}") };
        assert_eq!(why.reason, "GraphNotFound");
        assert!(
            why.note.contains("not in your library") && why.note.contains(" it. Make it anew"),
            "{}",
            why.note
        );
        let invalid = Reaction::to(&SubmitError::Validation {
            message: "Graph validation failed.".to_owned(),
            node_errors: Default::default(),
        });
        let Reaction::DeleteThis(why) = invalid else { panic!("{invalid:?}") };
        assert_eq!(
            (why.reason, why.note.as_str()),
            (
                "GraphInvalid",
                "deleted, as no run can come of this schedule any more: Graph validation failed. Make it anew over REST when that is mended"
            )
        );
    }
}
