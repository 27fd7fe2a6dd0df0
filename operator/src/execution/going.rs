//! A namespace that is being deleted: nothing may hold its objects, and soon the operator has no right left to let go.
//!
//! Kubernetes waits five seconds before it deletes what is in the namespace, the operator's own rights among it. A watch
//! of namespaces would need a cluster-wide right, so the namespace is asked for while there is something to let go.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use ::runtime::Shutdown;
use crds::GraphExecution;
use k8s_openapi::api::core::v1::Namespace;
use kube::Client;
use kube::api::Api;
use kube::runtime::reflector::Store;

use crate::release::release;
use crate::runtime::kept::Kept;

/// Well below the five seconds.
const LOOK: Duration = Duration::from_millis(1500);

/// Whether the namespace is being deleted. Cheap to clone.
#[derive(Clone, Default)]
pub struct Going(Arc<AtomicBool>);

impl Going {
    pub fn is(&self) -> bool {
        self.0.load(Ordering::Relaxed)
    }

    /// Looks while executions are held, and lets go of them when the namespace goes.
    pub async fn watch(self, client: Client, namespace: String, executions: Store<Kept<GraphExecution>>, stop: Shutdown) {
        let namespaces: Api<Namespace> = Api::all(client.clone());
        loop {
            tokio::select! {
                () = tokio::time::sleep(LOOK) => {}
                () = stop.cancelled() => return,
            }
            if executions.find(|execution| execution.facts.held).is_none() {
                continue;
            }
            let found = namespaces.get_opt(&namespace).await;
            if !found.is_ok_and(|found| found.is_none_or(|found| found.metadata.deletion_timestamp.is_some())) {
                continue;
            }
            self.0.store(true, Ordering::Relaxed);
            match release(&client, std::slice::from_ref(&namespace)).await {
                Ok(count) => tracing::info!(namespace, executions = count, "the namespace is being deleted: let go of its executions"),
                Err(error) => tracing::warn!(namespace, %error, "the namespace is being deleted, and its executions could not be let go"),
            }
        }
    }
}
