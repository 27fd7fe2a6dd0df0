//! `follow`: an execution until it is over, a line for each change, then its outputs.

use std::io::Write;

use chrono::{DateTime, Utc};
use crds::conditions::{self, FAILED, SUCCEEDED};
use crds::execution::Phase;
use crds::{GraphExecution, GraphExecutionStatus};
use futures::TryStreamExt;
use kube::runtime::watcher::watch_object;
use serde_json::Value;

use super::Done;
use crate::cluster::Cluster;
use crate::complaint::{Complaint, chain};

pub async fn run(cluster: &Cluster, name: &str, out: &mut impl Write) -> Result<Done, Complaint> {
    // A name that does not exist is an error at once.
    cluster.get::<GraphExecution>(name).await?;
    let mut last = String::new();
    let status = until_over(cluster, name, |status| {
        let line = progress(status);
        if line != last {
            writeln!(out, "{}  {line}", Utc::now().format("%H:%M:%S"))?;
            out.flush()?;
            last = line;
        }
        Ok(())
    })
    .await?;
    write!(out, "{}", ending(name, &status))?;
    Ok(if is_failure(&status) { Done::RunFailed } else { Done::Well })
}

/// Watches an execution until it is over; each state goes to `see`.
pub async fn until_over(
    cluster: &Cluster,
    name: &str,
    mut see: impl FnMut(&GraphExecutionStatus) -> std::io::Result<()>,
) -> Result<GraphExecutionStatus, Complaint> {
    let mut states = Box::pin(watch_object(cluster.api::<GraphExecution>(), name));
    loop {
        let state = match states.try_next().await {
            Ok(Some(state)) => state,
            // The watch starts over by itself; what cannot be mended ends with the next read.
            Err(error) => {
                cluster.get::<GraphExecution>(name).await?;
                tokio::time::sleep(std::time::Duration::from_millis(500)).await;
                let _ = chain(&error);
                continue;
            }
            Ok(None) => None,
        };
        let Some(execution) = state else {
            return Err(Complaint::new(
                format!("GraphExecution {name} was deleted meanwhile"),
                "its run was stopped with it; start a new one",
            ));
        };
        let status = execution.status.unwrap_or_default();
        see(&status)?;
        if status.phase.is_some_and(Phase::is_terminal) {
            return Ok(status);
        }
    }
}

/// The contract's word for a phase.
pub fn word(phase: Phase) -> String {
    match serde_json::to_value(phase) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

/// One line about a run under way.
fn progress(status: &GraphExecutionStatus) -> String {
    let phase = word(status.phase.unwrap_or(Phase::Pending));
    let mut line = phase;
    if let Some(nodes) = status.nodes.as_ref().filter(|nodes| nodes.total > 0) {
        line.push_str(&format!("  {} of {} nodes done", nodes.completed + nodes.failed, nodes.total));
        for (count, what) in [(nodes.active, "under way"), (nodes.failed, "failed")] {
            if count > 0 {
                line.push_str(&format!(", {count} {what}"));
            }
        }
    }
    let over = status.phase.is_some_and(Phase::is_terminal);
    if let Some(message) = status.message.as_ref().filter(|_| !over) {
        line.push_str(&format!("  {message}"));
    }
    line
}

/// What a finished run has to say.
fn ending(name: &str, status: &GraphExecutionStatus) -> String {
    let mut text = String::new();
    for (output, values) in status.outputs.iter().flatten() {
        for value in values.as_array().into_iter().flatten() {
            let shown = match value {
                Value::String(line) => line.clone(),
                other => other.to_string(),
            };
            text.push_str(&format!("{output}: {shown}\n"));
        }
    }
    let verdict = match (holds(status, SUCCEEDED), holds(status, FAILED)) {
        (true, _) => "succeeded",
        (_, true) => "failed",
        _ => "was stopped",
    };
    let took = took(status).map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
    text.push_str(&format!(
        "{name} {verdict}{took}: {}\n",
        status.message.as_deref().unwrap_or("no message")
    ));
    if holds(status, FAILED) && status.execution_id.is_some() {
        text.push_str(&format!("`kubectl autogpt retry {name}` goes on where it failed\n"));
    }
    text
}

fn took(status: &GraphExecutionStatus) -> Option<i64> {
    let (start, end) = (status.start_time.as_ref()?, status.completion_time.as_ref()?);
    let span: DateTime<Utc> = crate::time::instant(end);
    Some((span - crate::time::instant(start)).num_seconds())
}

/// Stopped on demand is no failure of the command, but no success of the run either.
fn is_failure(status: &GraphExecutionStatus) -> bool {
    !holds(status, SUCCEEDED)
}

fn holds(status: &GraphExecutionStatus, kind: &str) -> bool {
    conditions::is_true(&status.conditions, kind)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn status(value: Value) -> GraphExecutionStatus {
        serde_json::from_value(value).unwrap()
    }

    #[test]
    fn a_line_tells_phase_nodes_and_what_it_waits_for() {
        assert_eq!(progress(&GraphExecutionStatus::default()), "Pending");
        let waiting = status(json!({"phase": "Pending", "message": "there is no AutoGPTPlatform p"}));
        assert_eq!(progress(&waiting), "Pending  there is no AutoGPTPlatform p");
        let nodes = json!({"total": 7, "active": 2, "completed": 3, "failed": 1});
        assert_eq!(
            progress(&status(json!({"phase": "RUNNING", "nodes": nodes}))),
            "RUNNING  4 of 7 nodes done, 2 under way, 1 failed"
        );
    }

    #[test]
    fn the_end_shows_outputs_and_verdict() {
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let well = status(json!({
            "phase": "COMPLETED", "executionId": "e", "outputs": {"a": ["x", 1], "b": [{"c": []}]}, "message": "completed: 3 node executions",
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:02Z", "conditions": [condition("Succeeded")],
        }));
        assert_eq!(
            ending("e", &well),
            "a: x\na: 1\nb: {\"c\":[]}\ne succeeded after 2 s: completed: 3 node executions\n"
        );
        assert!(!is_failure(&well));
        let failed = status(json!({"phase": "FAILED", "executionId": "e", "message": "no", "conditions": [condition("Failed")]}));
        assert_eq!(ending("e", &failed), "e failed: no\n`kubectl autogpt retry e` goes on where it failed\n");
        assert!(is_failure(&failed));
    }
}
