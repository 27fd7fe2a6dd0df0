//! GraphSchedule: runs of one graph at set times.

mod policies;
mod status;

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{CredentialReferences, DURATION, GraphSource, InputsRef, PlatformRef, UUID, inputs};

pub use policies::{Backfill, BackfillOverlap, CatchUp, CatchUpPolicy, Exclusion, OverlapPolicy};
pub use status::{BackfillProgress, Counters, Decision, Explanation, GraphScheduleStatus, Outcome, RunNow};

/// When to run a graph, and with what.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "autogpt.dev",
    version = "v1alpha1",
    kind = "GraphSchedule",
    plural = "graphschedules",
    singular = "graphschedule",
    shortname = "gsch",
    category = "autogpt",
    namespaced,
    status = "GraphScheduleStatus",
    derive = "PartialEq",
    doc = "Runs of one graph at set times. Each due time becomes one GraphExecution.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("the name may have at most 63 characters: it is a label of the executions"),
    printcolumn(name = "Schedules", type_ = "string", json_path = ".spec.schedules"),
    printcolumn(name = "Zone", type_ = "string", json_path = ".spec.timeZone"),
    printcolumn(name = "Ready", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].status"),
    printcolumn(name = "Reason", type_ = "string", json_path = ".status.conditions[?(@.type=='Ready')].reason"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextFireTimes[0]"),
    printcolumn(name = "Last", type_ = "date", json_path = ".status.recentDecisions[0].slot"),
    printcolumn(name = "Decision", type_ = "string", json_path = ".status.recentDecisions[0].outcome"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Overlap", type_ = "string", json_path = ".spec.overlapPolicy", priority = 1),
    printcolumn(name = "Succeeded", type_ = "date", json_path = ".status.lastSuccessTime", priority = 1),
    printcolumn(name = "Why", type_ = "string", json_path = ".status.recentDecisions[0].reason", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.platformRef == oldSelf.platformRef").message("platformRef cannot change: make a new GraphSchedule").field_path(".platformRef"))]
#[x_kube(validation = Rule::new("!(has(self.inputs) && has(self.inputsRef))").message("give inputs or inputsRef, not both"))]
#[x_kube(validation = Rule::new("!(has(self.startAt) && has(self.endAt)) || self.startAt < self.endAt").message("endAt must be later than startAt"))]
#[x_kube(validation = Rule::new("!has(self.bufferLimit) || self.overlapPolicy == 'BufferAll'").message("bufferLimit belongs to overlapPolicy BufferAll: remove it, or set the policy"))]
#[x_kube(validation = Rule::new("!has(self.jitter) || duration(self.jitter) <= duration('24h')").message("jitter must be at most 24h, for example 30s or 5m"))]
#[x_kube(validation = Rule::new("!has(self.deadline) || (duration(self.deadline) >= duration('1s') && duration(self.deadline) <= duration('8760h'))").message("deadline must be from 1s to 8760h, for example 90s, 15m or 1h30m"))]
pub struct GraphScheduleSpec {
    /// The platform that runs it.
    pub platform_ref: PlatformRef,
    /// The graph to run.
    pub graph: GraphSource,
    /// Id of the platform user in whose name it runs; the platform's service user when absent. Others must be allowed by `spec.access.owners` of the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 36, max = 36), regex(pattern = UUID))]
    pub owner: Option<String>,
    /// Values of the graph's input blocks, by the name of the input.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inputs")]
    pub inputs: Option<Map<String, Value>>,
    /// Inputs that the platform keeps, for schedules made through the REST API.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub inputs_ref: Option<InputsRef>,
    /// Secrets that the runs may use, by the name of the graph's credentials input, for example `github_api_key_credentials`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub credentials: CredentialReferences,
    /// Cron lines: minute, hour, day of month, month, weekday (0 and 7 are Sunday, names welcome), or @hourly, @daily, @weekly, @monthly, @yearly. The graph runs whenever one of them is due, once where several are.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 120)))]
    pub schedules: Vec<String>,
    /// IANA time zone in which the cron lines are read.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// How day of month and weekday go together when a line restricts both: either one suffices (classic cron), or both must match.
    #[serde(default)]
    pub day_match: DayMatch,
    /// Lines may have six fields, the first of which is the second.
    #[serde(default)]
    pub seconds: bool,
    /// Nothing is due before this instant; a due time at it counts.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_at: Option<Time>,
    /// Nothing is due from this instant on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_at: Option<Time>,
    /// The schedule is over after so many runs of its calendar; run-now and backfills do not count.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1_000_000_000))]
    pub max_runs: Option<i64>,
    /// Spans of time in which nothing is due.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 100))]
    pub exclusions: Vec<Exclusion>,
    /// Spreads runs over so long a time after each due time, such as 30s or 5m. Each schedule has a place of its own there, always the same. Due times are not moved.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = DURATION))]
    pub jitter: Option<String>,
    /// What happens to a due time while an earlier run of this schedule is not over.
    #[serde(default)]
    pub overlap_policy: OverlapPolicy,
    /// How many due times may wait under overlapPolicy BufferAll; 10 when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 100))]
    pub buffer_limit: Option<i32>,
    /// What is made up for of the due times that passed while nothing could fire.
    #[serde(default)]
    pub catch_up: CatchUp,
    /// Present: no due time fires, and backfills wait. Run now still works.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
    /// So many failed runs of the calendar in a row suspend the schedule, with a note. Remove `suspend` to resume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 1, max = 1000))]
    pub pause_on_failure: Option<i32>,
    /// Ranges of past due times that are run (again), each once. Remove an entry to stop it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(schema_with = "policies::backfills")]
    pub backfills: Vec<Backfill>,
    /// How long each run may take, waiting included: 90s, 15m, 1h30m. See GraphExecution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = DURATION))]
    pub deadline: Option<String>,
    /// Counts a run that completed although some of its nodes failed as succeeded.
    #[serde(default)]
    pub ignore_node_errors: bool,
    /// Deletes each execution so many seconds after it is over; `historyLimit` may delete it sooner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// How many finished executions to keep.
    #[serde(default)]
    pub history_limit: HistoryLimit,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// How day of month and weekday go together when a cron line restricts both.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum DayMatch {
    #[default]
    Either,
    Both,
}

/// Why nothing fires.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Suspend {
    /// A word to those who find the schedule suspended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub note: Option<String>,
}

/// How many finished executions to keep.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HistoryLimit {
    /// Of those that succeeded.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 1000))]
    pub succeeded: i32,
    /// Of those that failed.
    #[serde(default = "three")]
    #[schemars(range(min = 0, max = 1000))]
    pub failed: i32,
}

fn three() -> i32 {
    3
}

impl Default for HistoryLimit {
    fn default() -> Self {
        Self {
            succeeded: three(),
            failed: three(),
        }
    }
}

impl GraphScheduleSpec {
    /// A schedule of these lines, with everything else as the schema's defaults have it.
    pub fn new(platform: &str, graph: GraphSource, schedules: Vec<String>) -> Self {
        Self {
            platform_ref: PlatformRef { name: platform.to_owned() },
            graph,
            owner: None,
            inputs: None,
            inputs_ref: None,
            credentials: CredentialReferences::new(),
            schedules,
            time_zone: utc(),
            day_match: DayMatch::default(),
            seconds: false,
            start_at: None,
            end_at: None,
            max_runs: None,
            exclusions: Vec::new(),
            jitter: None,
            overlap_policy: OverlapPolicy::default(),
            buffer_limit: None,
            catch_up: CatchUp::default(),
            suspend: None,
            pause_on_failure: None,
            backfills: Vec::new(),
            deadline: None,
            ignore_node_errors: false,
            ttl_seconds_after_finished: None,
            history_limit: HistoryLimit::default(),
        }
    }
}
