//! GraphSchedule: runs of one graph at set times.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{GraphSource, InputsRef, PlatformRef, UUID, condition_list, inputs};

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
    printcolumn(name = "Last", type_ = "date", json_path = ".status.lastFireTime"),
    printcolumn(name = "Next", type_ = "string", json_path = ".status.nextFireTimes[0]"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.platformRef == oldSelf.platformRef").message("platformRef cannot change: make a new GraphSchedule").field_path(".platformRef"))]
#[x_kube(validation = Rule::new("!(has(self.inputs) && has(self.inputsRef))").message("give inputs or inputsRef, not both"))]
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
    /// Cron lines: minute, hour, day of month, month, weekday (0 and 7 are Sunday, names welcome), or @hourly, @daily, @weekly, @monthly, @yearly. The graph runs whenever one of them is due.
    #[schemars(length(min = 1, max = 20), inner(length(min = 1, max = 120)))]
    pub schedules: Vec<String>,
    /// IANA time zone in which the cron lines are read.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
    /// How day of month and weekday go together when a line restricts both: either one suffices (classic cron), or both must match.
    #[serde(default)]
    pub day_match: DayMatch,
    /// Present: nothing fires.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub suspend: Option<Suspend>,
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

/// What the schedule did and will do.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphScheduleStatus {
    /// Generation of the specification that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The next due times, at most five.
    #[serde(default)]
    #[schemars(length(max = 5))]
    pub next_fire_times: Vec<Time>,
    /// The due time of the newest execution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub last_fire_time: Option<Time>,
    /// Every due time up to this one has its decision.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub decided_through: Option<Time>,
    /// The newest decisions, newest first, at most ten.
    #[serde(default)]
    #[schemars(length(max = 10))]
    pub recent_decisions: Vec<Decision>,
    /// Changes with everything that decides about due times, so that an edit does not fire the past.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub calendar_hash: Option<String>,
    /// Ready and SpecValid.
    #[serde(default)]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
}

/// What became of one due time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Decision {
    /// The due time.
    pub slot: Time,
    /// What was decided.
    pub outcome: Outcome,
    /// Why, when it is not the ordinary case.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 1024))]
    pub reason: Option<String>,
    /// Name of the GraphExecution.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 63))]
    pub execution: Option<String>,
    /// From the due time to the decision, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub lateness_ms: Option<i64>,
}

/// What was decided about a due time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Outcome {
    /// It became an execution.
    Fired,
    /// It passed while nothing could fire, and a later one took its place.
    Missed,
    /// It passed while the schedule was suspended.
    Skipped,
}
