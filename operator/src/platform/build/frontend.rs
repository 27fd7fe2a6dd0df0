//! The web frontend: somebody else's image, told by variables where this platform is.

use std::collections::BTreeMap;

use crds::exposure::Frontend;
use k8s_openapi::api::apps::v1::{Deployment, DeploymentSpec};
use k8s_openapi::api::core::v1::{Container, EnvVar, PodSpec, PodTemplateSpec, SecurityContext, Service};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};

use super::{ANNOTATION_CONFIG, metadata, pod, selector, service, versioned, workload};
use crate::platform::component::Component;
use crate::platform::validate::Validated;

/// Its `app.kubernetes.io/component`.
pub const COMPONENT: &str = "frontend";
/// Where it listens.
pub const PORT: i32 = 3000;

pub fn service(platform: &Validated) -> Option<Service> {
    platform.spec.frontend.as_ref()?;
    Some(service::service(platform, platform.names.frontend(), COMPONENT, "http", PORT, "http"))
}

pub fn deployment(platform: &Validated) -> Option<Deployment> {
    let options = platform.spec.frontend.as_ref()?;
    let labels = versioned(platform, COMPONENT);
    let env = environment(platform, options);
    Some(Deployment {
        metadata: metadata(platform, platform.names.frontend(), labels.clone()),
        spec: Some(DeploymentSpec {
            replicas: Some(options.replicas),
            selector: LabelSelector {
                match_labels: Some(selector(platform, COMPONENT)),
                match_expressions: None,
            },
            revision_history_limit: Some(3),
            strategy: Some(workload::never_less()),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels),
                    annotations: Some(BTreeMap::from([(
                        ANNOTATION_CONFIG.to_owned(),
                        workload::config_hash(platform, &env, None),
                    )])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(platform, options, env)),
            },
            ..DeploymentSpec::default()
        }),
        status: None,
    })
}

fn pod_spec(platform: &Validated, options: &Frontend, env: Vec<EnvVar>) -> PodSpec {
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod::security(pod::SERVICE_USER)),
        containers: vec![Container {
            name: COMPONENT.to_owned(),
            image: Some(options.image.clone()),
            image_pull_policy: Some(platform.pull_policy.as_str().to_owned()),
            ports: Some(vec![pod::port("http", PORT)]),
            env: Some(env),
            liveness_probe: Some(pod::socket_probe("http", 10, 6)),
            readiness_probe: Some(pod::socket_probe("http", 2, 3)),
            lifecycle: Some(pod::linger()),
            resources: Some(pod::resources(options.resources.as_ref(), "50m", "256Mi")),
            // It keeps a cache beside its code.
            security_context: Some(SecurityContext {
                read_only_root_filesystem: Some(false),
                ..pod::confinement()
            }),
            volume_mounts: Some(vec![pod::mount("tmp", "/tmp")]),
            ..Container::default()
        }],
        volumes: Some(vec![pod::scratch("tmp")]),
        ..PodSpec::default()
    }
}

/// What it reads at run time, on its server side (rest.md §4.1); then the user's, which win.
fn environment(platform: &Validated, options: &Frontend) -> Vec<EnvVar> {
    let address = |component: Component| format!("{}:{}", platform.names.component(component), component.port());
    let rest = format!("http://{}", address(Component::Rest));
    let mut variables = vec![
        pod::value("HOSTNAME", "0.0.0.0"),
        pod::value("PORT", PORT.to_string()),
        pod::value("SUPABASE_URL", &rest),
        pod::value("AGPT_SERVER_URL", server_url(&rest)),
        pod::value("AGPT_WS_SERVER_URL", format!("ws://{}/ws", address(Component::Websocket))),
    ];
    if let Some(external) = platform.external_url() {
        variables.push(pod::value("AUTH_CALLBACK_URL", format!("{external}/auth/callback")));
    }
    workload::with_wanted(variables, &options.env)
}

/// The frontend cuts the first `/api` out of this address (rest.md trap 19), which must not be the beginning of the host. Capital letters
/// lead to the same host.
fn server_url(rest: &str) -> String {
    format!("{}/api", rest.replacen("/api", "/API", 1))
}
