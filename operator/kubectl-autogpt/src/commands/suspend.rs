//! `pause` and `resume`: whether a schedule fires.

use std::io::Write;

use crds::GraphSchedule;
use serde_json::json;

use super::Done;
use crate::cluster::Cluster;
use crate::complaint::Complaint;

pub async fn pause(cluster: &Cluster, name: &str, note: Option<String>, out: &mut impl Write) -> Result<Done, Complaint> {
    let patch = json!({"spec": {"suspend": {"note": note}}});
    cluster.merge::<GraphSchedule>(name, &patch).await?;
    writeln!(out, "{name} is suspended: nothing fires until `kubectl autogpt resume {name}`")?;
    Ok(Done::Well)
}

pub async fn resume(cluster: &Cluster, name: &str, out: &mut impl Write) -> Result<Done, Complaint> {
    let before: GraphSchedule = cluster.get(name).await?;
    if before.spec.suspend.is_none() {
        writeln!(out, "{name} is not suspended")?;
        return Ok(Done::Well);
    }
    cluster.merge::<GraphSchedule>(name, &json!({"spec": {"suspend": null}})).await?;
    writeln!(out, "{name} fires again; `kubectl autogpt next {name}` says when")?;
    Ok(Done::Well)
}
