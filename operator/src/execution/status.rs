//! The status of an execution. Pure.

use crds::GraphExecution;
use crds::conditions::{self, reason, set, set_unknown};
use crds::execution::{GraphExecutionStatus, NodeCounts, NodeRun, Phase};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use model::progress::{Look, NodeProgress, RunProgress, Submitted};
use model::{ExecutionStatus, PAST_DEADLINE};

use crate::execution::outputs;
use crate::runtime::time;

/// Longest message of a run.
const MESSAGE: usize = 8192;
/// Longest reason of a node.
const NODE_ERROR: usize = 512;
/// Longest name of a node.
const NODE_NAME: usize = 128;
/// What the schema takes of the newest node executions.
const LATEST: usize = 10;

/// The contract's word for the state of a run.
pub fn phase(status: ExecutionStatus) -> Phase {
    match status {
        ExecutionStatus::Incomplete => Phase::Incomplete,
        ExecutionStatus::Queued => Phase::Queued,
        ExecutionStatus::Running => Phase::Running,
        ExecutionStatus::Review => Phase::Review,
        ExecutionStatus::Completed => Phase::Completed,
        ExecutionStatus::Terminated => Phase::Terminated,
        ExecutionStatus::Failed => Phase::Failed,
    }
}

/// Whether its run is over.
pub fn is_over(execution: &GraphExecution) -> bool {
    let phase = execution.status.as_ref().and_then(|status| status.phase);
    phase.is_some_and(|phase| phase.is_terminal())
}

/// Leaves out what a run under way shows of its nodes and outputs: all of it is in the next look.
pub fn without_look(status: &mut GraphExecutionStatus) {
    status.outputs = None;
    if let Some(nodes) = &mut status.nodes {
        nodes.latest.clear();
    }
}

/// Whether there is something that [`without_look`] leaves out.
pub fn has_look(status: &GraphExecutionStatus) -> bool {
    status.outputs.is_some() || status.nodes.as_ref().is_some_and(|nodes| !nodes.latest.is_empty())
}

/// The platform does not have the run yet, and why.
pub fn pending(execution: &GraphExecution, why: &str, message: &str, now: &Time) -> GraphExecutionStatus {
    let generation = execution.metadata.generation;
    let mut status = before(execution);
    status.phase.get_or_insert(Phase::Pending);
    status.message = Some(message.to_owned());
    let list = &mut status.conditions;
    set(list, conditions::ACCEPTED, false, why, message, generation, now);
    unfinished(&mut status, generation, now);
    status
}

/// The platform will never take the run.
pub fn refused(execution: &GraphExecution, spec_valid: bool, why: &str, message: &str, now: &Time) -> GraphExecutionStatus {
    let generation = execution.metadata.generation;
    let mut message = message.to_owned();
    conditions::truncate(&mut message, MESSAGE);
    let mut status = before(execution);
    status.phase = Some(Phase::Failed);
    status.completion_time = Some(now.clone());
    status.message = Some(message.clone());
    let list = &mut status.conditions;
    set(
        list,
        conditions::SPEC_VALID,
        spec_valid,
        if spec_valid { reason::AS_EXPECTED } else { why },
        &message,
        generation,
        now,
    );
    set(list, conditions::ACCEPTED, false, why, &message, generation, now);
    set(list, conditions::SUCCEEDED, false, why, &message, generation, now);
    set(list, conditions::FAILED, true, why, message, generation, now);
    status
}

/// Cancelled before the platform had it.
pub fn cancelled_unsubmitted(execution: &GraphExecution, now: &Time) -> GraphExecutionStatus {
    unsubmitted(execution, reason::CANCELLED, "cancelled before it was submitted: nothing ran", now)
}

/// It neither succeeded nor failed.
fn unsubmitted(execution: &GraphExecution, why: &str, message: &str, now: &Time) -> GraphExecutionStatus {
    let generation = execution.metadata.generation;
    let mut status = before(execution);
    status.phase = Some(Phase::Terminated);
    status.completion_time = Some(now.clone());
    status.message = Some(message.to_owned());
    for kind in [conditions::ACCEPTED, conditions::SUCCEEDED, conditions::FAILED] {
        set(&mut status.conditions, kind, false, why, message, generation, now);
    }
    status
}

/// An execution of a due time of which its schedule decided otherwise: it never runs.
pub fn superseded(execution: &GraphExecution, message: &str, now: &Time) -> GraphExecutionStatus {
    unsubmitted(execution, reason::SUPERSEDED, message, now)
}

/// The platform has the run.
pub fn accepted(execution: &GraphExecution, submitted: &Submitted, hash: Option<String>, now: &Time) -> GraphExecutionStatus {
    let generation = execution.metadata.generation;
    let mut status = before(execution);
    status.execution_id = Some(submitted.graph_exec_id.to_string());
    status.graph_id = Some(submitted.graph_id.to_string());
    status.graph_version = Some(submitted.graph_version);
    status.graph_hash = hash;
    // A run that was over before is reported with its outcome by its progress.
    let known = phase(submitted.status);
    status.phase = Some(if known.is_terminal() { Phase::Running } else { known });
    status.message = None;
    let list = &mut status.conditions;
    set(
        list,
        conditions::SPEC_VALID,
        true,
        reason::AS_EXPECTED,
        "the platform validated the graph and its inputs",
        generation,
        now,
    );
    set(
        list,
        conditions::ACCEPTED,
        true,
        reason::SUBMITTED,
        "the platform has the run",
        generation,
        now,
    );
    unfinished(&mut status, generation, now);
    status
}

/// The run as its progress reports it. Without a look a run under way shows what it showed before.
pub fn followed(execution: &GraphExecution, progress: &RunProgress, now: &Time) -> GraphExecutionStatus {
    let generation = execution.metadata.generation;
    let mut status = before(execution);
    let phase = phase(progress.status);
    status.phase = Some(phase);
    status.execution_id = Some(progress.graph_exec_id.to_string());
    status.graph_id = Some(progress.graph_id.to_string());
    status.graph_version = Some(progress.graph_version);
    status.start_time = progress.started_at.map(|at| time::from_chrono(at.into_inner()));
    let mut nodes = counts(progress);
    if phase.is_terminal() {
        status.completion_time = Some(progress.ended_at.map_or_else(|| now.clone(), |at| time::from_chrono(at.into_inner())));
        if let Some(all) = &progress.outputs {
            let (kept, truncated) = outputs::fit(all);
            status.outputs = Some(kept);
            status.outputs_truncated = truncated.then_some(true);
        }
        set(
            &mut status.conditions,
            conditions::ACCEPTED,
            true,
            reason::SUBMITTED,
            "the platform has the run",
            generation,
            now,
        );
        verdict(&mut status, execution, progress, &nodes, generation, now);
    } else {
        unfinished(&mut status, generation, now);
        match &progress.look {
            Some(look) => {
                nodes.latest = latest(look);
                let (kept, truncated) = outputs::fit(&look.outputs);
                status.outputs = (!kept.is_empty()).then_some(kept);
                status.outputs_truncated = (truncated || look.is_cut).then_some(true);
            }
            None => nodes.latest = status.nodes.take().map(|before| before.latest).unwrap_or_default(),
        }
    }
    status.nodes = Some(nodes);
    status
}

fn verdict(
    status: &mut GraphExecutionStatus,
    execution: &GraphExecution,
    progress: &RunProgress,
    nodes: &NodeCounts,
    generation: Option<i64>,
    now: &Time,
) {
    let failed_nodes = nodes.failed.max(progress.stats.as_ref().map_or(0, |stats| stats.node_error_count));
    let error = progress
        .stats
        .as_ref()
        .and_then(|stats| stats.error.clone())
        .filter(|error| !error.is_empty());
    let (succeeded, failed, why, mut message) = match progress.status {
        ExecutionStatus::Completed if failed_nodes > 0 && !execution.spec.ignore_node_errors => {
            let detail = error.map(|error| format!(": {error}")).unwrap_or_default();
            let message = format!(
                "completed, but {failed_nodes} of {} node executions failed{detail}; a new one with spec.retryOf goes on from there, one with spec.ignoreNodeErrors takes it as it is",
                nodes.total
            );
            (false, true, reason::NODES_FAILED, message)
        }
        ExecutionStatus::Completed => (true, false, reason::COMPLETED, format!("completed: {} node executions", nodes.total)),
        ExecutionStatus::Terminated if error.as_deref() == Some(PAST_DEADLINE) => {
            let message = match &execution.spec.deadline {
                Some(deadline) => {
                    format!("ended: it was not over within its deadline of {deadline}; make a new one with more time or without a deadline")
                }
                None => "ended: it was not over within the platform's limit for runs; make a new one with a longer spec.deadline".to_owned(),
            };
            (false, true, reason::DEADLINE_EXCEEDED, message)
        }
        ExecutionStatus::Terminated if execution.spec.cancel => (false, false, reason::CANCELLED, "stopped because spec.cancel is true".to_owned()),
        ExecutionStatus::Terminated => (
            false,
            false,
            reason::TERMINATED,
            error.unwrap_or_else(|| "stopped at the platform".to_owned()),
        ),
        _ => (false, true, reason::RUN_FAILED, error.unwrap_or_else(|| "the run failed".to_owned())),
    };
    if status.outputs_truncated == Some(true) {
        let place = format!("/api/graphs/{}/executions/{}", progress.graph_id, progress.graph_exec_id);
        message = format!("{message}; outputs are cut short here, GET {place} has all of them");
    }
    conditions::truncate(&mut message, MESSAGE);
    set(&mut status.conditions, conditions::SUCCEEDED, succeeded, why, &message, generation, now);
    set(&mut status.conditions, conditions::FAILED, failed, why, &message, generation, now);
    status.message = Some(message);
}

fn unfinished(status: &mut GraphExecutionStatus, generation: Option<i64>, now: &Time) {
    for kind in [conditions::SUCCEEDED, conditions::FAILED] {
        set_unknown(&mut status.conditions, kind, reason::NOT_FINISHED, "the run is not over", generation, now);
    }
}

fn counts(progress: &RunProgress) -> NodeCounts {
    let of = |status: ExecutionStatus| progress.node_counts.get(status.as_str()).copied().unwrap_or_default();
    let active = of(ExecutionStatus::Queued) + of(ExecutionStatus::Running) + of(ExecutionStatus::Review);
    let (completed, failed) = (of(ExecutionStatus::Completed), of(ExecutionStatus::Failed));
    NodeCounts {
        // Nodes that wait for inputs which may never come are not counted, as in the contract.
        total: active + completed + failed + of(ExecutionStatus::Terminated),
        active,
        completed,
        failed,
        latest: Vec::new(),
    }
}

fn latest(look: &Look) -> Vec<NodeRun> {
    let newest = look.nodes.get(look.nodes.len().saturating_sub(LATEST)..).unwrap_or_default();
    newest.iter().map(node_run).collect()
}

fn node_run(node: &NodeProgress) -> NodeRun {
    let short = |text: &str, most: usize| {
        let mut text = text.to_owned();
        conditions::truncate(&mut text, most);
        text
    };
    let node_id = node.node_id.to_string();
    NodeRun {
        id: node.node_exec_id.to_string(),
        name: short(node.name.as_deref().unwrap_or(&node_id), NODE_NAME),
        node_id,
        status: phase(node.status),
        start_time: node.started_at.map(|at| time::with_micros(at.into_inner())),
        end_time: node.ended_at.map(|at| time::with_micros(at.into_inner())),
        error: node.error.as_deref().map(|error| short(error, NODE_ERROR)),
    }
}

fn before(execution: &GraphExecution) -> GraphExecutionStatus {
    let mut status = execution.status.clone().unwrap_or_default();
    status.observed_generation = execution.metadata.generation;
    status
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn execution(spec: Value) -> GraphExecution {
        let mut object = json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "e", "uid": "u", "generation": 2},
            "spec": {"platformRef": {"name": "p"}, "graph": {}},
        });
        object["spec"].as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(object).unwrap()
    }

    fn progress(status: &str, nodes: Value, outputs: Value) -> RunProgress {
        serde_json::from_value(json!({
            "graph_exec_id": "0190f1d2-0000-7000-8000-000000000001", "idempotency_key": "u",
            "graph_id": "0190f1d2-0000-7000-8000-000000000002", "graph_version": 1, "status": status,
            "started_at": "2026-01-01T00:00:00Z", "ended_at": "2026-01-01T00:00:02Z",
            "stats": {"node_error_count": 0, "error": null}, "node_counts": nodes, "outputs": outputs,
        }))
        .unwrap()
    }

    fn verdict_of(status: &GraphExecutionStatus) -> (&str, &str, &str) {
        let get = |kind| conditions::get(&status.conditions, kind).unwrap();
        (
            &get(conditions::SUCCEEDED).status,
            &get(conditions::FAILED).status,
            &get(conditions::FAILED).reason,
        )
    }

    fn now() -> Time {
        serde_json::from_value(json!("2026-01-01T00:01:00Z")).unwrap()
    }

    #[test]
    fn a_run_that_completed_succeeded_and_shows_its_outputs() {
        let done = followed(
            &execution(json!({})),
            &progress("COMPLETED", json!({"COMPLETED": 3, "INCOMPLETE": 1}), json!({"y": [1]})),
            &now(),
        );
        assert_eq!(verdict_of(&done), ("True", "False", reason::COMPLETED));
        assert_eq!((done.phase, done.nodes.unwrap().total), (Some(Phase::Completed), 3));
        assert_eq!(Value::Object(done.outputs.unwrap()), json!({"y": [1]}));
        assert_eq!(serde_json::to_value(done.completion_time).unwrap(), "2026-01-01T00:00:02Z");
    }

    #[test]
    fn failed_nodes_fail_the_run_unless_ignored() {
        let run = progress("COMPLETED", json!({"COMPLETED": 2, "FAILED": 1}), json!({}));
        assert_eq!(
            verdict_of(&followed(&execution(json!({})), &run, &now())),
            ("False", "True", reason::NODES_FAILED)
        );
        let ignoring = execution(json!({"ignoreNodeErrors": true}));
        assert_eq!(verdict_of(&followed(&ignoring, &run, &now())), ("True", "False", reason::COMPLETED));
    }

    #[test]
    fn a_cancelled_run_neither_succeeded_nor_failed() {
        let run = progress("TERMINATED", json!({}), Value::Null);
        let done = followed(&execution(json!({"cancel": true})), &run, &now());
        assert_eq!(verdict_of(&done), ("False", "False", reason::CANCELLED));
    }

    #[test]
    fn a_run_ended_by_a_deadline_failed() {
        let mut run = progress("TERMINATED", json!({}), Value::Null);
        run.stats.as_mut().unwrap().error = Some(PAST_DEADLINE.to_owned());
        for (spec, words) in [
            (json!({"deadline": "90s"}), "deadline of 90s"),
            (json!({"deadline": "90s", "cancel": true}), "deadline of 90s"),
            (json!({}), "longer spec.deadline"),
        ] {
            let done = followed(&execution(spec.clone()), &run, &now());
            assert_eq!(verdict_of(&done), ("False", "True", reason::DEADLINE_EXCEEDED), "{spec}");
            assert_eq!(done.phase, Some(Phase::Terminated));
            assert!(done.message.unwrap().contains(words), "{spec}");
        }
    }

    #[test]
    fn a_run_under_way_has_no_verdict() {
        let under_way = followed(&execution(json!({})), &progress("RUNNING", json!({"RUNNING": 1}), Value::Null), &now());
        assert_eq!(verdict_of(&under_way), ("Unknown", "Unknown", reason::NOT_FINISHED));
        assert_eq!(under_way.completion_time, None);
    }

    #[test]
    fn a_run_under_way_shows_its_newest_nodes_and_its_outputs_so_far() {
        let mut run = progress("RUNNING", json!({"RUNNING": 1, "FAILED": 1}), Value::Null);
        let id = "0190f1d2-0000-7000-8000-000000000003";
        let node = |status: &str, name: Value, error: Value| {
            json!({"node_exec_id": id, "node_id": id, "block_id": id, "name": name, "status": status,
                "started_at": "2026-01-01T00:00:00.25Z", "ended_at": null, "error": error})
        };
        let mut nodes = vec![node("COMPLETED", json!("early"), Value::Null); LATEST];
        nodes.push(node("FAILED", json!("n".repeat(999)), json!("é".repeat(999))));
        nodes.push(node("RUNNING", Value::Null, Value::Null));
        run.look = Some(serde_json::from_value(json!({"nodes": nodes, "outputs": {"y": ["x".repeat(100_000)]}, "is_cut": false})).unwrap());
        let mut object = execution(json!({}));
        let shown = followed(&object, &run, &now());
        let latest = &shown.nodes.as_ref().unwrap().latest;
        assert_eq!((latest.len(), latest[0].name.as_str(), latest[9].name.as_str()), (LATEST, "early", id));
        assert_eq!(latest[9].status, Phase::Running);
        assert_eq!(serde_json::to_value(&latest[9].start_time).unwrap(), "2026-01-01T00:00:00.250000Z");
        assert!(latest[8].name.len() <= NODE_NAME && latest[8].error.as_ref().unwrap().len() <= NODE_ERROR);
        assert!(shown.outputs.as_ref().unwrap()["y"][0].as_str().unwrap().len() <= outputs::LIMIT);
        assert_eq!(shown.outputs_truncated, Some(true));

        // A change of status brings no look, and the end has no nodes.
        object.status = Some(shown.clone());
        run.look = None;
        run.status = ExecutionStatus::Review;
        assert_eq!(
            followed(&object, &run, &now()),
            GraphExecutionStatus {
                phase: Some(Phase::Review),
                ..shown
            }
        );
        let over = followed(&object, &progress("COMPLETED", json!({"COMPLETED": 2}), json!({"y": [1]})), &now());
        assert!(over.nodes.unwrap().latest.is_empty());
        assert_eq!((over.outputs.map(Value::Object), over.outputs_truncated), (Some(json!({"y": [1]})), None));
    }

    #[test]
    fn outputs_that_were_cut_say_where_the_rest_is() {
        let run = progress("COMPLETED", json!({}), json!({"long": ["x".repeat(100_000)]}));
        let done = followed(&execution(json!({})), &run, &now());
        assert_eq!(done.outputs_truncated, Some(true));
        assert!(
            done.message
                .unwrap()
                .contains("/api/graphs/0190f1d2-0000-7000-8000-000000000002/executions/")
        );
    }

    #[test]
    fn a_run_that_was_over_before_it_was_submitted_waits_for_its_progress() {
        let submitted: Submitted = serde_json::from_value(json!({
            "graph_exec_id": "0190f1d2-0000-7000-8000-000000000001", "graph_id": "0190f1d2-0000-7000-8000-000000000002",
            "graph_version": 1, "status": "COMPLETED", "created": false,
        }))
        .unwrap();
        let status = accepted(&execution(json!({})), &submitted, None, &now());
        assert!(!status.phase.unwrap().is_terminal());
    }
}
