//! `backfill`: the due times of a past range, run (again).

use std::io::Write;

use chrono::Utc;
use crds::schedule::{Backfill as Range, BackfillOverlap, BackfillProgress};
use crds::{GraphSchedule, GraphScheduleStatus};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use k8s_openapi::jiff::Timestamp;
use kube::ResourceExt;
use serde_json::json;

use super::{Backfill, Done, Overlap, next, watch};
use crate::cluster::Cluster;
use crate::complaint::Complaint;

/// Due times counted for the answer.
const COUNTED: usize = 10_000;

pub async fn run(cluster: &Cluster, arguments: Backfill, out: &mut impl Write) -> Result<Done, Complaint> {
    let schedule: GraphSchedule = cluster.get(&arguments.schedule).await?;
    if arguments.from > arguments.to {
        return Err(Complaint::new("the range ends before it begins", "swap --from and --to"));
    }
    let calendar = next::calendar(&schedule)?;
    // `from` itself belongs to the range.
    let before = arguments.from - chrono::TimeDelta::seconds(1);
    let through = arguments.to.min(Utc::now());
    let count = calendar.due_within(before, through).take(COUNTED).count();
    if count == 0 {
        return Err(Complaint::new(
            "no due time of the calendar lies in the range, or all of them are still to come",
            format!("see `kubectl autogpt next {}`, and choose a range in the past", arguments.schedule),
        ));
    }
    let name = arguments
        .name
        .unwrap_or_else(|| format!("kubectl-{}", Utc::now().format("%Y%m%d-%H%M%S")));
    let done = |name: &str| {
        let status = schedule.status.as_ref();
        status.is_some_and(|status| progress(status, name).is_some_and(|progress| progress.done))
    };
    // Entries that are done make room.
    let mut ranges: Vec<Range> = schedule.spec.backfills.iter().filter(|range| !done(&range.name)).cloned().collect();
    if ranges.iter().any(|range| range.name == name) {
        return Err(Complaint::new(format!("there is a backfill {name} already"), "choose another --name"));
    }
    ranges.push(Range {
        name: name.clone(),
        from: time(arguments.from),
        to: time(arguments.to),
        overlap_policy: match arguments.overlap {
            Overlap::Wait => BackfillOverlap::BufferAll,
            Overlap::Skip => BackfillOverlap::Skip,
            Overlap::Allow => BackfillOverlap::Allow,
        },
    });
    let patch = json!({"metadata": {"resourceVersion": schedule.resource_version()}, "spec": {"backfills": ranges}});
    cluster.merge::<GraphSchedule>(&arguments.schedule, &patch).await?;
    let more = if count == COUNTED { " or more" } else { "" };
    writeln!(
        out,
        "backfill {name}: {count}{more} due times; `kubectl autogpt why {}` shows how far it is",
        arguments.schedule
    )?;
    if arguments.wait {
        let done = watch::until(cluster, &arguments.schedule, |schedule| {
            progress(schedule.status.as_ref()?, &name).filter(|progress| progress.done)
        })
        .await?;
        writeln!(out, "backfill {name} is done: {} fired, {} skipped", done.fired, done.skipped)?;
    }
    Ok(Done::Well)
}

fn progress(status: &GraphScheduleStatus, name: &str) -> Option<BackfillProgress> {
    status.backfills.iter().find(|progress| progress.name == name).cloned()
}

fn time(instant: chrono::DateTime<Utc>) -> Time {
    Time(Timestamp::from_second(instant.timestamp()).unwrap_or_default())
}
