//! `trigger`: one run of a schedule's graph now.

use std::io::Write;
use std::time::Duration;

use chrono::Utc;
use crds::schedule::Decision;
use crds::{ANNOTATION_RUN_NOW, GraphSchedule, GraphScheduleStatus};
use serde_json::json;

use super::{Done, follow, watch};
use crate::cluster::Cluster;
use crate::complaint::Complaint;

/// The operator answers a request within moments, if it is there.
const PATIENCE: Duration = Duration::from_secs(15);

pub async fn run(cluster: &Cluster, name: &str, follow: bool, out: &mut impl Write) -> Result<Done, Complaint> {
    let request = format!("kubectl-{}", Utc::now().format("%Y%m%dT%H%M%S%.3fZ"));
    let patch = json!({"metadata": {"annotations": {ANNOTATION_RUN_NOW: request}}});
    cluster.merge::<GraphSchedule>(name, &patch).await?;
    let decided = watch::until(cluster, name, |status| decision(status, &request));
    let Ok(decision) = tokio::time::timeout(PATIENCE, decided).await else {
        return Err(Complaint::new(
            format!("{name} was asked to run, and nothing came of it within {} s", PATIENCE.as_secs()),
            format!("the request stays; are the operator and the platform there? `kubectl autogpt why {name}` shows what becomes of it"),
        ));
    };
    let decision = decision?;
    let Some(execution) = decision.execution else {
        let why = decision.reason.unwrap_or_default();
        return Err(Complaint::new(
            format!("{name} did not run: {why}"),
            format!("see `kubectl autogpt why {name}`"),
        ));
    };
    writeln!(out, "graphexecution/{execution} created")?;
    if follow {
        return follow::run(cluster, &execution, out).await;
    }
    Ok(Done::Well)
}

/// What became of the request, once that is known.
fn decision(status: &GraphScheduleStatus, request: &str) -> Option<Decision> {
    let behalf = format!("run-now/{request}");
    let mine = |decision: &&Decision| decision.request.as_ref() == Some(&behalf);
    status.recent_decisions.iter().find(mine).cloned()
}
