//! `why`: what a schedule decided, and why.

use std::io::Write;

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
use crds::conditions::{self, READY};
use crds::schedule::Decision;
use serde_json::Value;

use super::{Done, next};
use crate::cluster::Cluster;
use crate::complaint::Complaint;
use crate::table::{short, table};
use crate::time::{instant, relative};

pub async fn run(cluster: &Cluster, name: &str, time: Option<DateTime<Utc>>, out: &mut impl Write) -> Result<Done, Complaint> {
    let schedule: GraphSchedule = cluster.get(name).await?;
    let text = match time {
        None => overview(&schedule, Utc::now()),
        Some(slot) => about(&schedule, slot, Utc::now())?,
    };
    write!(out, "{text}")?;
    Ok(Done::Well)
}

/// The newest decisions, and what holds the schedule up.
fn overview(schedule: &GraphSchedule, now: DateTime<Utc>) -> String {
    let status = schedule.status.clone().unwrap_or_default();
    let mut text = String::new();
    match conditions::get(&status.conditions, READY) {
        Some(ready) => text.push_str(&format!("{}: {}\n", ready.reason, ready.message)),
        None => text.push_str("the operator has not looked at it yet\n"),
    }
    if let Some(next) = status.next_fire_times.first().map(instant).filter(|_| schedule.spec.suspend.is_none()) {
        text.push_str(&format!("next: {} ({})\n", next.format("%FT%TZ"), relative(next, now)));
    }
    for progress in &status.backfills {
        let state = if progress.done { "done" } else { "under way" };
        text.push_str(&format!(
            "backfill {}: {state}, {} fired, {} skipped\n",
            progress.name, progress.fired, progress.skipped
        ));
    }
    for (label, keys) in [("not over", &status.active), ("waiting", &status.buffer)] {
        if !keys.is_empty() {
            text.push_str(&format!("{label}: {}\n", short(&keys.join(", "), 100)));
        }
    }
    if status.recent_decisions.is_empty() {
        text.push_str("nothing was decided yet\n");
        return text;
    }
    let rows: Vec<Vec<String>> = status
        .recent_decisions
        .iter()
        .map(|decision| {
            let lateness = decision.lateness_ms.map(|late| format!("{late} ms")).unwrap_or_default();
            vec![
                due(decision),
                outcome(decision),
                lateness,
                decision.execution.clone().unwrap_or_default(),
                short(&why(decision), 80),
            ]
        })
        .collect();
    text.push_str(&table(&["DUE", "OUTCOME", "LATE BY", "EXECUTION", "WHY"], &rows));
    text
}

/// One due time.
fn about(schedule: &GraphSchedule, slot: DateTime<Utc>, now: DateTime<Utc>) -> Result<String, Complaint> {
    let status = schedule.status.clone().unwrap_or_default();
    let shown = slot.format("%FT%TZ");
    if let Some(decision) = status.recent_decisions.iter().find(|decision| is_about(decision, slot)) {
        let mut text = format!("{shown}: {}", outcome(decision));
        for (label, part) in [("for", &decision.request), ("as", &decision.execution), ("because", &decision.reason)] {
            if let Some(part) = part {
                text.push_str(&format!(" {label} {part}"));
            }
        }
        return Ok(text + "\n");
    }
    let calendar = next::calendar(schedule)?;
    if calendar.last_at_or_before(slot) != Some(slot) {
        let neighbours = [("before", calendar.last_at_or_before(slot)), ("after", calendar.next_after(slot))];
        let near: Vec<String> = neighbours
            .iter()
            .filter_map(|(side, due)| due.map(|due| format!("{} {side} it", due.format("%FT%TZ"))))
            .collect();
        return Ok(format!("{shown}: not due by the calendar as it is now; due are {}\n", near.join(" and ")));
    }
    let created = schedule.metadata.creation_timestamp.as_ref().map(instant);
    Ok(if created.is_some_and(|created| slot < created) {
        format!("{shown}: the schedule was made only afterwards\n")
    } else if slot > now {
        format!("{shown}: due {}\n", relative(slot, now))
    } else if status.decided_through.as_ref().is_some_and(|through| slot <= instant(through)) {
        format!("{shown}: decided, but no longer among the newest decisions; the platform's ledger keeps it\n")
    } else {
        format!("{shown}: due and not decided yet; is the operator running? `kubectl autogpt status`\n")
    })
}

/// A due time, or a range of them.
fn due(decision: &Decision) -> String {
    let first = instant(&decision.slot).format("%FT%TZ");
    match decision.count {
        Some(count) if count > 1 => format!("{first} +{}", count - 1),
        _ => first.to_string(),
    }
}

/// On whose behalf, and the reason.
fn why(decision: &Decision) -> String {
    let parts = [decision.request.as_deref(), decision.reason.as_deref()];
    parts.into_iter().flatten().collect::<Vec<_>>().join(": ")
}

/// Whether the decision is about this due time of the calendar.
fn is_about(decision: &Decision, slot: DateTime<Utc>) -> bool {
    let first = instant(&decision.slot);
    let last = decision.through.as_ref().map_or(first, instant);
    (first..=last).contains(&slot)
}

fn outcome(decision: &Decision) -> String {
    match serde_json::to_value(decision.outcome) {
        Ok(Value::String(word)) => word,
        _ => String::new(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn schedule() -> GraphSchedule {
        serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule",
            "metadata": {"name": "s", "creationTimestamp": "2026-01-01T00:30:00Z"},
            "spec": {"platformRef": {"name": "p"}, "graph": {}, "schedules": ["@hourly"]},
            "status": {
                "nextFireTimes": ["2026-01-01T05:00:00Z"], "decidedThrough": "2026-01-01T04:00:00Z",
                "recentDecisions": [
                    {"slot": "2026-01-01T04:00:00Z", "outcome": "Fired", "execution": "s-x-1", "latenessMs": 12},
                    {"slot": "2026-01-01T03:00:00Z", "outcome": "Skipped", "reason": "it was suspended"},
                ],
                "conditions": [{"type": "Ready", "status": "True", "reason": "Armed", "message": "armed", "lastTransitionTime": "2026-01-01T00:00:00Z"}],
            },
        }))
        .unwrap()
    }

    fn at(text: &str) -> DateTime<Utc> {
        text.parse().unwrap()
    }

    #[test]
    fn the_newest_decisions_fit_on_a_screen() {
        assert_eq!(
            overview(&schedule(), at("2026-01-01T04:30:00Z")),
            "Armed: armed
next: 2026-01-01T05:00:00Z (in 30m)
DUE                    OUTCOME   LATE BY   EXECUTION   WHY
2026-01-01T04:00:00Z   Fired     12 ms     s-x-1
2026-01-01T03:00:00Z   Skipped                         it was suspended
"
        );
    }

    #[test]
    fn every_time_has_an_answer() {
        let now = at("2026-01-01T04:30:00Z");
        for (slot, words) in [
            ("2026-01-01T04:00:00Z", "Fired as s-x-1"),
            ("2026-01-01T03:00:00Z", "Skipped because it was suspended"),
            ("2026-01-01T02:00:00Z", "no longer among the newest"),
            ("2026-01-01T00:00:00Z", "made only afterwards"),
            ("2026-01-01T05:00:00Z", "due in 30m"),
            (
                "2026-01-01T02:30:00Z",
                "not due by the calendar as it is now; due are 2026-01-01T02:00:00Z before it and 2026-01-01T03:00:00Z after it",
            ),
        ] {
            let text = about(&schedule(), at(slot), now).unwrap();
            assert!(text.contains(words), "{slot}: {text}");
        }
    }
}
