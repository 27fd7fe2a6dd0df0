//! `next`: the next due times of a schedule, by the calendar that the operator goes by.

use std::io::Write;

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
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
    if let Some(suspend) = &schedule.spec.suspend {
        let note = suspend.note.as_ref().map(|note| format!(" ({note})")).unwrap_or_default();
        text.push_str(&format!(
            "{name} is suspended{note}: nothing fires until `kubectl autogpt resume {name}`. It would be due\n"
        ));
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
        text.push_str("never again\n");
    } else {
        text.push_str(&table(&["DUE", &schedule.spec.time_zone.to_uppercase(), "WHEN"], &rows));
    }
    Ok(text)
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
    fn a_suspended_schedule_says_so_and_a_bad_one_what_to_do() {
        let suspended = text("s", &schedule(json!({"suspend": {"note": "holidays"}})), 1, now()).unwrap();
        assert!(suspended.starts_with("s is suspended (holidays): nothing fires until"), "{suspended}");
        let bad = text("s", &schedule(json!({"schedules": ["61 * * * *"]})), 1, now())
            .unwrap_err()
            .to_string();
        assert!(bad.contains("spec.schedules"), "{bad}");
    }
}
