//! What a schedule did and will do.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::common::condition_list;

/// What the schedule did and will do. The operator reads it back: it is the memory that makes every due time fire once.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphScheduleStatus {
    /// Generation of the specification that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The next due times, at most five. None while nothing fires.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub next_fire_times: Vec<Time>,
    /// The due time of the newest execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fire_time: Option<Time>,
    /// The due time of the newest execution that succeeded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_success_time: Option<Time>,
    /// How often what happened, since the schedule was made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub counters: Option<Counters>,
    /// Every due time up to this one has its decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_through: Option<Time>,
    /// The newest ten decisions, newest first, and older ones as long as they are in `unrecorded`.
    #[serde(default)]
    #[schemars(length(max = 100))]
    pub recent_decisions: Vec<Decision>,
    /// Decisions that are not known to be in the platform's ledger, as their due times (see `active`): they are sent until they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100), inner(length(max = 128)))]
    pub unrecorded: Vec<String>,
    /// What the ledger says about a due time that somebody asked about by the annotation `autogpt.dev/explain`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub explanation: Option<Explanation>,
    /// Executions that are not over, oldest first, as their due times: `2026-11-22T16:00:00Z`, with `/run-now/REQUEST` or `/backfill/NAME` behind when
    /// they are not the calendar's.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 1100), inner(length(max = 128)))]
    pub active: Vec<String>,
    /// Due times that wait until nothing runs, in the order in which they fire.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 200), inner(length(max = 128)))]
    pub buffer: Vec<String>,
    /// How far the backfills are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10))]
    pub backfills: Vec<BackfillProgress>,
    /// The newest request to run now.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub run_now: Option<RunNow>,
    /// Why the schedule was suspended when it was last looked at.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub suspended: Option<String>,
    /// Changes with everything that decides about due times, so that an edit does not fire the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub calendar_hash: Option<String>,
    /// When the API server noted the newest write of the schedule that was looked at. It notes none of a write that only takes fields away: a
    /// change without a newer time was made at the moment of the look.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_write_time: Option<Time>,
    /// Ready, SpecValid and, once a run was refused because of it, GraphUsable.
    #[serde(default)]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
}

/// How often what happened.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Counters {
    /// Executions made.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub fired: i64,
    /// Executions of the calendar, which maxRuns bounds.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub runs: i64,
    /// Due times that were skipped.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub skipped: i64,
    /// Due times that passed while nothing could fire; no more than 1000 of a range are counted.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub missed: i64,
    /// Executions that succeeded.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub succeeded: i64,
    /// Executions that failed.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failed: i64,
    /// Executions of the calendar that failed since the last one that succeeded.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub failed_in_a_row: i64,
}

/// What became of one due time, or of all in a range.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The due time; the first one of a range.
    pub slot: Time,
    /// The last due time of a range.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<Time>,
    /// How many due times a range has; no more than 1000 at a time are counted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1))]
    pub count: Option<i64>,
    /// What was decided.
    pub outcome: Outcome,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub reason: Option<String>,
    /// On whose behalf, when not the calendar's: `run-now/REQUEST` or `backfill/NAME`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 100))]
    pub request: Option<String>,
    /// Name of the GraphExecution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub execution: Option<String>,
    /// From the due time to the decision, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub lateness_ms: Option<i64>,
}

/// An answer from the ledger.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Explanation {
    /// The text of the annotation that this answers.
    #[schemars(length(max = 256))]
    pub request: String,
    /// The decisions about that due time, at most 20. None when the ledger has none, or does not have them any more.
    #[serde(default)]
    #[schemars(length(max = 20))]
    pub decisions: Vec<Decision>,
    /// Why there is no answer.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 2048))]
    pub problem: Option<String>,
}

/// What was decided about a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// It became an execution.
    Fired,
    /// The policies did not want an execution.
    Skipped,
    /// It passed while nothing could fire, and was not made up for.
    Missed,
    /// It waits until nothing runs: becomes Fired or Skipped.
    Buffered,
    /// It became an execution of a backfill.
    Backfilled,
}

/// A request to run now.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RunNow {
    /// The request.
    #[schemars(length(max = 64))]
    pub request: String,
    /// When it was seen, which is the due time of its execution.
    pub slot: Time,
    /// Whether it has its decision.
    #[serde(default)]
    pub decided: bool,
}

/// How far a backfill is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct BackfillProgress {
    /// Its name.
    #[schemars(length(max = 40))]
    pub name: String,
    /// It ends with the due times up to here.
    pub through: Time,
    /// Those up to this one have their decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_through: Option<Time>,
    /// Executions made.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub fired: i64,
    /// Due times skipped.
    #[serde(default)]
    #[schemars(range(min = 0))]
    pub skipped: i64,
    /// Whether every due time has its decision.
    #[serde(default)]
    pub done: bool,
}
