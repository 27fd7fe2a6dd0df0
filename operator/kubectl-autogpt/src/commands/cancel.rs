//! `cancel`: stops an execution.

use std::io::Write;

use crds::GraphExecution;
use crds::execution::Phase;
use serde_json::json;

use super::{Done, follow};
use crate::cluster::Cluster;
use crate::complaint::Complaint;

pub async fn run(cluster: &Cluster, name: &str, wait: bool, out: &mut impl Write) -> Result<Done, Complaint> {
    let execution: GraphExecution = cluster.get(name).await?;
    let phase = execution.status.as_ref().and_then(|status| status.phase);
    if let Some(phase) = phase.filter(|phase| phase.is_terminal()) {
        writeln!(out, "{name} is over already: {}", follow::word(phase))?;
        return Ok(Done::Well);
    }
    cluster.merge::<GraphExecution>(name, &json!({"spec": {"cancel": true}})).await?;
    if !wait {
        writeln!(out, "{name} is being stopped; see `kubectl autogpt follow {name}`")?;
        return Ok(Done::Well);
    }
    let status = follow::until_over(cluster, name, |_| Ok(())).await?;
    let phase = status.phase.unwrap_or(Phase::Pending);
    writeln!(out, "{name} is {}: {}", follow::word(phase), status.message.unwrap_or_default())?;
    Ok(Done::Well)
}
