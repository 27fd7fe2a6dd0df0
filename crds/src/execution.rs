//! GraphExecution: one run of one graph.

use std::collections::BTreeMap;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, MicroTime, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::common::{CredentialReferences, DURATION, GraphSource, InputsRef, LocalObjectReference, PlatformRef, UUID, condition_list, inputs};

/// A year: what the rule about `deadline` says.
const LONGEST_DEADLINE: std::time::Duration = std::time::Duration::from_secs(8760 * 3600);

/// One run of one graph. Everything but `cancel` and `ttlSecondsAfterFinished` is fixed at creation.
#[derive(CustomResource, KubeSchema, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "autogpt.dev",
    version = "v1alpha1",
    kind = "GraphExecution",
    plural = "graphexecutions",
    singular = "graphexecution",
    shortname = "gexec",
    category = "autogpt",
    namespaced,
    status = "GraphExecutionStatus",
    derive = "PartialEq",
    doc = "One run of one graph on an AutoGPTPlatform.",
    validation = Rule::new("size(self.metadata.name) <= 63").message("the name may have at most 63 characters: it is used in labels"),
    validation = Rule::new("!has(self.spec.retryOf) || self.spec.retryOf.name != self.metadata.name").message("retryOf names the object itself: name the finished GraphExecution to retry"),
    printcolumn(name = "Phase", type_ = "string", json_path = ".status.phase"),
    printcolumn(name = "Succeeded", type_ = "string", json_path = ".status.conditions[?(@.type=='Succeeded')].status"),
    printcolumn(name = "Nodes", type_ = "integer", json_path = ".status.nodes.total"),
    printcolumn(name = "Started", type_ = "date", json_path = ".status.startTime"),
    printcolumn(name = "Finished", type_ = "date", json_path = ".status.completionTime"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Execution", type_ = "string", json_path = ".status.executionId", priority = 1),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.message", priority = 1)
)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("self.platformRef == oldSelf.platformRef").message("platformRef cannot change: make a new GraphExecution").field_path(".platformRef"))]
#[x_kube(validation = Rule::new("has(self.graph) == has(oldSelf.graph) && (!has(self.graph) || self.graph == oldSelf.graph)").message("graph cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.credentials) == has(oldSelf.credentials) && (!has(self.credentials) || self.credentials == oldSelf.credentials)").message("credentials cannot change: make a new GraphExecution; what the Secrets hold may change"))]
#[x_kube(validation = Rule::new("has(self.retryOf) == has(oldSelf.retryOf) && (!has(self.retryOf) || self.retryOf == oldSelf.retryOf)").message("retryOf cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.graph) != has(self.retryOf)").message("give exactly one of graph and retryOf: the graph to run, or the finished GraphExecution to retry"))]
#[x_kube(validation = Rule::new("!has(self.retryOf) || !(has(self.inputs) || has(self.inputsRef) || has(self.owner) || has(self.credentials))").message("leave out owner, inputs, inputsRef and credentials with retryOf: a retry has those of the execution that it retries"))]
#[x_kube(validation = Rule::new("has(self.owner) == has(oldSelf.owner) && (!has(self.owner) || self.owner == oldSelf.owner)").message("owner cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.inputs) == has(oldSelf.inputs) && (!has(self.inputs) || self.inputs == oldSelf.inputs)").message("inputs cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.inputsRef) == has(oldSelf.inputsRef) && (!has(self.inputsRef) || self.inputsRef == oldSelf.inputsRef)").message("inputsRef cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.scheduledFor) == has(oldSelf.scheduledFor) && (!has(self.scheduledFor) || self.scheduledFor == oldSelf.scheduledFor)").message("scheduledFor cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.request) == has(oldSelf.request) && (!has(self.request) || self.request == oldSelf.request)").message("request cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("self.ignoreNodeErrors == oldSelf.ignoreNodeErrors").message("ignoreNodeErrors cannot change: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("has(self.deadline) == has(oldSelf.deadline) && (!has(self.deadline) || self.deadline == oldSelf.deadline)").message("deadline cannot change: the platform has it already; make a new GraphExecution"))]
#[x_kube(validation = Rule::new("!has(self.deadline) || (duration(self.deadline) >= duration('1s') && duration(self.deadline) <= duration('8760h'))").message("deadline must be from 1s to 8760h, for example 90s, 15m or 1h30m"))]
#[x_kube(validation = Rule::new("self.cancel || !oldSelf.cancel").message("a cancelled run cannot be resumed: make a new GraphExecution"))]
#[x_kube(validation = Rule::new("!(has(self.inputs) && has(self.inputsRef))").message("give inputs or inputsRef, not both"))]
pub struct GraphExecutionSpec {
    /// The platform that runs it.
    pub platform_ref: PlatformRef,
    /// The graph to run.
    #[serde(default, skip_serializing_if = "GraphSource::is_empty")]
    pub graph: GraphSource,
    /// A GraphExecution of this namespace that is over and did not succeed. This one goes on where it failed, with the same graph, owner, inputs and
    /// credentials: nodes that completed there are not run again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry_of: Option<LocalObjectReference>,
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
    /// Secrets that the run may use, by the name of the graph's credentials input, for example `github_api_key_credentials`.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    #[schemars(extend("maxProperties" = 32))]
    pub credentials: CredentialReferences,
    /// Stops the run. Cannot be taken back.
    #[serde(default)]
    pub cancel: bool,
    /// How long the run may take, waiting included, from when the platform has it: 90s, 15m, 1h30m. A run that is not over by then is ended and counts as
    /// failed. The platform's own limit for runs holds when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 2, max = 32), regex(pattern = DURATION))]
    pub deadline: Option<String>,
    /// Counts a run that completed although some of its nodes failed as succeeded.
    #[serde(default)]
    pub ignore_node_errors: bool,
    /// Deletes this object so many seconds after the run is over; kept when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 31_536_000))]
    pub ttl_seconds_after_finished: Option<i32>,
    /// The slot of the schedule that this run stands for. Set by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scheduled_for: Option<Time>,
    /// On whose behalf, when not the calendar's of the schedule: `run-now/REQUEST` or `backfill/NAME`. Set by the operator.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(min = 1, max = 100))]
    pub request: Option<String>,
}

impl GraphExecutionSpec {
    /// The deadline, counted from the submission; nothing when it is absent or unreadable, which the schema rules out.
    pub fn deadline(&self) -> Option<std::time::Duration> {
        let parsed: kube::core::Duration = self.deadline.as_ref()?.parse().ok()?;
        (!parsed.is_negative()).then(|| std::time::Duration::from(parsed).min(LONGEST_DEADLINE))
    }
}

/// The run as last seen.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct GraphExecutionStatus {
    /// Generation of the specification that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub observed_generation: Option<i64>,
    /// The platform's word for the state of the run; Pending until the platform has it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub phase: Option<Phase>,
    /// Id of the execution at the platform.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub execution_id: Option<String>,
    /// Id of the graph that runs, also for inline graphs.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 36))]
    pub graph_id: Option<String>,
    /// Its version.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0))]
    pub graph_version: Option<i32>,
    /// SHA-256 of an inline graph or one from a ConfigMap as it was when it was first seen.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 64))]
    pub graph_hash: Option<String>,
    /// When the run started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<Time>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_time: Option<Time>,
    /// Node executions by state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub nodes: Option<NodeCounts>,
    /// What the output blocks received, by the name of the output: while the run is under way what there is so far, about once a second.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(schema_with = "inputs")]
    pub outputs: Option<Map<String, Value>>,
    /// True when `outputs` is not everything.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub outputs_truncated: Option<bool>,
    /// What happened, in a sentence.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 32_768))]
    pub message: Option<String>,
    /// Accepted, SpecValid, Succeeded, Failed.
    #[serde(default)]
    #[schemars(schema_with = "condition_list")]
    pub conditions: Vec<Condition>,
}

/// The contract's status words, and Pending for a run that the platform does not have yet.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Phase {
    Pending,
    #[serde(rename = "INCOMPLETE")]
    Incomplete,
    #[serde(rename = "QUEUED")]
    Queued,
    #[serde(rename = "RUNNING")]
    Running,
    #[serde(rename = "REVIEW")]
    Review,
    #[serde(rename = "COMPLETED")]
    Completed,
    #[serde(rename = "TERMINATED")]
    Terminated,
    #[serde(rename = "FAILED")]
    Failed,
}

impl Phase {
    /// A run in this phase never changes again.
    pub fn is_terminal(self) -> bool {
        matches!(self, Self::Completed | Self::Terminated | Self::Failed)
    }
}

/// Node executions by state.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeCounts {
    /// All of them.
    #[schemars(range(min = 0))]
    pub total: i64,
    /// Waiting or running.
    #[schemars(range(min = 0))]
    pub active: i64,
    /// Ended well.
    #[schemars(range(min = 0))]
    pub completed: i64,
    /// Ended badly.
    #[schemars(range(min = 0))]
    pub failed: i64,
    /// Those of a run under way that started or ended last, the newest last, about once a second. Gone when the run is over: the platform
    /// keeps them all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 10), extend("x-kubernetes-list-type" = "atomic"))]
    pub latest: Vec<NodeRun>,
}

/// One node execution.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NodeRun {
    /// Its id at the platform.
    #[schemars(length(max = 36))]
    pub id: String,
    /// Id of its node in the graph as the platform has it.
    #[schemars(length(max = 36))]
    pub node_id: String,
    /// What the graph calls the node (`metadata.customized_name`), else the name of its block.
    #[schemars(length(max = 128))]
    pub name: String,
    /// The platform's word for its state.
    pub status: Phase,
    /// When it started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_time: Option<MicroTime>,
    /// When it ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end_time: Option<MicroTime>,
    /// Why it failed, cut short.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(length(max = 512))]
    pub error: Option<String>,
}
