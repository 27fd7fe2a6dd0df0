//! Waiting for what the operator writes.

use std::time::Duration;

use crds::GraphSchedule;
use futures::TryStreamExt;
use kube::runtime::watcher::watch_object;

use crate::cluster::Cluster;
use crate::complaint::Complaint;

/// Watches a schedule until it yields something.
pub async fn until<T>(cluster: &Cluster, name: &str, mut look: impl FnMut(&GraphSchedule) -> Option<T>) -> Result<T, Complaint> {
    let mut states = Box::pin(watch_object(cluster.api::<GraphSchedule>(), name));
    loop {
        match states.try_next().await {
            Ok(Some(Some(schedule))) => {
                if let Some(found) = look(&schedule) {
                    return Ok(found);
                }
            }
            // The watch starts over by itself; what cannot be mended ends with this read.
            Ok(Some(None)) | Ok(None) | Err(_) => {
                cluster.get::<GraphSchedule>(name).await?;
                tokio::time::sleep(Duration::from_millis(500)).await;
            }
        }
    }
}
