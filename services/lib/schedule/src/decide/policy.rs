//! What the owner of a schedule wants.

use chrono::TimeDelta;

/// A due time that is looked at so much later, and no more, is on time: a fail-over of the operator or a busy moment
/// must not cost one. What is later than this is up to [`CatchUp`].
pub const ON_TIME: TimeDelta = TimeDelta::seconds(30);

/// So many runs of one schedule may be not over at a time; what is due beyond them is skipped. Everything is bounded.
pub const MOST_ACTIVE: usize = 1000;

/// So many runs of one backfill may be not over at a time; it goes on as they end.
pub const BACKFILL_AT_ONCE: usize = 20;

/// What happens to a due time while an earlier run is not over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum Overlap {
    /// It fires; runs may overlap.
    #[default]
    Allow,
    /// It is skipped.
    Skip,
    /// It waits until nothing runs. One may wait, the next ones are skipped.
    BufferOne,
    /// It waits until nothing runs, in order. So many may wait, the next ones are skipped.
    BufferAll(usize),
    /// What runs is cancelled, and it fires when that has ended. A later due time takes the place of the one that waits.
    CancelOther,
    /// What runs is cancelled, and it fires at once.
    Replace,
}

/// Which of the due times that passed while nothing could fire are made up for.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub enum CatchUp {
    /// The newest.
    #[default]
    Latest,
    /// None.
    None,
    /// The newest so many, oldest first.
    All(usize),
}

impl CatchUp {
    /// How many of the newest due times may fire late.
    pub fn kept(self) -> usize {
        match self {
            Self::None => 0,
            Self::Latest => 1,
            Self::All(limit) => limit,
        }
    }
}

/// All policies of one schedule.
#[derive(Debug, Clone, Default, PartialEq, Eq, Hash)]
pub struct Policy {
    pub overlap: Overlap,
    pub catch_up: CatchUp,
    /// What is later than this is not made up for; without it, however late.
    pub window: Option<TimeDelta>,
    /// The schedule is over after so many runs of its calendar.
    pub max_runs: Option<u64>,
    /// So many failed runs in a row pause the schedule.
    pub pause_on_failure: Option<u32>,
}
