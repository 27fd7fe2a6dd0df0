//! `status`: a namespace on one screen.

use std::io::Write;

use chrono::{DateTime, Utc};
use crds::conditions::{self, FAILED, READY, SUCCEEDED};
use crds::execution::Phase;
use crds::{AutoGPTPlatform, GraphExecution, GraphSchedule};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;

use super::{Done, follow};
use crate::cluster::Cluster;
use crate::complaint::Complaint;
use crate::table::{short, table};
use crate::time::{instant, relative, span};

/// Executions and schedules shown; the rest is counted.
const SHOWN: usize = 10;
/// Characters of a message.
const MESSAGE: usize = 60;

pub async fn run(cluster: &Cluster, out: &mut impl Write) -> Result<Done, Complaint> {
    let (platforms, schedules, executions) = futures::try_join!(
        cluster.list::<AutoGPTPlatform>(),
        cluster.list::<GraphSchedule>(),
        cluster.list::<GraphExecution>()
    )?;
    let now = Utc::now();
    if platforms.is_empty() && schedules.is_empty() && executions.is_empty() {
        writeln!(
            out,
            "nothing of AutoGPT in namespace {}; examples/platform.yaml is a platform",
            cluster.namespace
        )?;
        return Ok(Done::Well);
    }
    for platform in &platforms {
        write!(out, "{}", of_platform(platform))?;
    }
    write!(out, "{}", of_schedules(schedules, now))?;
    write!(out, "{}", of_executions(executions, now))?;
    Ok(Done::Well)
}

fn of_platform(platform: &AutoGPTPlatform) -> String {
    let status = platform.status.clone().unwrap_or_default();
    let ready = conditions::get(&status.conditions, READY);
    let state = match ready {
        Some(ready) if ready.status == "True" => "ready".to_owned(),
        Some(ready) => format!("not ready ({})", ready.reason),
        None => "not looked at yet: is the operator running?".to_owned(),
    };
    let version = status.version.map(|version| format!(", version {version}")).unwrap_or_default();
    let mut text = format!("platform {}: {state}{version}\n", platform.name_any());
    if let Some(ready) = ready.filter(|ready| ready.status != "True") {
        text.push_str(&format!("  {}\n", ready.message));
    }
    let parts: Vec<String> = status
        .components
        .iter()
        .map(|component| format!("{} {}/{}", component.name, component.ready, component.desired))
        .collect();
    if !parts.is_empty() {
        text.push_str(&format!("  {}\n", parts.join("  ")));
    }
    text
}

fn of_schedules(mut schedules: Vec<GraphSchedule>, now: DateTime<Utc>) -> String {
    if schedules.is_empty() {
        return String::new();
    }
    let next = |schedule: &GraphSchedule| {
        let times = schedule
            .status
            .as_ref()
            .map(|status| status.next_fire_times.as_slice())
            .unwrap_or_default();
        times.first().map(instant).filter(|_| schedule.spec.suspend.is_none())
    };
    schedules.sort_by_key(|schedule| (next(schedule).is_none(), next(schedule), schedule.name_any()));
    let suspended = schedules.iter().filter(|schedule| schedule.spec.suspend.is_some()).count();
    let mut text = format!("\n{} schedules, {suspended} suspended\n", schedules.len());
    let rows: Vec<Vec<String>> = schedules
        .iter()
        .take(SHOWN)
        .map(|schedule| {
            let status = schedule.status.clone().unwrap_or_default();
            let ready: Option<&Condition> = conditions::get(&status.conditions, READY);
            vec![
                schedule.name_any(),
                next(schedule).map(|due| relative(due, now)).unwrap_or_default(),
                status
                    .last_fire_time
                    .as_ref()
                    .map(|last| relative(instant(last), now))
                    .unwrap_or_default(),
                ready.map(|ready| ready.reason.clone()).unwrap_or_default(),
            ]
        })
        .collect();
    text.push_str(&table(&["SCHEDULE", "NEXT", "LAST", "STATE"], &rows));
    text.push_str(&more(schedules.len()));
    text
}

fn of_executions(mut executions: Vec<GraphExecution>, now: DateTime<Utc>) -> String {
    if executions.is_empty() {
        return String::new();
    }
    let created = |execution: &GraphExecution| execution.metadata.creation_timestamp.as_ref().map(instant);
    executions.sort_by_key(|execution| std::cmp::Reverse((created(execution), execution.name_any())));
    let count = |wanted: fn(&GraphExecution) -> bool| executions.iter().filter(|execution| wanted(execution)).count();
    let mut text = format!(
        "\n{} executions: {} under way, {} succeeded, {} failed\n",
        executions.len(),
        count(|execution| !phase(execution).is_terminal()),
        count(|execution| holds(execution, SUCCEEDED)),
        count(|execution| holds(execution, FAILED)),
    );
    let rows: Vec<Vec<String>> = executions
        .iter()
        .take(SHOWN)
        .map(|execution| {
            let status = execution.status.clone().unwrap_or_default();
            let nodes = status.nodes.map(|nodes| format!("{}/{}", nodes.completed + nodes.failed, nodes.total));
            vec![
                execution.name_any(),
                follow::word(phase(execution)),
                nodes.unwrap_or_default(),
                created(execution).map(|created| span(now - created)).unwrap_or_default(),
                short(status.message.as_deref().unwrap_or_default(), MESSAGE),
            ]
        })
        .collect();
    text.push_str(&table(&["EXECUTION", "PHASE", "NODES", "AGE", "MESSAGE"], &rows));
    text.push_str(&more(executions.len()));
    text
}

fn more(count: usize) -> String {
    match count.checked_sub(SHOWN) {
        None | Some(0) => String::new(),
        Some(left) => format!("… and {left} more\n"),
    }
}

fn phase(execution: &GraphExecution) -> Phase {
    let status = execution.status.as_ref();
    status.and_then(|status| status.phase).unwrap_or(Phase::Pending)
}

fn holds(execution: &GraphExecution, kind: &str) -> bool {
    let status = execution.status.as_ref();
    status.is_some_and(|status| conditions::is_true(&status.conditions, kind))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn condition(kind: &str, status: &str, reason: &str) -> Value {
        json!({"type": kind, "status": status, "reason": reason, "message": "its message", "lastTransitionTime": "2026-01-01T00:00:00Z"})
    }

    #[test]
    fn a_platform_shows_its_services_and_what_is_wrong() {
        let platform = |ready: &str| -> AutoGPTPlatform {
            serde_json::from_value(json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {},
                "status": {
                    "version": "1.0", "components": [{"name": "rest", "desired": 2, "ready": 1, "updated": 2}],
                    "conditions": [condition("Ready", ready, "Unavailable")],
                },
            }))
            .unwrap()
        };
        assert_eq!(of_platform(&platform("True")), "platform p: ready, version 1.0\n  rest 1/2\n");
        assert_eq!(
            of_platform(&platform("False")),
            "platform p: not ready (Unavailable), version 1.0\n  its message\n  rest 1/2\n"
        );
    }

    #[test]
    fn executions_are_counted_and_the_newest_shown() {
        let execution = |number: i64, phase: &str, verdict: &str| -> GraphExecution {
            serde_json::from_value(json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution",
                "metadata": {"name": format!("e{number:02}"), "creationTimestamp": format!("2026-01-01T00:00:{number:02}Z")},
                "spec": {"platformRef": {"name": "p"}, "graph": {}},
                "status": {"phase": phase, "conditions": [condition(verdict, "True", "R")],
                    "nodes": {"total": 3, "active": 0, "completed": 2, "failed": 1}, "message": "done"},
            }))
            .unwrap()
        };
        let mut all: Vec<GraphExecution> = (0..11).map(|number| execution(number, "COMPLETED", SUCCEEDED)).collect();
        all.push(execution(20, "FAILED", FAILED));
        all.push(execution(30, "RUNNING", "Other"));
        let text = of_executions(all, "2026-01-01T00:01:00Z".parse().unwrap());
        let lines: Vec<&str> = text.lines().collect();
        assert_eq!(lines[1], "13 executions: 1 under way, 11 succeeded, 1 failed");
        assert_eq!(lines[3], "e30         RUNNING     3/3     30s   done");
        assert_eq!((lines.len(), *lines.last().unwrap()), (14, "… and 3 more"));
    }

    #[test]
    fn schedules_stand_in_the_order_in_which_they_are_due() {
        let schedule = |name: &str, next: Option<&str>, suspended: bool| -> GraphSchedule {
            serde_json::from_value(json!({
                "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name},
                "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": ["@daily"], "suspend": suspended.then(|| json!({}))},
                "status": {"nextFireTimes": next.into_iter().collect::<Vec<_>>(), "conditions": [condition("Ready", "True", "Armed")]},
            }))
            .unwrap()
        };
        let text = of_schedules(
            vec![
                schedule("off", Some("2026-01-01T00:10:00Z"), true),
                schedule("later", Some("2026-01-01T01:00:00Z"), false),
                schedule("sooner", Some("2026-01-01T00:30:00Z"), false),
            ],
            "2026-01-01T00:00:00Z".parse().unwrap(),
        );
        assert_eq!(
            text,
            "\n3 schedules, 1 suspended\nSCHEDULE   NEXT     LAST   STATE\nsooner     in 30m          Armed\nlater      in 60m          Armed\noff                        Armed\n"
        );
    }
}
