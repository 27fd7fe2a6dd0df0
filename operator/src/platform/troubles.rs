//! Why pods do not become ready, or do not come to be, and what to do about it.

use crds::conditions::reason;
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::Pod;
use kube::ResourceExt;

use crate::platform::build::LABEL_COMPONENT;

/// One reason, said once for each component.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Trouble {
    pub component: String,
    pub reason: &'static str,
    pub message: String,
}

/// What is wrong with these pods, and with those that these Deployments could not make.
pub fn troubles<'a>(pods: impl IntoIterator<Item = &'a Pod>, deployments: impl IntoIterator<Item = &'a Deployment>) -> Vec<Trouble> {
    let mut found: Vec<Trouble> = pods
        .into_iter()
        .filter(|pod| pod.metadata.deletion_timestamp.is_none())
        .filter_map(of_pod)
        .chain(deployments.into_iter().filter_map(of_deployment))
        .collect();
    found.sort();
    found.dedup_by(|one, other| (&one.component, one.reason) == (&other.component, other.reason));
    found
}

/// A quota or an admission policy refuses its pods.
fn of_deployment(deployment: &Deployment) -> Option<Trouble> {
    let mut conditions = deployment.status.as_ref()?.conditions.iter().flatten();
    let failure = conditions.find(|condition| condition.type_ == "ReplicaFailure" && condition.status == "True")?;
    let why = failure.message.as_deref().unwrap_or("no reason was given");
    Some(Trouble {
        component: deployment.labels().get(LABEL_COMPONENT)?.clone(),
        reason: reason::POD_REFUSED,
        message: format!(
            "the pods of Deployment {} are refused: {why}; raise the ResourceQuota, lower their requests, or change the policy that says no",
            deployment.name_any()
        ),
    })
}

fn of_pod(pod: &Pod) -> Option<Trouble> {
    let status = pod.status.as_ref()?;
    let name = pod.name_any();
    let namespace = pod.namespace().unwrap_or_default();
    let component = pod.labels().get(LABEL_COMPONENT)?.clone();
    let trouble = |reason, message| {
        Some(Trouble {
            component: component.clone(),
            reason,
            message,
        })
    };
    let unscheduled =
        status.conditions.iter().flatten().find(|condition| {
            condition.type_ == "PodScheduled" && condition.status == "False" && condition.reason.as_deref() == Some("Unschedulable")
        });
    if let Some(condition) = unscheduled {
        let why = condition.message.as_deref().unwrap_or("no node fits");
        return trouble(
            reason::POD_UNSCHEDULABLE,
            format!("pod {name} finds no node: {why}; add room, lower its requests, or provide a StorageClass with volumes"),
        );
    }
    let containers = status
        .init_container_statuses
        .iter()
        .flatten()
        .chain(status.container_statuses.iter().flatten());
    for container in containers {
        let Some(waiting) = container.state.as_ref().and_then(|state| state.waiting.as_ref()) else {
            continue;
        };
        let why = waiting.message.as_deref().unwrap_or_default();
        let image = &container.image;
        match waiting.reason.as_deref().unwrap_or_default() {
            "ImagePullBackOff" | "ErrImagePull" | "InvalidImageName" | "ErrImageNeverPull" | "ErrImageInspect" | "RegistryUnavailable" => {
                return trouble(
                    reason::IMAGE_PULL_FAILED,
                    format!("image {image} cannot be pulled: {why}; check spec.image and spec.dataImages, and that the node may pull it"),
                );
            }
            "CreateContainerConfigError" | "CreateContainerError" => {
                return trouble(reason::POD_FAILED, format!("pod {name} cannot start: {why}"));
            }
            "CrashLoopBackOff" => {
                let code = container
                    .last_state
                    .as_ref()
                    .and_then(|state| state.terminated.as_ref())
                    .map(|end| end.exit_code);
                let code = code.map(|code| format!(" with exit code {code}")).unwrap_or_default();
                return trouble(
                    reason::POD_FAILED,
                    format!(
                        "pod {name} keeps ending{code} ({} restarts): read `kubectl -n {namespace} logs {name} --previous`",
                        container.restart_count
                    ),
                );
            }
            _ => {}
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn pod(status: serde_json::Value) -> Pod {
        serde_json::from_value(json!({
            "metadata": {"name": "p-rest-1", "namespace": "n", "labels": {LABEL_COMPONENT: "rest"}},
            "status": status,
        }))
        .unwrap()
    }

    fn waiting(reason: &str, message: &str) -> serde_json::Value {
        json!({"containerStatuses": [{"name": "rest", "image": "r/rest:1", "imageID": "", "ready": false, "restartCount": 4,
            "state": {"waiting": {"reason": reason, "message": message}},
            "lastState": {"terminated": {"exitCode": 1}}}]})
    }

    #[test]
    fn an_image_that_cannot_be_pulled_is_named_once() {
        let pods = [pod(waiting("ImagePullBackOff", "not found")), pod(waiting("ErrImagePull", "not found"))];
        let found = troubles(&pods, []);
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].reason, reason::IMAGE_PULL_FAILED);
        assert!(
            found[0]
                .message
                .starts_with("image r/rest:1 cannot be pulled: not found; check spec.image"),
            "{}",
            found[0].message
        );
    }

    #[test]
    fn a_crash_names_the_command_that_shows_why() {
        let found = troubles(&[pod(waiting("CrashLoopBackOff", "back-off"))], []);
        assert_eq!(
            found[0].message,
            "pod p-rest-1 keeps ending with exit code 1 (4 restarts): read `kubectl -n n logs p-rest-1 --previous`"
        );
    }

    #[test]
    fn pods_that_a_quota_refuses_are_named_by_their_deployment() {
        let deployment = |status: &str| -> Deployment {
            let failure = json!({"type": "ReplicaFailure", "status": status, "reason": "FailedCreate", "message": "pods \"p-rest-1\" is forbidden: exceeded quota: q"});
            serde_json::from_value(json!({"metadata": {"name": "p-rest", "labels": {LABEL_COMPONENT: "rest"}}, "status": {"conditions": [failure]}}))
                .unwrap()
        };
        let found = troubles(&[], &[deployment("True")]);
        assert_eq!(
            (found.len(), found[0].reason, found[0].component.as_str()),
            (1, reason::POD_REFUSED, "rest")
        );
        assert!(
            found[0].message.contains("exceeded quota: q; raise the ResourceQuota"),
            "{}",
            found[0].message
        );
        assert!(troubles(&[], &[deployment("False")]).is_empty());
    }

    #[test]
    fn a_pod_that_starts_is_no_trouble() {
        assert!(troubles(&[pod(waiting("ContainerCreating", ""))], []).is_empty());
        assert!(troubles(&[pod(json!({}))], []).is_empty());
    }
}
