//! Runs that do not get on: why they wait, and those that were given up.

use serde::{Deserialize, Serialize};

use crate::{GraphExecId, GraphId, Timestamp, UserId};

/// `stats.error` of a run that was ended at its deadline.
pub const PAST_DEADLINE: &str = "The run was not over by its deadline and was ended.";

/// Why a run that is not over is not being worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum WaitingReason {
    /// It was created and never put in the queue.
    NotQueued,
    /// No executor has a free slot.
    WaitingForExecutor,
    /// As many runs of this user's graph as may run at the same time are running.
    LimitReached,
    /// It came back from an executor and pauses before the next attempt.
    RetryingLater,
    /// An executor has taken it and has not begun yet.
    Starting,
    /// It goes on when the runs that it started are over.
    WaitingForChildRuns,
    /// It goes on when somebody has decided.
    WaitingForReview,
}

impl WaitingReason {
    /// For people.
    pub fn describe(self) -> &'static str {
        match self {
            Self::NotQueued => "created, but not queued",
            Self::WaitingForExecutor => "waiting for a free executor",
            Self::LimitReached => "waiting: as many runs of this graph as one user may have at the same time are running",
            Self::RetryingLater => "waiting before the next attempt",
            Self::Starting => "an executor is about to begin",
            Self::WaitingForChildRuns => "waiting for the runs that it started",
            Self::WaitingForReview => "waiting for a person's decision",
        }
    }
}

/// A waiting run's reason, and the time at which it goes on by itself where there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    #[serde(rename = "waiting_reason")]
    pub reason: WaitingReason,
    #[serde(rename = "waiting_until")]
    pub until: Option<Timestamp>,
}

/// A run that was given up: no executor got on with it. It is FAILED; driving it again makes a new run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct DeadRun {
    pub graph_exec_id: GraphExecId,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    /// In a row, without a node that ended.
    pub attempts: i32,
    /// What happened to the last one.
    pub error: String,
    /// The last executor, where it is known.
    pub executor: Option<String>,
    pub died_at: Timestamp,
    pub redrives: i32,
    /// The newest run that came of a redrive.
    pub redriven_as: Option<GraphExecId>,
}
