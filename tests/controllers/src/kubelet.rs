//! What the missing controllers and the missing kubelet would report.

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use kube::ResourceExt;
use serde_json::json;

use crate::World;

const NOW: &str = "2026-01-01T00:00:00Z";

impl World {
    /// All replicas of a data service are ready.
    pub async fn run_stateful_set(&self, name: &str) {
        let set = self.api::<StatefulSet>().get(name).await.unwrap();
        let status = json!({"observedGeneration": set.metadata.generation, "replicas": 1, "readyReplicas": 1, "updatedReplicas": 1,
            "currentReplicas": 1, "availableReplicas": 1});
        self.merge_status::<StatefulSet>(name, status).await;
    }

    /// The migration went through, or did not.
    pub async fn end_job(&self, name: &str, succeeded: bool) {
        let kinds = if succeeded {
            ["SuccessCriteriaMet", "Complete"]
        } else {
            ["FailureTarget", "Failed"]
        };
        let condition =
            |kind: &str| json!({"type": kind, "status": "True", "reason": "Test", "message": "", "lastTransitionTime": NOW, "lastProbeTime": NOW});
        let mut status = json!({"startTime": NOW, "conditions": kinds.map(condition)});
        if succeeded {
            status["completionTime"] = json!(NOW);
        }
        self.merge_status::<Job>(name, status).await;
    }

    /// All pods of a service are ready and of its newest revision.
    pub async fn run_deployment(&self, name: &str) {
        let deployment = self.api::<Deployment>().get(name).await.unwrap();
        let replicas = deployment.spec.as_ref().and_then(|spec| spec.replicas).unwrap_or(1);
        let condition = json!({"type": "Progressing", "status": "True", "reason": "NewReplicaSetAvailable", "message": "", "lastTransitionTime": NOW, "lastUpdateTime": NOW});
        let status = json!({"observedGeneration": deployment.metadata.generation, "replicas": replicas, "readyReplicas": replicas,
            "updatedReplicas": replicas, "availableReplicas": replicas, "conditions": [condition]});
        self.merge_status::<Deployment>(name, status).await;
    }

    /// Everything that the operator makes comes up, step after step, until the platform is ready.
    pub async fn bring_up(&self, platform: &str) {
        crate::eventually("the platform is ready", || async {
            for set in self.api::<StatefulSet>().list(&Default::default()).await.unwrap() {
                if set
                    .status
                    .as_ref()
                    .is_none_or(|status| status.observed_generation != set.metadata.generation)
                {
                    self.run_stateful_set(&set.name_any()).await;
                }
            }
            for job in self.api::<Job>().list(&Default::default()).await.unwrap() {
                if job.status.as_ref().is_none_or(|status| status.conditions.is_none()) {
                    self.end_job(&job.name_any(), true).await;
                }
            }
            for deployment in self.api::<Deployment>().list(&Default::default()).await.unwrap() {
                if deployment
                    .status
                    .as_ref()
                    .is_none_or(|status| status.observed_generation != deployment.metadata.generation)
                {
                    self.run_deployment(&deployment.name_any()).await;
                }
            }
            self.is_ready(platform).await
        })
        .await;
    }

    /// The platform is ready, in its present generation.
    pub async fn is_ready(&self, platform: &str) -> Result<(), crds::PlatformStatus> {
        let object = self.api::<crds::AutoGPTPlatform>().get(platform).await.unwrap();
        let status = object.status.unwrap_or_default();
        let ready =
            status.observed_generation == object.metadata.generation && crds::conditions::is_true(&status.conditions, crds::conditions::READY);
        if ready { Ok(()) } else { Err(status) }
    }
}
