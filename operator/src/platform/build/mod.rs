//! The objects of a validated platform. Pure: the same platform gives the same objects.

mod access;
mod data;
pub mod frontend;
mod http_route;
mod ingress;
mod migration;
mod paths;
mod pod;
mod service;
mod workload;

use std::collections::BTreeMap;

use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Service, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;

use crate::platform::component::Component;
use crate::platform::gateway::HttpRoute;
use crate::platform::validate::Validated;
use crate::runtime::events::MANAGER;

pub use access::{generate, labels_of_secret};

pub const LABEL_NAME: &str = "app.kubernetes.io/name";
pub const LABEL_INSTANCE: &str = "app.kubernetes.io/instance";
pub const LABEL_COMPONENT: &str = "app.kubernetes.io/component";
pub const LABEL_PART_OF: &str = "app.kubernetes.io/part-of";
pub const LABEL_MANAGED_BY: &str = "app.kubernetes.io/managed-by";
pub const LABEL_VERSION: &str = "app.kubernetes.io/version";
/// On pod templates: changes with the contents of the Secrets that the pod uses, so that a change rolls out.
pub const ANNOTATION_CONFIG: &str = "autogpt.dev/config-hash";

/// Everything that a platform consists of, apart from its generated Secrets.
#[derive(Debug, Clone, PartialEq)]
pub struct Resources {
    pub service_account: Option<ServiceAccount>,
    pub role: Option<Role>,
    pub role_binding: Option<RoleBinding>,
    pub services: Vec<Service>,
    pub stateful_sets: Vec<StatefulSet>,
    pub migration: Job,
    pub deployments: BTreeMap<Component, Deployment>,
    pub frontend: Option<Deployment>,
    pub ingress: Option<Ingress>,
    pub http_route: Option<HttpRoute>,
}

/// Builds them.
pub fn build(platform: &Validated) -> Resources {
    let access = access::for_scheduler(platform);
    let (service_account, role, role_binding) = match access {
        Some((account, role, binding)) => (Some(account), Some(role), Some(binding)),
        None => (None, None, None),
    };
    let mut services: Vec<Service> = Component::ALL
        .iter()
        .map(|component| service::of_component(platform, *component))
        .collect();
    let mut stateful_sets = Vec::new();
    for (store, data) in &platform.data {
        if let Some(managed) = &data.managed {
            services.push(service::of_data(platform, *store));
            stateful_sets.push(data::stateful_set(platform, *store, managed));
        }
    }
    services.extend(frontend::service(platform));
    Resources {
        frontend: frontend::deployment(platform),
        ingress: ingress::ingress(platform),
        http_route: http_route::http_route(platform),
        service_account,
        role,
        role_binding,
        services,
        stateful_sets,
        migration: migration::job(platform),
        deployments: Component::ALL
            .iter()
            .map(|component| (*component, workload::deployment(platform, *component)))
            .collect(),
    }
}

/// Labels that select the pods of a component, for ever.
fn selector(platform: &Validated, component: &str) -> BTreeMap<String, String> {
    [
        (LABEL_NAME, "autogpt"),
        (LABEL_INSTANCE, platform.names.platform()),
        (LABEL_COMPONENT, component),
    ]
    .map(|(key, value)| (key.to_owned(), value.to_owned()))
    .into()
}

fn labels(platform: &Validated, component: &str) -> BTreeMap<String, String> {
    let mut labels = selector(platform, component);
    labels.insert(LABEL_PART_OF.to_owned(), "autogpt".to_owned());
    labels.insert(LABEL_MANAGED_BY.to_owned(), MANAGER.to_owned());
    labels
}

fn versioned(platform: &Validated, component: &str) -> BTreeMap<String, String> {
    let mut labels = labels(platform, component);
    // A label allows less than a tag.
    let is_end = |letter: Option<char>| letter.is_some_and(|letter| letter.is_ascii_alphanumeric());
    if platform.tag.len() <= 63 && is_end(platform.tag.chars().next()) && is_end(platform.tag.chars().next_back()) {
        labels.insert(LABEL_VERSION.to_owned(), platform.tag.clone());
    }
    labels
}

fn metadata(platform: &Validated, name: String, labels: BTreeMap<String, String>) -> ObjectMeta {
    ObjectMeta {
        name: Some(name),
        namespace: Some(platform.namespace.clone()),
        labels: Some(labels),
        owner_references: Some(vec![platform.owner.clone()]),
        ..ObjectMeta::default()
    }
}
