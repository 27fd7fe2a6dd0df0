//! `operator release`: takes the operator's finalizers away, so that nothing hangs once it is uninstalled. The chart runs
//! it as a hook before it removes the operator.

use crds::{EXECUTION_FINALIZER, GraphExecution};
use kube::api::{Api, ListParams, Patch, PatchParams};
use kube::{Client, ResourceExt};
use serde_json::json;

use crate::runtime::events::MANAGER;

/// Objects in one answer.
const PAGE: u32 = 500;

/// Lets go of every execution in these namespaces. Their runs go on at the platform.
pub async fn release(client: &Client, namespaces: &[String]) -> Result<usize, kube::Error> {
    let mut released = 0;
    for namespace in namespaces {
        let api: Api<GraphExecution> = Api::namespaced(client.clone(), namespace);
        let mut page = ListParams::default().limit(PAGE);
        loop {
            let list = api.list(&page).await?;
            for execution in &list {
                released += usize::from(let_go(&api, execution).await?);
            }
            match list.metadata.continue_.filter(|token| !token.is_empty()) {
                Some(token) => page = page.continue_token(&token),
                None => break,
            }
        }
    }
    Ok(released)
}

async fn let_go(api: &Api<GraphExecution>, execution: &GraphExecution) -> Result<bool, kube::Error> {
    let (ours, others): (Vec<_>, Vec<_>) = execution
        .finalizers()
        .iter()
        .cloned()
        .partition(|finalizer| finalizer == EXECUTION_FINALIZER);
    if ours.is_empty() {
        return Ok(false);
    }
    let patch = json!({"metadata": {"finalizers": others}});
    let parameters = PatchParams {
        field_manager: Some(MANAGER.to_owned()),
        ..PatchParams::default()
    };
    match api.patch(&execution.name_any(), &parameters, &Patch::Merge(&patch)).await {
        Ok(_) => Ok(true),
        Err(kube::Error::Api(status)) if status.is_not_found() => Ok(false),
        Err(error) => Err(error),
    }
}
