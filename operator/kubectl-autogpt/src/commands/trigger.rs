//! `trigger`: one run of a schedule's graph now.

use std::hash::{BuildHasher, Hasher, RandomState};
use std::io::Write;
use std::time::Duration;

use chrono::Utc;
use crds::schedule::{Decision, Outcome};
use crds::{ANNOTATION_RUN_NOW, GraphSchedule, GraphScheduleStatus};
use kube::ResourceExt;
use operator::schedule::spec;
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::{Done, follow, watch};
use crate::cluster::Cluster;
use crate::complaint::Complaint;

/// The operator answers a request within moments, if it is there.
const PATIENCE: Duration = Duration::from_secs(15);
/// So long others may ask before it is this one's turn.
const TURN: Duration = Duration::from_secs(60);

/// What became of a request.
#[derive(Debug, PartialEq)]
enum Fate {
    Decided(Decision),
    /// It was decided, and newer decisions have taken the place of that one.
    Forgotten,
    /// Before it was decided, its place was taken: by another one, or by none.
    Replaced(Option<String>),
}

pub async fn run(cluster: &Cluster, name: &str, follow: bool, out: &mut impl Write) -> Result<Done, Complaint> {
    let request = request();
    ask(cluster, name, &request).await?;
    let mut decision = decided(name, outcome(cluster, name, &request).await?)?;
    if decision.outcome == Outcome::Buffered {
        writeln!(out, "{name} waits: {}", decision.reason.as_deref().unwrap_or("something of it runs"))?;
        if !follow {
            return Ok(Done::Well);
        }
        out.flush()?;
        // As long as what runs needs.
        let over = watch::until(cluster, name, |schedule| fate_of_waiting(schedule, &request));
        decision = decided(name, over.await?)?;
    }
    let Some(execution) = decision.execution else {
        let reason = decision.reason.unwrap_or_default();
        return Err(Complaint::new(format!("{name} did not run: {reason}"), see(name)));
    };
    writeln!(out, "graphexecution/{execution} created")?;
    if follow {
        return follow::run(cluster, &execution, out).await;
    }
    Ok(Done::Well)
}

/// The decision, where there is one.
fn decided(name: &str, fate: Fate) -> Result<Decision, Complaint> {
    match fate {
        Fate::Decided(decision) => Ok(decision),
        Fate::Forgotten => Err(Complaint::new(
            format!("{name} was asked to run, and what was decided about that is not among its newest decisions any more"),
            see(name),
        )),
        Fate::Replaced(by) => {
            let by = by.map_or_else(|| "was taken away".to_owned(), |other| format!("was replaced by another one, {other:?},"));
            Err(Complaint::new(
                format!("the request to run {name} {by} before anything came of it: it will not run"),
                format!("ask again: `kubectl autogpt trigger {name}`"),
            ))
        }
    }
}

fn see(name: &str) -> String {
    format!("see `kubectl autogpt why {name}`")
}

/// A text that nobody else asks with: many may ask within the same millisecond.
fn request() -> String {
    let salt = RandomState::new().build_hasher().finish() >> 32;
    format!("kubectl-{}-{salt:08x}", Utc::now().format("%Y%m%dT%H%M%S%.3fZ"))
}

/// Puts the request into the schedule, which carries one at a time: as soon as the one before has its decision.
async fn ask(cluster: &Cluster, name: &str, request: &str) -> Result<(), Complaint> {
    let end = Instant::now() + TURN;
    loop {
        let schedule: GraphSchedule = cluster.get(name).await?;
        if let Some(before) = open(&schedule) {
            let over = watch::until(cluster, name, |schedule| (open(schedule).as_ref() != Some(&before)).then_some(()));
            match timeout(PATIENCE, over).await {
                Ok(seen) => seen?,
                Err(_) => {
                    return Err(Complaint::new(
                        format!(
                            "{name} was not asked to run: another request, {before:?}, is before this one, and nothing came of it within {} s",
                            PATIENCE.as_secs()
                        ),
                        format!("are the operator and the platform there? see `kubectl autogpt why {name}`, and ask again"),
                    ));
                }
            }
        } else {
            let patch = json!({"metadata": {"resourceVersion": schedule.resource_version(), "annotations": {ANNOTATION_RUN_NOW: request}}});
            if cluster.merge_unless_changed::<GraphSchedule>(name, &patch).await? {
                return Ok(());
            }
        }
        if Instant::now() >= end {
            return Err(Complaint::new(
                format!("{name} was not asked to run: others have asked before, for {} s", TURN.as_secs()),
                "ask again when fewer do",
            ));
        }
    }
}

/// The request that the schedule carries and that has no decision yet.
fn open(schedule: &GraphSchedule) -> Option<String> {
    let known = schedule.status.as_ref().and_then(|status| status.run_now.as_ref());
    spec::run_now(schedule).filter(|request| !known.is_some_and(|known| known.decided && known.request == *request))
}

/// Waits until something has become of the request.
async fn outcome(cluster: &Cluster, name: &str, request: &str) -> Result<Fate, Complaint> {
    let seen = watch::until(cluster, name, |schedule| fate(schedule, request));
    if let Ok(fate) = timeout(PATIENCE, seen).await {
        return fate;
    }
    // What is said about the request must hold now.
    let schedule: GraphSchedule = cluster.get(name).await?;
    fate(&schedule, request).ok_or_else(|| {
        Complaint::new(
            format!("{name} was asked to run, and nothing came of it within {} s", PATIENCE.as_secs()),
            format!("the request stays; are the operator and the platform there? `kubectl autogpt why {name}` shows what becomes of it"),
        )
    })
}

/// What became of a request that waited, once it does no more.
fn fate_of_waiting(schedule: &GraphSchedule, request: &str) -> Option<Fate> {
    let status = schedule.status.as_ref()?;
    let key = format!("/{}", behalf(request));
    // Newer decisions may have taken the place of the one to wait.
    if status.buffer.iter().any(|due| due.ends_with(&key)) {
        return None;
    }
    let decision = newest(status, request).filter(|decision| decision.outcome != Outcome::Buffered);
    Some(decision.map_or(Fate::Forgotten, Fate::Decided))
}

/// What was decided last about the request, as long as that is among the newest decisions.
fn newest(status: &GraphScheduleStatus, request: &str) -> Option<Decision> {
    let behalf = behalf(request);
    let mine = |decision: &&Decision| decision.request.as_ref() == Some(&behalf);
    status.recent_decisions.iter().find(mine).cloned()
}

fn behalf(request: &str) -> String {
    format!("run-now/{request}")
}

/// What became of the request, once that is known.
fn fate(schedule: &GraphSchedule, request: &str) -> Option<Fate> {
    let status = schedule.status.clone().unwrap_or_default();
    if let Some(decision) = newest(&status, request) {
        return Some(Fate::Decided(decision));
    }
    let known = status.run_now.filter(|known| known.request == request);
    if known.as_ref().is_some_and(|known| known.decided) {
        return Some(Fate::Forgotten);
    }
    match spec::run_now(schedule) {
        Some(carried) if carried == request => None,
        // The operator has taken note of it.
        None if known.is_some() => None,
        other => Some(Fate::Replaced(other)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::Value;

    fn schedule(carried: Option<&str>, status: Value) -> GraphSchedule {
        let annotations = carried.map(|request| json!({ANNOTATION_RUN_NOW: request}));
        let spec = json!({"platformRef": {"name": "p"}, "graph": {}, "schedules": ["@daily"]});
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s", "annotations": annotations}, "spec": spec, "status": status,
        }))
        .unwrap()
    }

    fn known(request: &str, decided: bool) -> Value {
        json!({"runNow": {"request": request, "slot": "2026-01-01T00:00:00Z", "decided": decided}})
    }

    #[test]
    fn a_request_is_one_of_its_own_that_the_operator_keeps_as_it_is() {
        let requests: std::collections::BTreeSet<String> = (0..1000).map(|_| request()).collect();
        assert_eq!(requests.len(), 1000);
        for request in requests {
            assert_eq!(spec::run_now(&schedule(Some(&request), json!({}))), Some(request));
        }
    }

    #[test]
    fn a_request_is_open_until_it_is_decided() {
        for (carried, status, expected) in [
            (None, json!({}), None),
            (Some("a"), json!({}), Some("a")),
            (Some("a"), known("a", false), Some("a")),
            (Some("a"), known("a", true), None),
            (Some("b"), known("a", true), Some("b")),
        ] {
            assert_eq!(open(&schedule(carried, status.clone())).as_deref(), expected, "{carried:?} {status}");
        }
    }

    #[test]
    fn what_became_of_a_request_is_told_truly() {
        let replaced = |by: Option<&str>| Some(Fate::Replaced(by.map(str::to_owned)));
        for (carried, status, expected) in [
            (Some("a"), json!({}), None),
            (Some("a"), known("before", true), None),
            (Some("a"), known("a", false), None),
            (None, known("a", false), None),
            (Some("a"), known("a", true), Some(Fate::Forgotten)),
            (Some("b"), known("a", false), replaced(Some("b"))),
            (None, known("before", true), replaced(None)),
        ] {
            assert_eq!(fate(&schedule(carried, status.clone()), "a"), expected, "{carried:?} {status}");
        }
        let decided = json!({"slot": "2026-01-01T00:00:00Z", "outcome": "Fired", "request": "run-now/a", "execution": "s-x"});
        let next = schedule(Some("b"), json!({"recentDecisions": [decided]}));
        assert!(matches!(fate(&next, "a"), Some(Fate::Decided(decision)) if decision.execution.as_deref() == Some("s-x")));
    }
    #[test]
    fn what_waits_is_waited_for_although_newer_decisions_hide_it() {
        let decision = |outcome: &str, request: &str| json!({"slot": "2026-01-01T00:00:00Z", "outcome": outcome, "request": format!("run-now/{request}"), "reason": "r"});
        let waits = json!({"buffer": ["2026-01-01T00:00:00Z/run-now/a"], "recentDecisions": [decision("Buffered", "a")]});
        let hidden = json!({"buffer": ["2026-01-01T00:00:00Z/run-now/a"], "recentDecisions": [decision("Skipped", "b")]});
        for status in [waits, hidden] {
            assert_eq!(fate_of_waiting(&schedule(Some("b"), status.clone()), "a"), None, "{status}");
        }
        let over = |outcome: &str| fate_of_waiting(&schedule(None, json!({"recentDecisions": [decision(outcome, "a")]})), "a");
        for outcome in ["Fired", "Skipped"] {
            assert!(matches!(over(outcome), Some(Fate::Decided(_))), "{outcome}");
        }
        assert_eq!(fate_of_waiting(&schedule(None, json!({})), "a"), Some(Fate::Forgotten));
    }
}
