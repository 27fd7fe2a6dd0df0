//! `why`: what a schedule decided, and why.

use std::io::Write;
use std::time::Duration;

use chrono::{DateTime, Utc};
use crds::conditions::{self, READY};
use crds::schedule::Decision;
use crds::{ANNOTATION_EXPLAIN, GraphSchedule};
use kube::ResourceExt;
use schedule::Calendar;
use serde_json::{Value, json};

use super::{Done, next, watch};
use crate::cluster::Cluster;
use crate::complaint::Complaint;
use crate::table::{short, table};
use crate::time::{instant, relative};

/// The operator answers within moments, if it and the platform are there.
const PATIENCE: Duration = Duration::from_secs(15);

pub async fn run(cluster: &Cluster, name: &str, time: Option<DateTime<Utc>>, out: &mut impl Write) -> Result<Done, Complaint> {
    let schedule: GraphSchedule = cluster.get(name).await?;
    let text = match time {
        None => overview(&schedule, Utc::now()),
        Some(slot) => match recent(&schedule, slot).or_else(|| not_decided(&schedule, slot, Utc::now())) {
            Some(text) => text,
            None => match ask(cluster, name, slot).await? {
                decisions if decisions.is_empty() => unknown(&schedule, slot)?,
                decisions => decisions.iter().map(|decision| told(slot, decision)).collect(),
            },
        },
    };
    write!(out, "{text}")?;
    Ok(Done::Well)
}

/// Asks the platform's ledger through the operator: an annotation, answered in the status.
async fn ask(cluster: &Cluster, name: &str, slot: DateTime<Utc>) -> Result<Vec<Decision>, Complaint> {
    let request = format!("{}#{}", slot.format("%FT%TZ"), Utc::now().timestamp_millis());
    let annotate = |value: Value| json!({"metadata": {"annotations": {ANNOTATION_EXPLAIN: value}}});
    cluster
        .merge_as::<GraphSchedule>(crds::MANAGER_EXPLAIN, name, &annotate(json!(request)))
        .await?;
    let answer = watch::until(cluster, name, |schedule| {
        let explanation = schedule.status.as_ref()?.explanation.clone();
        explanation.filter(|explanation| explanation.request == request)
    });
    let answer = tokio::time::timeout(PATIENCE, answer).await;
    cluster
        .merge_as::<GraphSchedule>(crds::MANAGER_EXPLAIN, name, &annotate(Value::Null))
        .await?;
    let shown = slot.format("%FT%TZ");
    let Ok(answer) = answer else {
        return Err(Complaint::new(
            format!(
                "{shown} is not among the newest decisions, and the operator did not look it up in the ledger within {} s",
                PATIENCE.as_secs()
            ),
            "is the operator running? see `kubectl autogpt status`",
        ));
    };
    let answer = answer?;
    match answer.problem {
        None => Ok(answer.decisions),
        Some(problem) => Err(Complaint::new(
            format!("{shown} is not among the newest decisions, and the ledger could not be asked: {problem}"),
            "see `kubectl autogpt status` for what the platform waits for",
        )),
    }
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

/// What the newest decisions say about a due time.
fn recent(schedule: &GraphSchedule, slot: DateTime<Utc>) -> Option<String> {
    let decisions = &schedule.status.as_ref()?.recent_decisions;
    let about: String = decisions
        .iter()
        .filter(|decision| is_about(decision, slot))
        .map(|decision| told(slot, decision))
        .collect();
    Some(about).filter(|text| !text.is_empty())
}

/// Why no decision can be there yet.
fn not_decided(schedule: &GraphSchedule, slot: DateTime<Utc>, now: DateTime<Utc>) -> Option<String> {
    let shown = slot.format("%FT%TZ");
    if is_before(schedule, slot) && schedule.status.as_ref().is_none_or(|status| status.backfills.is_empty()) {
        let afterwards = format!("{shown}: the schedule was made only afterwards\n");
        return Some(not_due(&next::calendar(schedule).ok()?, slot).unwrap_or(afterwards));
    }
    let due = next::calendar(schedule).ok()?.last_at_or_before(slot) == Some(slot);
    if slot <= now {
        return due.then(|| held_up(schedule, slot)).flatten();
    }
    let but = next::idle(&schedule.name_any(), schedule)
        .map(|why| format!("; but {why}"))
        .unwrap_or_default();
    due.then(|| format!("{shown}: due {}{but}\n", relative(slot, now)))
}

/// What keeps a due time that has come from its decision, when the schedule says so.
fn held_up(schedule: &GraphSchedule, slot: DateTime<Utc>) -> Option<String> {
    let status = schedule.status.as_ref()?;
    if status.decided_through.as_ref().is_some_and(|through| slot <= instant(through)) || !status.backfills.is_empty() {
        return None;
    }
    let ready = conditions::get(&status.conditions, READY).filter(|ready| ready.status == "False")?;
    Some(format!(
        "{}: due and not decided yet; {}: {}\n",
        slot.format("%FT%TZ"),
        ready.reason,
        ready.message
    ))
}

/// Whether the schedule was made only after this time.
fn is_before(schedule: &GraphSchedule, slot: DateTime<Utc>) -> bool {
    let created = schedule.metadata.creation_timestamp.as_ref().map(instant);
    created.is_some_and(|created| slot < created)
}

/// What there is to say about a due time of which the ledger knows nothing.
fn unknown(schedule: &GraphSchedule, slot: DateTime<Utc>) -> Result<String, Complaint> {
    let shown = slot.format("%FT%TZ");
    if let Some(text) = not_due(&next::calendar(schedule)?, slot) {
        return Ok(text);
    }
    let decided = schedule.status.as_ref().and_then(|status| status.decided_through.as_ref());
    Ok(if is_before(schedule, slot) {
        format!("{shown}: the schedule was made only afterwards, and no backfill of it is in the ledger\n")
    } else if decided.is_some_and(|through| slot <= instant(through)) {
        format!("{shown}: the ledger has no decision: it is older than what the platform keeps, or the calendar was another one then\n")
    } else {
        format!("{shown}: due and not decided yet; is the operator running? `kubectl autogpt status`\n")
    })
}

/// Says so of a time that is not due by the calendar, and which are.
fn not_due(calendar: &Calendar, slot: DateTime<Utc>) -> Option<String> {
    let before = calendar.last_at_or_before(slot);
    if before == Some(slot) {
        return None;
    }
    let neighbours = [("before", before), ("after", calendar.next_after(slot))];
    let near: Vec<String> = neighbours
        .iter()
        .filter_map(|(side, due)| due.map(|due| format!("{} {side} it", due.format("%FT%TZ"))))
        .collect();
    Some(format!(
        "{}: nothing was decided, and it is not due by the calendar as it is now; due are {}\n",
        slot.format("%FT%TZ"),
        near.join(" and ")
    ))
}

/// One decision, as a sentence.
fn told(slot: DateTime<Utc>, decision: &Decision) -> String {
    let mut text = format!("{}: {}", slot.format("%FT%TZ"), outcome(decision));
    for (label, part) in [("for", &decision.request), ("as", &decision.execution), ("because", &decision.reason)] {
        if let Some(part) = part {
            text.push_str(&format!(" {label} {part}"));
        }
    }
    if let (Some(count), Some(through)) = (decision.count, &decision.through) {
        let (first, last) = (instant(&decision.slot).format("%FT%TZ"), instant(through).format("%FT%TZ"));
        text.push_str(&format!(" (with all {count} from {first} to {last})"));
    }
    text + "\n"
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
        let (schedule, now) = (schedule(), at("2026-01-01T04:30:00Z"));
        for (slot, words) in [
            ("2026-01-01T04:00:00Z", "Fired as s-x-1"),
            ("2026-01-01T03:00:00Z", "Skipped because it was suspended"),
            ("2026-01-01T00:00:00Z", "made only afterwards"),
            ("2026-01-01T05:00:00Z", "due in 30m"),
        ] {
            let text = recent(&schedule, at(slot)).or_else(|| not_decided(&schedule, at(slot), now)).unwrap();
            assert!(text.contains(words), "{slot}: {text}");
        }
        for (slot, words) in [
            ("2026-01-01T02:00:00Z", "the ledger has no decision"),
            (
                "2026-01-01T02:30:00Z",
                "not due by the calendar as it is now; due are 2026-01-01T02:00:00Z before it and 2026-01-01T03:00:00Z after it",
            ),
        ] {
            assert_eq!(recent(&schedule, at(slot)).or_else(|| not_decided(&schedule, at(slot), now)), None);
            let text = unknown(&schedule, at(slot)).unwrap();
            assert!(text.contains(words), "{slot}: {text}");
        }
    }

    #[test]
    fn a_due_time_that_is_held_up_says_by_what() {
        let (mut schedule, now) = (schedule(), at("2026-01-01T06:30:00Z"));
        let answer = |schedule: &GraphSchedule, slot| not_decided(schedule, at(slot), now);
        assert_eq!(
            answer(&schedule, "2026-01-01T05:00:00Z"),
            None,
            "nothing is known to hold it up: the ledger is asked"
        );
        let refused = json!([{"type": "Ready", "status": "False", "reason": "QuotaExceeded", "message": "raise it", "lastTransitionTime": "2026-01-01T05:00:00Z"}]);
        schedule.status.as_mut().unwrap().conditions = serde_json::from_value(refused).unwrap();
        assert_eq!(
            answer(&schedule, "2026-01-01T05:00:00Z").as_deref(),
            Some("2026-01-01T05:00:00Z: due and not decided yet; QuotaExceeded: raise it\n")
        );
        assert_eq!(answer(&schedule, "2026-01-01T05:30:00Z"), None, "not due");
        assert_eq!(
            answer(&schedule, "2026-01-01T07:00:00Z").as_deref(),
            Some("2026-01-01T07:00:00Z: due in 30m; but s does not fire as it is, QuotaExceeded: raise it\n")
        );
        assert_eq!(answer(&schedule, "2026-01-01T02:00:00Z"), None, "decided before");
    }

    #[test]
    fn a_time_before_the_schedule_was_made_may_have_been_backfilled() {
        let (mut schedule, slot) = (schedule(), at("2026-01-01T00:00:00Z"));
        let backfill = json!({"name": "b", "through": "2026-01-01T00:00:00Z", "fired": 0, "skipped": 1, "done": true});
        schedule.status.as_mut().unwrap().backfills = vec![serde_json::from_value(backfill).unwrap()];
        assert_eq!(
            not_decided(&schedule, slot, slot + chrono::TimeDelta::hours(4)),
            None,
            "the ledger is asked"
        );
        assert!(unknown(&schedule, slot).unwrap().contains("no backfill of it is in the ledger"));
    }

    #[test]
    fn a_range_says_how_far_it_goes() {
        let range = json!({"slot": "2026-01-01T01:00:00Z", "through": "2026-01-01T03:00:00Z", "count": 3, "outcome": "Missed", "reason": "late"});
        assert_eq!(
            told(at("2026-01-01T02:00:00Z"), &serde_json::from_value(range).unwrap()),
            "2026-01-01T02:00:00Z: Missed because late (with all 3 from 2026-01-01T01:00:00Z to 2026-01-01T03:00:00Z)\n"
        );
    }
}
