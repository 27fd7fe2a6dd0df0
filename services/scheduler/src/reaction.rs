//! What becomes of a schedule whose run could not be started (internals §4.3).

use submit::SubmitError;

/// The contract's table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reaction {
    /// The graph is gone for this user: every schedule that runs it goes.
    DeleteAllOfGraph,
    /// The graph cannot run any more as this schedule asks: this one goes.
    DeleteThis,
    /// Waiting does not help, but the user may mend it: the slot is lost, the schedule stays.
    GiveUpSlot,
    /// The platform's own trouble: the same slot again, later. The reference loses it.
    TryAgain,
}

impl Reaction {
    pub fn to(error: &SubmitError) -> Self {
        match error {
            SubmitError::GraphNotFound { .. } | SubmitError::NotInLibrary => Self::DeleteAllOfGraph,
            SubmitError::Validation { .. } => Self::DeleteThis,
            SubmitError::NotAccessible | SubmitError::Invalid(_) | SubmitError::InsufficientBalance => Self::GiveUpSlot,
            SubmitError::Store(_) => Self::TryAgain,
        }
    }
}
