//! Who may do what to a run: the decisions of claim, hand-over, cancellation and end, pure, over the row that is locked for them.
//!
//! The statements of this crate do what stands here. Where rows are locked and read anyway they ask these functions (cancellation; for
//! an append [`JournalPlan`]). Where a statement decides over many rows (claim, hand-over, the guarded end) it states the same condition
//! in SQL, and `tests/it/rules.rs` compares the two on PostgreSQL for every row that there can be. [`judge`] says when a run that comes
//! back again and again may be claimed, and that it is FAILED at last. The model in `tests/model` explores what follows from the rules when
//! messages are lost, doubled and late.

use model::ExecutionStatus;
use uuid::Uuid;

pub use crate::attempts::{History, Verdict, judge};
pub use crate::journal_plan::{JournalPlan, NodeChange, RunChange, RunRow};

/// What becomes of a run that is given back.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HandOver {
    /// It waits for another executor.
    Queued,
    /// Its cancellation had been asked for: there is nothing to go on with.
    Terminated,
    /// It had ended before.
    Over,
}

/// What becomes of a run whose cancellation is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Cancel {
    /// It had ended before.
    Over,
    /// An executor holds it and ends it when it sees the flag.
    Flagged,
    /// Nobody held it.
    Terminated,
}

impl RunRow {
    /// Whether a claim may take the run: it waits, and nobody holds it.
    pub fn is_claimable(&self) -> bool {
        self.status == ExecutionStatus::Queued && self.owner.is_none()
    }

    /// The run is `owner`'s under a new epoch: whoever had it before writes nothing any more.
    pub fn claim(&mut self, owner: Uuid) {
        self.owner = Some(owner);
        self.epoch += 1;
    }

    /// Whether the run is held by nobody who lives, so that a sweep takes it. `owner_has_lease` is about the row's owner.
    pub fn is_orphaned(&self, owner_has_lease: bool) -> bool {
        self.owner.is_some() && !owner_has_lease
    }

    /// Takes the run from its owner. RUNNING → QUEUED is no transition of the contract but a change of hands: the run goes on
    /// elsewhere.
    pub fn give_back(&mut self) -> HandOver {
        if self.status.is_terminal() {
            HandOver::Over
        } else if self.cancel_requested {
            self.finish(ExecutionStatus::Terminated);
            HandOver::Terminated
        } else {
            self.status = ExecutionStatus::Queued;
            self.owner = None;
            HandOver::Queued
        }
    }

    /// Asks for the end of the run.
    pub fn request_cancel(&mut self) -> Cancel {
        if self.status.is_terminal() {
            return Cancel::Over;
        }
        self.cancel_requested = true;
        if self.owner.is_some() {
            return Cancel::Flagged;
        }
        self.finish(ExecutionStatus::Terminated);
        Cancel::Terminated
    }

    /// Ends the run from outside its executor. False when the transition table forbids it, above all because it is over already.
    pub fn finish(&mut self, to: ExecutionStatus) -> bool {
        let may = self.status.can_become(to);
        if may {
            self.status = to;
            self.owner = None;
        }
        may
    }
}
