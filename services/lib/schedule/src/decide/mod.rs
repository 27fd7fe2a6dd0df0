//! What becomes of everything that is due. Pure: no clock, no network, no storage.
//!
//! [`decide`] answers for one due time. [`step`] applies it to everything that has come since the last step, over a
//! [`Book`] that the caller stores: the operator in the status of a GraphSchedule, the scheduler service in a row.

mod book;
mod due;
mod policy;
mod slots;
mod step;
mod verdict;

#[cfg(test)]
mod step_tests;
#[cfg(test)]
mod table_tests;

pub use book::{Book, Counters, End, Entry, Outcome, Progress, RECENT, RunNow};
pub use due::{BadDue, Due, Origin, instant};
pub use policy::{BACKFILL_AT_ONCE, CatchUp, MOST_ACTIVE, ON_TIME, Overlap, Policy};
pub use slots::Slots;
pub use step::{BATCH, Backfill, COUNTED, Effect, Step, Wishes, step};
pub use verdict::{Decision, State, Verdict, decide};
