//! The three custom resources of `autogpt.dev/v1alpha1` as Rust types: schemas with bounds, CEL rules, printer columns,
//! conditions. No logic: what a field means to the controllers is told in its documentation, which becomes the schema's.
//!
//! `cargo run -p crds --bin crdgen` writes the YAML that the chart installs; a test fails when it is out of date.

pub mod common;
pub mod conditions;
pub mod execution;
pub mod exposure;
pub mod manifest;
pub mod platform;
pub mod schedule;

pub use common::{CredentialReference, CredentialReferences, GraphSource, InputsRef, LocalObjectReference, PlatformRef};
pub use execution::{GraphExecution, GraphExecutionSpec, GraphExecutionStatus};
pub use platform::{AutoGPTPlatform, PlatformSpec, PlatformStatus};
pub use schedule::{GraphSchedule, GraphScheduleSpec, GraphScheduleStatus};

/// The API group of everything here.
pub const GROUP: &str = "autogpt.dev";
/// Its only version so far.
pub const VERSION: &str = "v1alpha1";

/// On a child execution: the name of its schedule.
pub const LABEL_SCHEDULE: &str = "autogpt.dev/schedule";
/// On a child execution: the UID of its schedule, which names the slot's run also when the owner is forgotten.
pub const LABEL_SCHEDULE_UID: &str = "autogpt.dev/schedule-uid";
/// On a schedule: a request to run now. Each new text is one run.
pub const ANNOTATION_RUN_NOW: &str = "autogpt.dev/run-now";
/// On a schedule: a due time, `2026-11-22T16:00:00Z`, that the operator is asked to look up in the ledger, with `#` and any text behind to
/// ask anew. The answer is `status.explanation`.
pub const ANNOTATION_EXPLAIN: &str = "autogpt.dev/explain";
/// Field manager of those who only ask: what it writes is no edit of a schedule.
pub const MANAGER_EXPLAIN: &str = "kubectl-autogpt-why";
/// Where an object comes from, when not from a person: [`ORIGIN_REST`].
pub const LABEL_ORIGIN: &str = "autogpt.dev/origin";
/// Value of [`LABEL_ORIGIN`] on schedules that were made through the REST API.
pub const ORIGIN_REST: &str = "rest";
/// On schedules made through the REST API: the user they belong to.
pub const LABEL_USER: &str = "autogpt.dev/user";
/// On schedules made through the REST API: the graph they run.
pub const LABEL_GRAPH: &str = "autogpt.dev/graph";
/// On schedules: the platform they belong to.
pub const LABEL_PLATFORM: &str = "autogpt.dev/platform";
/// On Secrets that runs may use: the provider whose credential it is.
pub const LABEL_CREDENTIAL: &str = "autogpt.dev/credential";
/// Keeps an execution until its run is over.
pub const EXECUTION_FINALIZER: &str = "autogpt.dev/run";
