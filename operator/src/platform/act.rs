//! Carries out a decision.

use std::fmt::Debug;
use std::sync::Arc;

use crds::platform::DeletionPolicy;
use k8s_openapi::NamespaceResourceScope;
use k8s_openapi::api::core::v1::Secret;
use kube::api::{Api, DeleteParams, ObjectMeta, PostParams, Preconditions, PropagationPolicy};
use kube::{Client, Resource, ResourceExt};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::platform::build::{LABEL_MANAGED_BY, Resources, generate, labels_of_secret};
use crate::platform::dereference::Dereferenced;
use crate::platform::live::Live;
use crate::platform::rollout::Decision;
use crate::platform::validate::Validated;
use crate::runtime::apply::{Applied, ApplyError, apply};
use crate::runtime::cache::Served;
use crate::runtime::events::MANAGER;

/// What was done, for events.
#[derive(Debug, Default)]
pub struct Done {
    pub created: Vec<String>,
    pub updated: Vec<String>,
    /// With the fields that somebody else had changed.
    pub reverted: Vec<String>,
    pub removed: Vec<String>,
}

impl Done {
    /// How many objects were written.
    pub fn writes(&self) -> usize {
        self.created.len() + self.updated.len() + self.reverted.len() + self.removed.len()
    }
}

/// Makes the Secrets that are missing. A Secret that exists is never written to.
pub async fn generate_secrets(client: &Client, platform: &Validated) -> Result<Done, ApplyError> {
    let api: Api<Secret> = Api::namespaced(client.clone(), &platform.namespace);
    let mut done = Done::default();
    for (name, kind, _) in platform.generated.iter().filter(|(_, _, missing)| *missing) {
        let secret = Secret {
            metadata: ObjectMeta {
                name: Some(name.clone()),
                namespace: Some(platform.namespace.clone()),
                labels: Some(labels_of_secret(&platform.names)),
                ..ObjectMeta::default()
            },
            string_data: Some(generate(&platform.names, kind, random)),
            ..Secret::default()
        };
        match api
            .create(
                &PostParams {
                    field_manager: Some(MANAGER.to_owned()),
                    dry_run: false,
                },
                &secret,
            )
            .await
        {
            Ok(_) => done.created.push(format!("Secret {name}")),
            // Somebody was faster: theirs is taken up.
            Err(kube::Error::Api(status)) if status.is_already_exists() => {}
            Err(source) => {
                return Err(ApplyError::Refused {
                    what: format!("Secret {name}"),
                    source: Box::new(source),
                });
            }
        }
    }
    Ok(done)
}

/// Applies what the decision releases, and removes what is no longer wanted.
pub async fn act(
    client: &Client,
    platform: &Validated,
    found: &Dereferenced,
    wanted: &Resources,
    live: &Live,
    decision: &Decision,
) -> Result<Done, ApplyError> {
    // A forgotten kind is a compile error here.
    let Resources {
        service_account,
        role,
        role_binding,
        services,
        stateful_sets,
        migration,
        deployments,
        frontend,
        ingress,
        http_route,
    } = wanted;
    let mut hand = Hand {
        client,
        namespace: &platform.namespace,
        done: Done::default(),
    };
    for secret in own_secrets(platform, found) {
        hand.apply(&secret.0, Some(&secret.1)).await?;
    }
    if let Some(account) = service_account {
        hand.apply(account, live.service_accounts.get(&account.name_any())).await?;
    }
    if let Some(role) = role {
        hand.apply(role, live.roles.get(&role.name_any())).await?;
    }
    if let Some(binding) = role_binding {
        hand.apply(binding, live.role_bindings.get(&binding.name_any())).await?;
    }
    for service in services {
        hand.apply(service, live.services.get(&service.name_any())).await?;
    }
    if let Some(ingress) = ingress {
        hand.apply(ingress, live.ingresses.get(&ingress.name_any())).await?;
    }
    // Without its definition it waits; the condition says so.
    if let Some(route) = http_route.as_ref().filter(|_| live.gateway_api == Served::Yes) {
        hand.apply(route, live.http_routes.get(&route.name_any())).await?;
    }
    for set in stateful_sets {
        hand.apply(set, live.stateful_sets.get(&set.name_any())).await?;
    }
    if decision.run_migration && !live.jobs.contains_key(&migration.name_any()) {
        hand.apply(migration, None).await?;
    }
    for component in &decision.release {
        if let Some(deployment) = deployments.get(component) {
            hand.apply(deployment, live.deployments.get(&deployment.name_any())).await?;
        }
    }
    if let Some(frontend) = frontend.as_ref().filter(|_| decision.release_frontend) {
        hand.apply(frontend, live.deployments.get(&frontend.name_any())).await?;
    }
    let all: Vec<_> = deployments.values().chain(frontend).cloned().collect();
    hand.prune(&live.deployments, &all).await?;
    hand.prune(&live.ingresses, ingress.as_slice()).await?;
    hand.prune(&live.http_routes, http_route.as_slice()).await?;
    hand.prune(&live.stateful_sets, stateful_sets).await?;
    hand.prune(&live.services, services).await?;
    if decision.release.len() == deployments.len() {
        hand.prune(&live.jobs, std::slice::from_ref(migration)).await?;
        hand.prune(&live.role_bindings, role_binding.as_slice()).await?;
        hand.prune(&live.roles, role.as_slice()).await?;
        hand.prune(&live.service_accounts, service_account.as_slice()).await?;
    }
    Ok(hand.done)
}

/// The Secrets that the operator made, with the owner that the deletion policy asks for. No data: that is never touched.
fn own_secrets(platform: &Validated, found: &Dereferenced) -> Vec<(Secret, Arc<Secret>)> {
    let live = platform.generated.iter().filter_map(|(name, _, _)| found.secrets.get(name)?.as_ref());
    live.filter(|secret| secret.labels().get(LABEL_MANAGED_BY).is_some_and(|by| by == MANAGER))
        .map(|live| {
            let owned = platform.spec.deletion_policy == DeletionPolicy::Delete;
            let wanted = Secret {
                metadata: ObjectMeta {
                    name: live.metadata.name.clone(),
                    namespace: live.metadata.namespace.clone(),
                    labels: Some(labels_of_secret(&platform.names)),
                    owner_references: owned.then(|| vec![platform.owner.clone()]),
                    ..ObjectMeta::default()
                },
                ..Secret::default()
            };
            (wanted, Arc::new(live.clone()))
        })
        .collect()
}

struct Hand<'a> {
    client: &'a Client,
    namespace: &'a str,
    done: Done,
}

impl Hand<'_> {
    async fn apply<K>(&mut self, wanted: &K, live: Option<&Arc<K>>) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + Serialize + DeserializeOwned + Clone + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        let what = format!("{} {}", K::kind(&()), wanted.name_any());
        match apply(&api, wanted, live.map(AsRef::as_ref)).await? {
            Applied::Unchanged => {}
            Applied::Created => self.done.created.push(what),
            Applied::Updated => self.done.updated.push(what),
            Applied::Reverted(fields) => self.done.reverted.push(format!("{what}: {}", fields.join(", "))),
        }
        Ok(())
    }

    /// Deletes what we own and no longer want. Volumes stay.
    async fn prune<K>(&mut self, live: &std::collections::BTreeMap<String, Arc<K>>, wanted: &[K]) -> Result<(), ApplyError>
    where
        K: Resource<DynamicType = (), Scope = NamespaceResourceScope> + DeserializeOwned + Clone + Debug,
    {
        let api: Api<K> = Api::namespaced(self.client.clone(), self.namespace);
        for (name, object) in live {
            let unwanted = !wanted.iter().any(|wanted| wanted.name_any() == *name) && object.meta().deletion_timestamp.is_none();
            if !unwanted {
                continue;
            }
            let parameters = DeleteParams {
                propagation_policy: Some(PropagationPolicy::Background),
                preconditions: Some(Preconditions {
                    uid: object.uid(),
                    resource_version: None,
                }),
                ..DeleteParams::default()
            };
            match api.delete(name, &parameters).await {
                Ok(_) => self.done.removed.push(format!("{} {name}", K::kind(&()))),
                Err(kube::Error::Api(status)) if status.is_not_found() || status.is_conflict() => {}
                Err(source) => {
                    return Err(ApplyError::Refused {
                        what: format!("the removal of {} {name}", K::kind(&())),
                        source: Box::new(source),
                    });
                }
            }
        }
        Ok(())
    }
}

/// 256 random bits as text that needs no escaping anywhere.
fn random() -> String {
    let bytes: [u8; 32] = rand::random();
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
