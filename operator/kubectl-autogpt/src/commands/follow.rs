//! `follow`: an execution until it is over, a line for each change, each node and each output, then the verdict.

use std::collections::HashMap;
use std::io::Write;

use chrono::{DateTime, Utc};
use crds::conditions::{self, FAILED, SUCCEEDED};
use crds::execution::{NodeRun, Phase};
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
    let mut view = View::default();
    let status = until_over(cluster, name, |status| {
        for line in view.news(status, Utc::now()) {
            writeln!(out, "{line}")?;
        }
        out.flush()
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

/// What has been told of a run.
#[derive(Default)]
struct View {
    progress: String,
    /// Node executions, by their ids.
    nodes: HashMap<String, Phase>,
    /// How many values of each output.
    outputs: HashMap<String, usize>,
}

impl View {
    /// Lines about what has not been told yet.
    fn news(&mut self, status: &GraphExecutionStatus, now: DateTime<Utc>) -> Vec<String> {
        let mut lines = Vec::new();
        let at = now.format("%H:%M:%S");
        let line = progress(status);
        if line != self.progress {
            lines.push(format!("{at}  {line}"));
            self.progress = line;
        }
        for node in status.nodes.iter().flat_map(|nodes| &nodes.latest) {
            if self.nodes.insert(node.id.clone(), node.status) != Some(node.status) {
                lines.push(format!("{at}    {}", node_line(node)));
            }
        }
        for (output, values) in status.outputs.iter().flatten() {
            let values = values.as_array().map(Vec::as_slice).unwrap_or_default();
            let told = self.outputs.entry(output.clone()).or_default();
            lines.extend(values.iter().skip(*told).map(|value| format!("{output}: {}", shown(value))));
            *told = values.len().max(*told);
        }
        lines
    }
}

fn shown(value: &Value) -> String {
    match value {
        Value::String(line) => line.clone(),
        other => other.to_string(),
    }
}

/// Name, state, how long it took, and why it failed.
fn node_line(node: &NodeRun) -> String {
    let mut line = format!("{}  {}", node.name, word(node.status));
    if let (Some(start), Some(end)) = (&node.start_time, &node.end_time) {
        let millis = end.0.as_millisecond() - start.0.as_millisecond();
        line.push_str(&format!(" after {}.{} s", millis / 1000, millis.rem_euclid(1000) / 100));
    }
    if let Some(error) = &node.error {
        // A line stays a line.
        let words: Vec<&str> = error.split_whitespace().collect();
        line.push_str(&format!(": {}", words.join(" ")));
    }
    line
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

/// What became of a finished run.
fn ending(name: &str, status: &GraphExecutionStatus) -> String {
    let verdict = match (holds(status, SUCCEEDED), holds(status, FAILED)) {
        (true, _) => "succeeded",
        (_, true) => "failed",
        _ => "was stopped",
    };
    let took = took(status).map(|seconds| format!(" after {seconds} s")).unwrap_or_default();
    let mut text = format!("{name} {verdict}{took}: {}\n", status.message.as_deref().unwrap_or("no message"));
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
    fn nodes_and_outputs_are_told_once_and_when_they_come() {
        let node = |id: &str, status: &str, end: Option<&str>, error: Option<&str>| {
            json!({"id": id, "nodeId": "n", "name": format!("{id}Block"), "status": status, "startTime": "2026-01-01T00:00:00.500000Z",
                "endTime": end, "error": error})
        };
        let at = |phase: &str, completed: i64, latest: Value, outputs: Value| {
            let nodes = json!({"total": 3, "active": 3 - completed, "completed": completed, "failed": 0, "latest": latest});
            status(json!({"phase": phase, "nodes": nodes, "outputs": outputs}))
        };
        let now = "2026-01-01T12:00:01Z".parse().unwrap();
        let mut view = View::default();
        let quick = node("Quick", "COMPLETED", Some("2026-01-01T00:00:00.620000Z"), None);
        let first = at("RUNNING", 1, json!([quick, node("Slow", "RUNNING", None, None)]), json!({"y": ["one"]}));
        assert_eq!(
            view.news(&first, now),
            [
                "12:00:01  RUNNING  1 of 3 nodes done, 2 under way",
                "12:00:01    QuickBlock  COMPLETED after 0.1 s",
                "12:00:01    SlowBlock  RUNNING",
                "y: one",
            ]
        );
        assert_eq!(view.news(&first, now), [""; 0], "nothing new");
        let failed = node("Slow", "FAILED", Some("2026-01-01T00:01:05.400000Z"), Some("no\nanswer"));
        let second = at("RUNNING", 2, json!([quick, failed]), json!({"y": ["one", "two"], "z": [{"a": 1}]}));
        assert_eq!(
            view.news(&second, now),
            [
                "12:00:01  RUNNING  2 of 3 nodes done, 1 under way",
                "12:00:01    SlowBlock  FAILED after 64.9 s: no answer",
                "y: two",
                "z: {\"a\":1}",
            ]
        );
        let over = at("COMPLETED", 3, json!([]), json!({"y": ["one", "two"], "z": [{"a": 1}, 2]}));
        assert_eq!(view.news(&over, now), ["12:00:01  COMPLETED  3 of 3 nodes done", "z: 2"]);
    }

    #[test]
    fn the_end_shows_the_verdict() {
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "reason": "R", "message": "m", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let well = status(json!({
            "phase": "COMPLETED", "executionId": "e", "message": "completed: 3 node executions",
            "startTime": "2026-01-01T00:00:00Z", "completionTime": "2026-01-01T00:00:02Z", "conditions": [condition("Succeeded")],
        }));
        assert_eq!(ending("e", &well), "e succeeded after 2 s: completed: 3 node executions\n");
        assert!(!is_failure(&well));
        let failed = status(json!({"phase": "FAILED", "executionId": "e", "message": "no", "conditions": [condition("Failed")]}));
        assert_eq!(ending("e", &failed), "e failed: no\n`kubectl autogpt retry e` goes on where it failed\n");
        assert!(is_failure(&failed));
    }
}
