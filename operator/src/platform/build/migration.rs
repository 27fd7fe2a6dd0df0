//! The migration Job: the database manager's image with `migrate`. Its name carries a hash of what it runs, because a
//! Job cannot be changed: a new version or another database is a new Job.

use k8s_openapi::api::batch::v1::{Job, JobSpec};
use k8s_openapi::api::core::v1::{Container, PodSpec, PodTemplateSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use serde_json::json;

use super::{metadata, pod, versioned, workload};
use crate::platform::component::{Component, DataStore};
use crate::platform::validate::Validated;
use crate::runtime::apply;

/// `app.kubernetes.io/component` of the Job and its pods.
pub const COMPONENT: &str = "migration";

pub fn job(platform: &Validated) -> Job {
    let labels = versioned(platform, COMPONENT);
    let image = workload::image(platform, Component::DatabaseManager);
    let database = platform.data.get(&DataStore::Postgres).map(|data| &data.url);
    let mut env = vec![pod::value("LOG_FORMAT", "json")];
    env.extend(database.map(|url| pod::secret(DataStore::Postgres.url_variable(), url)));
    let contents = database.and_then(|url| platform.secrets_hash.get(&url.secret));
    let hash = apply::hash(&json!([image, platform.pull_policy.as_str(), contents]));
    Job {
        metadata: metadata(platform, platform.names.migration(&hash), labels.clone()),
        spec: Some(JobSpec {
            backoff_limit: Some(4),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    ..ObjectMeta::default()
                }),
                spec: Some(PodSpec {
                    automount_service_account_token: Some(false),
                    enable_service_links: Some(false),
                    restart_policy: Some("Never".to_owned()),
                    security_context: Some(pod::security(pod::SERVICE_USER)),
                    containers: vec![Container {
                        name: COMPONENT.to_owned(),
                        image: Some(image),
                        image_pull_policy: Some(platform.pull_policy.as_str().to_owned()),
                        args: Some(vec!["migrate".to_owned()]),
                        env: Some(env),
                        resources: Some(pod::resources(None, "25m", "48Mi")),
                        security_context: Some(pod::confinement()),
                        ..Container::default()
                    }],
                    ..PodSpec::default()
                }),
            },
            ..JobSpec::default()
        }),
        status: None,
    }
}
