//! `next`: the next due times of a schedule, by the calendar that the operator goes by.

use std::io::Write;

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
use crds::conditions::{self, READY};
use operator::schedule::spec;
use schedule::Calendar;

use super::Done;
use crate::cluster::Cluster;
use crate::complaint::Complaint;
use crate::table::table;
use crate::time::relative;

pub async fn run(cluster: &Cluster, name: &str, count: usize, out: &mut impl Write) -> Result<Done, Complaint> {
    let schedule: GraphSchedule = cluster.get(name).await?;
    write!(out, "{}", text(name, &schedule, count, Utc::now())?)?;
    Ok(Done::Well)
}

fn text(name: &str, schedule: &GraphSchedule, count: usize, now: DateTime<Utc>) -> Result<String, Complaint> {
    let calendar = calendar(schedule)?;
    let mut text = String::new();
    if let Some(why) = idle(name, schedule) {
        text.push_str(&why);
    }
    // The operator refuses zones that do not exist, and so did the calendar.
    let zone: chrono_tz::Tz = schedule.spec.time_zone.parse().unwrap_or(chrono_tz::UTC);
    let mut rows = Vec::new();
    let mut last = now;
    while let Some(due) = calendar.next_after(last).filter(|_| rows.len() < count) {
        rows.push(vec![
            due.format("%FT%TZ").to_string(),
            due.with_timezone(&zone).format("%a %F %T %Z").to_string(),
            relative(due, now),
        ]);
        last = due;
    }
    if rows.is_empty() {
        text.push_str(if text.is_empty() { "never again\n" } else { ". It is never due again\n" });
    } else {
        if !text.is_empty() {
            text.push_str(". It would be due\n");
        }
        text.push_str(&table(&["DUE", &schedule.spec.time_zone.to_uppercase(), "WHEN"], &rows));
    }
    Ok(text)
}

/// Why nothing fires at the times of the calendar, as far as is known.
pub fn idle(name: &str, schedule: &GraphSchedule) -> Option<String> {
    if let Some(suspend) = &schedule.spec.suspend {
        let note = suspend.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        return Some(format!("{name} is suspended{note}: nothing fires until `kubectl autogpt resume {name}`"));
    }
    let conditions = &schedule.status.as_ref()?.conditions;
    // What was said about an earlier specification may be over.
    let ready = conditions::get(conditions, READY).filter(|ready| ready.observed_generation == schedule.metadata.generation)?;
    (ready.status == "False").then(|| format!("{name} does not fire as it is, {}: {}", ready.reason, ready.message))
}

/// The calendar of a schedule, as the operator reads it.
pub fn calendar(schedule: &GraphSchedule) -> Result<Calendar, Complaint> {
    Calendar::parse(&spec::calendar(schedule)).map_err(|error| {
        Complaint::new(
            format!("its calendar cannot be read: {error}"),
            "correct spec.schedules and spec.timeZone",
        )
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn schedule(spec: Value) -> GraphSchedule {
        let mut all = json!({"platformRef": {"name": "p"}, "graph": {}, "schedules": ["30 2 * * *"], "timeZone": "Europe/Berlin"});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        serde_json::from_value(json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s"}, "spec": all}))
            .unwrap()
    }

    fn now() -> DateTime<Utc> {
        "2026-03-28T00:30:00Z".parse().unwrap()
    }

    #[test]
    fn due_times_are_shown_in_utc_and_in_the_zone() {
        // The clock skips 02:30 on the 29th.
        assert_eq!(
            text("s", &schedule(json!({})), 3, now()).unwrap(),
            "DUE                    EUROPE/BERLIN                 WHEN
2026-03-28T01:30:00Z   Sat 2026-03-28 02:30:00 CET   in 60m
2026-03-29T01:00:00Z   Sun 2026-03-29 03:00:00 CEST   in 24h
2026-03-30T00:30:00Z   Mon 2026-03-30 02:30:00 CEST   in 2d
"
            .replace("EUROPE/BERLIN                 WHEN", "EUROPE/BERLIN                  WHEN")
            .replace("CET   in", "CET    in")
        );
    }

    #[test]
    fn a_schedule_that_does_not_fire_says_why() {
        let mut schedule = schedule(json!({}));
        let ready = |status: &str, generation: i64| json!({"conditions": [{"type": "Ready", "status": status, "reason": "Finished", "message": "it has had its 3 runs", "observedGeneration": generation, "lastTransitionTime": "2026-01-01T00:00:00Z"}]});
        schedule.metadata.generation = Some(2);
        for (status, generation, expected) in [("False", 2, true), ("True", 2, false), ("False", 1, false)] {
            schedule.status = serde_json::from_value(ready(status, generation)).unwrap();
            let said = text("s", &schedule, 1, now()).unwrap();
            let why = "s does not fire as it is, Finished: it has had its 3 runs. It would be due\n";
            assert_eq!(said.starts_with(why), expected, "{said}");
            assert!(said.contains("2026-03-28T01:30:00Z"), "{said}");
        }
        schedule.status = serde_json::from_value(ready("False", 2)).unwrap();
        schedule.spec.end_at = serde_json::from_value(json!("2026-01-01T00:00:00Z")).unwrap();
        assert_eq!(
            text("s", &schedule, 1, now()).unwrap(),
            "s does not fire as it is, Finished: it has had its 3 runs. It is never due again\n"
        );
    }

    #[test]
    fn a_suspended_schedule_says_so_and_a_bad_one_what_to_do() {
        let suspended = text("s", &schedule(json!({"suspend": {"note": "holidays"}})), 1, now()).unwrap();
        assert!(suspended.starts_with("s is suspended (holidays): nothing fires until"), "{suspended}");
        let bad = text("s", &schedule(json!({"schedules": ["61 * * * *"]})), 1, now())
            .unwrap_err()
            .to_string();
        assert!(bad.contains("spec.schedules"), "{bad}");
    }
}
