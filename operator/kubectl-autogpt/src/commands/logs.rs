//! `logs`: what the executors said about one execution.

use std::io::Write;

use crds::GraphExecution;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;
use kube::api::{ListParams, LogParams};

use super::Done;
use crate::cluster::Cluster;
use crate::complaint::Complaint;

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
    let mut lines = 0;
    for pod in &pods {
        let log = cluster.api::<Pod>().logs(pod, &LogParams::default()).await;
        let log = log.map_err(|error| Complaint::of_kube(&format!("read the log of pod {pod}"), &error))?;
        for line in about(&log, &id) {
            writeln!(out, "{pod}  {line}")?;
            lines += 1;
        }
    }
    if lines == 0 {
        writeln!(
            out,
            "nothing about run {id} in the logs of {}; pods that are gone took theirs with them, and ordinary runs are logged from level debug on",
            pods.join(", ")
        )?;
    }
    Ok(Done::Well)
}

async fn executors(cluster: &Cluster, platform: &str) -> Result<Vec<String>, Complaint> {
    let selector = format!("app.kubernetes.io/instance={platform},app.kubernetes.io/component=executor");
    let pods = cluster.api::<Pod>().list(&ListParams::default().labels(&selector)).await;
    let pods = pods.map_err(|error| Complaint::of_kube(&format!("list the pods of namespace {}", cluster.namespace), &error))?;
    Ok(pods.items.iter().map(ResourceExt::name_any).collect())
}

/// The lines that name the run: the executor logs each within a span that does.
fn about<'a>(log: &'a str, id: &'a str) -> impl Iterator<Item = &'a str> {
    log.lines().filter(move |line| line.contains(id))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_lines_of_the_run_are_shown() {
        let log = "run{graph_exec_id=a1}: begun\nrun{graph_exec_id=b2}: begun\nrun{graph_exec_id=a1}: over\n";
        assert_eq!(about(log, "a1").count(), 2);
        assert_eq!(about(log, "c3").count(), 0);
    }
}
