//! The platform's objects as they are: watched caches of one namespace, and what belongs to one platform in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::AutoGPTPlatform;
use futures::stream::{BoxStream, select_all};
use futures::{StreamExt, future};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::platform::build::{LABEL_INSTANCE, LABEL_MANAGED_BY};
use crate::runtime::cache::cache;
use crate::runtime::events::MANAGER;

/// The caches of one namespace.
#[derive(Clone)]
pub struct Caches {
    pub service_accounts: Store<ServiceAccount>,
    pub roles: Store<Role>,
    pub role_bindings: Store<RoleBinding>,
    pub services: Store<Service>,
    pub stateful_sets: Store<StatefulSet>,
    pub jobs: Store<Job>,
    pub deployments: Store<Deployment>,
    pub pods: Store<Pod>,
}

/// Starts the caches. The stream names the platform of every object that changes, and must be polled.
pub fn watch(client: &Client, namespace: &str) -> (Caches, BoxStream<'static, ObjectRef<AutoGPTPlatform>>) {
    let mut triggers = Vec::new();
    let caches = Caches {
        service_accounts: one(client, namespace, &mut triggers),
        roles: one(client, namespace, &mut triggers),
        role_bindings: one(client, namespace, &mut triggers),
        services: one(client, namespace, &mut triggers),
        stateful_sets: one(client, namespace, &mut triggers),
        jobs: one(client, namespace, &mut triggers),
        deployments: one(client, namespace, &mut triggers),
        pods: one(client, namespace, &mut triggers),
    };
    (caches, select_all(triggers).boxed())
}

fn one<K>(client: &Client, namespace: &str, triggers: &mut Vec<BoxStream<'static, ObjectRef<AutoGPTPlatform>>>) -> Store<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let config = watcher::Config::default().labels(&format!("{LABEL_MANAGED_BY}={MANAGER}"));
    let (store, changes) = cache::<K>(Api::namespaced(client.clone(), namespace), config);
    let trigger = changes.filter_map(|change| future::ready(change.ok().and_then(|object| platform_of(&object))));
    triggers.push(trigger.boxed());
    store
}

fn platform_of<K: Resource>(object: &K) -> Option<ObjectRef<AutoGPTPlatform>> {
    let name = object.labels().get(LABEL_INSTANCE)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

impl Caches {
    /// Waits until every cache has been filled once.
    pub async fn ready(&self) {
        let _ = futures::join!(
            self.service_accounts.wait_until_ready(),
            self.roles.wait_until_ready(),
            self.role_bindings.wait_until_ready(),
            self.services.wait_until_ready(),
            self.stateful_sets.wait_until_ready(),
            self.jobs.wait_until_ready(),
            self.deployments.wait_until_ready(),
            self.pods.wait_until_ready(),
        );
    }

    /// What belongs to one platform.
    pub fn of(&self, platform: &str) -> Live {
        Live {
            service_accounts: named(&self.service_accounts, platform),
            roles: named(&self.roles, platform),
            role_bindings: named(&self.role_bindings, platform),
            services: named(&self.services, platform),
            stateful_sets: named(&self.stateful_sets, platform),
            jobs: named(&self.jobs, platform),
            deployments: named(&self.deployments, platform),
            pods: named(&self.pods, platform).into_values().collect(),
        }
    }
}

fn named<K: Resource<DynamicType = ()> + Clone + 'static>(store: &Store<K>, platform: &str) -> BTreeMap<String, Arc<K>> {
    store
        .state_filter(|object| object.labels().get(LABEL_INSTANCE).is_some_and(|instance| instance == platform))
        .into_iter()
        .map(|object| (object.name_any(), object))
        .collect()
}

/// The objects of one platform by name.
#[derive(Debug, Clone, Default)]
pub struct Live {
    pub service_accounts: BTreeMap<String, Arc<ServiceAccount>>,
    pub roles: BTreeMap<String, Arc<Role>>,
    pub role_bindings: BTreeMap<String, Arc<RoleBinding>>,
    pub services: BTreeMap<String, Arc<Service>>,
    pub stateful_sets: BTreeMap<String, Arc<StatefulSet>>,
    pub jobs: BTreeMap<String, Arc<Job>>,
    pub deployments: BTreeMap<String, Arc<Deployment>>,
    pub pods: Vec<Arc<Pod>>,
}
