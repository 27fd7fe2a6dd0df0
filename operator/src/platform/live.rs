//! The platform's objects as they are: watched caches of one namespace, and what belongs to one platform in them.

use std::collections::BTreeMap;
use std::sync::Arc;

use crds::AutoGPTPlatform;
use futures::stream::{BoxStream, select_all};
use futures::{Stream, StreamExt, future};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use kube::api::Api;
use kube::runtime::reflector::{ObjectRef, Store};
use kube::runtime::watcher;
use kube::{Client, Resource, ResourceExt};
use serde::de::DeserializeOwned;

use crate::platform::build::{LABEL_INSTANCE, LABEL_MANAGED_BY};
use crate::platform::gateway::HttpRoute;
use crate::runtime::cache::{Cache, Optional, Served, cache, optional};
use crate::runtime::connection::watching;
use crate::runtime::events::MANAGER;

/// The caches of one namespace.
#[derive(Clone)]
pub struct Caches {
    pub service_accounts: Cache<ServiceAccount>,
    pub roles: Cache<Role>,
    pub role_bindings: Cache<RoleBinding>,
    pub services: Cache<Service>,
    pub stateful_sets: Cache<StatefulSet>,
    pub jobs: Cache<Job>,
    pub deployments: Cache<Deployment>,
    pub ingresses: Cache<Ingress>,
    pub http_routes: Optional<HttpRoute>,
    pub pods: Cache<Pod>,
}

/// Starts the caches. The stream names the platform of every object that changes, and must be polled.
pub fn watch(client: &Client, namespace: &str) -> (Caches, BoxStream<'static, ObjectRef<AutoGPTPlatform>>) {
    let mut triggers = Vec::new();
    let (http_routes, changes) = optional::<HttpRoute>(Api::namespaced(client.clone(), namespace), owned());
    triggers.push(platforms_of(changes));
    let caches = Caches {
        service_accounts: one(client, namespace, &mut triggers),
        roles: one(client, namespace, &mut triggers),
        role_bindings: one(client, namespace, &mut triggers),
        services: one(client, namespace, &mut triggers),
        stateful_sets: one(client, namespace, &mut triggers),
        jobs: one(client, namespace, &mut triggers),
        deployments: one(client, namespace, &mut triggers),
        ingresses: one(client, namespace, &mut triggers),
        http_routes,
        pods: one(client, namespace, &mut triggers),
    };
    (caches, select_all(triggers).boxed())
}

fn one<K>(client: &Client, namespace: &str, triggers: &mut Vec<BoxStream<'static, ObjectRef<AutoGPTPlatform>>>) -> Cache<K>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug + Send + Sync + 'static,
{
    let (store, changes) = cache::<K>(Api::namespaced(client.clone(), namespace), owned());
    triggers.push(platforms_of(changes));
    store
}

/// What the operator made.
fn owned() -> watcher::Config {
    watching().labels(&format!("{LABEL_MANAGED_BY}={MANAGER}"))
}

fn platforms_of<K: Resource + 'static>(
    changes: impl Stream<Item = watcher::Result<K>> + Send + 'static,
) -> BoxStream<'static, ObjectRef<AutoGPTPlatform>> {
    changes
        .filter_map(|change| future::ready(change.ok().and_then(|object| platform_of(&object))))
        .boxed()
}

fn platform_of<K: Resource>(object: &K) -> Option<ObjectRef<AutoGPTPlatform>> {
    let name = object.labels().get(LABEL_INSTANCE)?;
    Some(ObjectRef::new(name).within(&object.namespace()?))
}

impl Caches {
    /// Waits until every cache has been filled once.
    pub async fn ready(&self) {
        futures::join!(
            self.service_accounts.ready(),
            self.roles.ready(),
            self.role_bindings.ready(),
            self.services.ready(),
            self.stateful_sets.ready(),
            self.jobs.ready(),
            self.deployments.ready(),
            self.ingresses.ready(),
            self.http_routes.settled(),
            self.pods.ready(),
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
            ingresses: named(&self.ingresses, platform),
            http_routes: named(&self.http_routes, platform),
            gateway_api: self.http_routes.served(),
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
    pub ingresses: BTreeMap<String, Arc<Ingress>>,
    pub http_routes: BTreeMap<String, Arc<HttpRoute>>,
    /// Whether there are HTTPRoutes in this cluster at all.
    pub gateway_api: Served,
    pub pods: Vec<Arc<Pod>>,
}
