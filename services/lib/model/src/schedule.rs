//! User schedules as the scheduler service reports them (internals §4.3), and the ledger of decisions about schedules (design §5).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{CredentialsMetaInput, GraphExecId, GraphId, Map, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphExecutionJobInfo {
    pub schedule_id: Option<String>,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub agent_name: Option<String>,
    /// The contract's dialect: five fields, 0 = Monday (internals §4.4).
    pub cron: String,
    pub input_data: Map,
    #[serde(default)]
    pub input_credentials: IndexMap<String, CredentialsMetaInput>,
    pub id: String,
    pub name: String,
    /// ISO 8601 with an offset, never `Z` (rest.md trap 2).
    pub next_run_time: String,
    pub timezone: String,
}

/// What was decided about something that was due (design §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum SlotOutcome {
    /// It became a run.
    Fired,
    /// The policies did not want a run.
    Skipped,
    /// It passed while nothing could fire, and was not made up for.
    Missed,
    /// It waits until nothing runs: becomes Fired or Skipped.
    Buffered,
    /// It became a run of a backfill.
    Backfilled,
}

impl SlotOutcome {
    /// The word for it, everywhere.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Fired => "Fired",
            Self::Skipped => "Skipped",
            Self::Missed => "Missed",
            Self::Buffered => "Buffered",
            Self::Backfilled => "Backfilled",
        }
    }

    /// From the word for it.
    pub fn from_word(word: &str) -> Option<Self> {
        let all = [Self::Fired, Self::Skipped, Self::Missed, Self::Buffered, Self::Backfilled];
        all.into_iter().find(|outcome| outcome.as_str() == word)
    }
}

/// One line of the ledger: a decision about one due time of a schedule, or about all of a range. Schedule, slot and request are its key: a
/// later decision about the same replaces an earlier one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ScheduleDecision {
    /// UID of the GraphSchedule object, or id of the schedule's row.
    pub schedule_uid: Uuid,
    /// The due time; the first one of a range.
    pub slot: Timestamp,
    /// On whose behalf, when not the calendar's: `run-now/REQUEST` or `backfill/NAME`.
    #[serde(default)]
    pub request: String,
    /// The last due time of a range.
    #[serde(default)]
    pub through: Option<Timestamp>,
    /// How many due times a range has, as far as they were counted; at least 1.
    #[serde(default = "one")]
    pub count: i64,
    pub outcome: SlotOutcome,
    #[serde(default)]
    pub reason: String,
    /// Name of the GraphExecution that it became.
    #[serde(default)]
    pub execution: Option<String>,
    /// The run that it became, where the schedule is a row.
    #[serde(default)]
    pub graph_exec_id: Option<GraphExecId>,
    pub decided_at: Timestamp,
}

fn one() -> i64 {
    1
}
