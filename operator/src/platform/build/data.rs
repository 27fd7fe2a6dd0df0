//! Managed data services: StatefulSets of one replica each, with the official images' variables and paths.

use std::collections::BTreeMap;

use crds::platform::DeletionPolicy;
use k8s_openapi::api::apps::v1::{StatefulSet, StatefulSetPersistentVolumeClaimRetentionPolicy, StatefulSetSpec};
use k8s_openapi::api::core::v1::{
    Container, EnvVar, ExecAction, PersistentVolumeClaim, PersistentVolumeClaimSpec, PodSpec, PodTemplateSpec, Probe, TCPSocketAction, Volume,
    VolumeMount, VolumeResourceRequirements,
};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use serde_json::json;

use super::{ANNOTATION_CONFIG, labels, metadata, pod, selector};
use crate::platform::component::DataStore;
use crate::platform::validate::{ManagedData, SecretKey, Validated};
use crate::runtime::apply;

const VOLUME: &str = "data";

pub fn stateful_set(platform: &Validated, store: DataStore, managed: &ManagedData) -> StatefulSet {
    let name = platform.names.data(store);
    let labels = labels(platform, store.name());
    let contents = platform.secrets_hash.get(&name);
    StatefulSet {
        metadata: metadata(platform, name.clone(), labels.clone()),
        spec: Some(StatefulSetSpec {
            replicas: Some(1),
            service_name: Some(name.clone()),
            selector: LabelSelector {
                match_labels: Some(selector(platform, store.name())),
                match_expressions: None,
            },
            revision_history_limit: Some(3),
            persistent_volume_claim_retention_policy: Some(StatefulSetPersistentVolumeClaimRetentionPolicy {
                when_deleted: Some(
                    match platform.spec.deletion_policy {
                        DeletionPolicy::Retain => "Retain",
                        DeletionPolicy::Delete => "Delete",
                    }
                    .to_owned(),
                ),
                when_scaled: Some("Retain".to_owned()),
            }),
            template: PodTemplateSpec {
                metadata: Some(ObjectMeta {
                    labels: Some(labels.clone()),
                    annotations: Some(BTreeMap::from([(ANNOTATION_CONFIG.to_owned(), apply::hash(&json!(contents)))])),
                    ..ObjectMeta::default()
                }),
                spec: Some(pod_spec(platform, store, managed)),
            },
            volume_claim_templates: Some(vec![claim(managed, selector(platform, store.name()))]),
            ..StatefulSetSpec::default()
        }),
        status: None,
    }
}

fn pod_spec(platform: &Validated, store: DataStore, managed: &ManagedData) -> PodSpec {
    let parts = parts(store, &platform.names.data(store));
    PodSpec {
        automount_service_account_token: Some(false),
        enable_service_links: Some(false),
        security_context: Some(pod::security(pod::DATA_USER)),
        termination_grace_period_seconds: Some(60),
        containers: vec![Container {
            name: store.name().to_owned(),
            image: Some(managed.image.clone()),
            image_pull_policy: Some(platform.pull_policy.as_str().to_owned()),
            args: parts.args,
            env: Some(parts.env),
            ports: Some(vec![pod::port(store.name(), store.port())]),
            readiness_probe: Some(Probe {
                period_seconds: Some(3),
                // A busy machine needs more than a second to start pg_isready.
                timeout_seconds: Some(5),
                failure_threshold: Some(3),
                ..parts.readiness
            }),
            resources: Some(pod::resources(managed.options.resources.as_ref(), "50m", "128Mi")),
            security_context: Some(pod::confinement()),
            volume_mounts: Some(parts.mounts),
            ..Container::default()
        }],
        volumes: Some(parts.scratch),
        ..PodSpec::default()
    }
}

/// What differs between the three.
struct Parts {
    args: Option<Vec<String>>,
    env: Vec<EnvVar>,
    readiness: Probe,
    mounts: Vec<VolumeMount>,
    scratch: Vec<Volume>,
}

fn parts(store: DataStore, secret: &str) -> Parts {
    let from = |variable: &str, key: &str| {
        pod::secret(
            variable,
            &SecretKey {
                secret: secret.to_owned(),
                key: key.to_owned(),
            },
        )
    };
    match store {
        DataStore::Postgres => Parts {
            args: None,
            env: vec![
                from("POSTGRES_USER", "username"),
                from("POSTGRES_PASSWORD", "password"),
                from("POSTGRES_DB", "database"),
                // Not the volume's root, which may hold lost+found.
                pod::value("PGDATA", "/var/lib/postgresql/data/pgdata"),
            ],
            // By address: while the image prepares the database, the server listens on its socket only.
            readiness: exec("pg_isready --host=127.0.0.1 --username=\"$POSTGRES_USER\" --dbname=\"$POSTGRES_DB\""),
            mounts: vec![
                pod::mount(VOLUME, "/var/lib/postgresql/data"),
                pod::mount("run", "/var/run/postgresql"),
                pod::mount("tmp", "/tmp"),
            ],
            scratch: vec![pod::scratch("run"), pod::scratch("tmp")],
        },
        DataStore::Redis => Parts {
            args: Some(
                [
                    "redis-server",
                    "--requirepass",
                    "$(REDIS_PASSWORD)",
                    "--dir",
                    "/data",
                    "--appendonly",
                    "yes",
                ]
                .map(str::to_owned)
                .to_vec(),
            ),
            env: vec![from("REDIS_PASSWORD", "password"), from("REDISCLI_AUTH", "password")],
            readiness: exec("redis-cli ping | grep -q PONG"),
            mounts: vec![pod::mount(VOLUME, "/data"), pod::mount("tmp", "/tmp")],
            scratch: vec![pod::scratch("tmp")],
        },
        DataStore::RabbitMq => Parts {
            args: None,
            env: vec![
                from("RABBITMQ_DEFAULT_USER", "username"),
                from("RABBITMQ_DEFAULT_PASS", "password"),
                // The data directory is named after the node: it must not change with the pod's address.
                pod::value("RABBITMQ_NODENAME", "rabbit@localhost"),
            ],
            readiness: Probe {
                tcp_socket: Some(TCPSocketAction {
                    port: IntOrString::String(store.name().to_owned()),
                    host: None,
                }),
                ..Probe::default()
            },
            mounts: vec![
                // The Erlang cookie is made anew with each pod; only the broker's data must last.
                pod::mount("home", "/var/lib/rabbitmq"),
                pod::mount(VOLUME, "/var/lib/rabbitmq/mnesia"),
                pod::mount("log", "/var/log/rabbitmq"),
                pod::mount("tmp", "/tmp"),
            ],
            scratch: vec![pod::scratch("home"), pod::scratch("log"), pod::scratch("tmp")],
        },
    }
}

fn exec(command: &str) -> Probe {
    Probe {
        exec: Some(ExecAction {
            command: Some(vec!["sh".to_owned(), "-c".to_owned(), command.to_owned()]),
        }),
        ..Probe::default()
    }
}

fn claim(managed: &ManagedData, labels: BTreeMap<String, String>) -> PersistentVolumeClaim {
    let storage = &managed.options.storage;
    PersistentVolumeClaim {
        metadata: ObjectMeta {
            name: Some(VOLUME.to_owned()),
            labels: Some(labels),
            ..ObjectMeta::default()
        },
        spec: Some(PersistentVolumeClaimSpec {
            access_modes: Some(vec!["ReadWriteOnce".to_owned()]),
            storage_class_name: storage.storage_class_name.clone(),
            resources: Some(VolumeResourceRequirements {
                requests: Some(BTreeMap::from([("storage".to_owned(), storage.size.clone())])),
                limits: None,
            }),
            ..PersistentVolumeClaimSpec::default()
        }),
        status: None,
    }
}
