//! `logs`: what the executors said about one execution.

use std::io::Write;

use crds::GraphExecution;
use futures::{AsyncBufRead, AsyncBufReadExt};
use k8s_openapi::api::core::v1::Pod;
use k8s_openapi::jiff::{SignedDuration, Timestamp};
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};

use super::Done;
use crate::cluster::Cluster;
use crate::complaint::{Complaint, chain};

/// The clocks of the database, which says when a run started, and of a node, which says when a line was logged, need not agree.
const SLACK: SignedDuration = SignedDuration::from_secs(60);

pub async fn run(cluster: &Cluster, name: &str, out: &mut impl Write) -> Result<Done, Complaint> {
    let execution: GraphExecution = cluster.get(name).await?;
    let status = execution.status.clone().unwrap_or_default();
    let Some(id) = status.execution_id else {
        return Err(Complaint::new(
            format!("{name} has no run yet, so nothing was logged about it"),
            format!(
                "`kubectl autogpt follow {name}` says what it waits for; its message: {}",
                status.message.unwrap_or_default()
            ),
        ));
    };
    let platform = &execution.spec.platform_ref.name;
    let pods = executors(cluster, platform).await?;
    if pods.is_empty() {
        return Err(Complaint::new(
            format!("platform {platform} has no executor pods in namespace {}", cluster.namespace),
            "`kubectl autogpt status` shows what it waits for; pods that are gone took their logs with them",
        ));
    }
    let parameters = LogParams {
        since_time: since(&execution),
        ..LogParams::default()
    };
    let mut lines = 0;
    for pod in &pods {
        let log = cluster.api::<Pod>().log_stream(pod, &parameters).await;
        let log = log.map_err(|error| Complaint::of_kube(&format!("read the log of pod {pod}"), &error))?;
        lines += show(pod, log, &id, out).await?;
    }
    if lines == 0 {
        writeln!(
            out,
            "nothing about run {id} in the logs of {}; an executor logs a run when it is done with it, and pods that are gone took their logs with them",
            pods.join(", ")
        )?;
    }
    Ok(Done::Well)
}

/// Where in the logs the run can begin to be mentioned.
fn since(execution: &GraphExecution) -> Option<Timestamp> {
    let started = execution.status.as_ref().and_then(|status| status.start_time.as_ref());
    let begun = started.or(execution.metadata.creation_timestamp.as_ref())?.0;
    begun.checked_sub(SLACK).ok()
}

/// Writes the lines of a log that name the run, as they come, and says how many: the executor logs each within a span that does.
async fn show(pod: &str, log: impl AsyncBufRead, id: &str, out: &mut impl Write) -> Result<usize, Complaint> {
    let mut log = std::pin::pin!(log);
    let (mut line, mut shown) = (Vec::new(), 0);
    loop {
        line.clear();
        let read = log.read_until(b'\n', &mut line).await.map_err(|error| {
            Complaint::new(
                format!("the log of pod {pod} breaks off: {}", chain(&error)),
                "is the pod still there? then try again",
            )
        })?;
        if read == 0 {
            return Ok(shown);
        }
        let text = String::from_utf8_lossy(&line);
        if text.contains(id) {
            writeln!(out, "{pod}  {}", text.trim_end_matches(['\n', '\r']))?;
            shown += 1;
        }
    }
}

async fn executors(cluster: &Cluster, platform: &str) -> Result<Vec<String>, Complaint> {
    let selector = format!("app.kubernetes.io/instance={platform},app.kubernetes.io/component=executor");
    let pods = cluster.api::<Pod>().list(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|error| Complaint::of_kube(&format!("list the pods of namespace {}", cluster.namespace), &error))?;
    Ok(pods.items.iter().map(ResourceExt::name_any).collect())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[tokio::test]
    async fn only_lines_of_the_run_are_shown() {
        let log = b"run{graph_exec_id=a1}: begun\n\xff{graph_exec_id=b2}: begun\r\nrun{graph_exec_id=a1}: over";
        for (id, expected) in [
            ("a1", "p  run{graph_exec_id=a1}: begun\np  run{graph_exec_id=a1}: over\n"),
            ("b2", "p  \u{fffd}{graph_exec_id=b2}: begun\n"),
            ("c3", ""),
        ] {
            let mut out = Vec::new();
            let shown = show("p", &log[..], id, &mut out).await.unwrap();
            let out = String::from_utf8(out).unwrap();
            assert_eq!((out.as_str(), shown), (expected, expected.lines().count()));
        }
    }

    #[test]
    fn logs_are_read_from_the_start_of_the_run() {
        let mut execution: GraphExecution = serde_json::from_value(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution",
            "metadata": {"name": "e", "creationTimestamp": "2026-01-01T00:01:00Z"}, "spec": {"platformRef": {"name": "p"}},
        }))
        .unwrap();
        let said = |execution: &GraphExecution| since(execution).unwrap().to_string();
        assert_eq!(said(&execution), "2026-01-01T00:00:00Z");
        execution.status = serde_json::from_value(json!({"startTime": "2026-01-01T01:01:00Z"})).unwrap();
        assert_eq!(said(&execution), "2026-01-01T01:00:00Z");
    }
}
