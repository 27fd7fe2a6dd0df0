//! What all pods have in common: who they run as, what they may not do, how variables and volumes are written.

use std::collections::BTreeMap;

use crds::platform::{ResourceList, Resources};
use k8s_openapi::api::core::v1::{
    Capabilities, ContainerPort, EmptyDirVolumeSource, EnvVar, EnvVarSource, HTTPGetAction, Lifecycle, LifecycleHandler, PodSecurityContext, Probe,
    ResourceRequirements, SeccompProfile, SecretKeySelector, SecurityContext, SleepAction, TCPSocketAction, Volume, VolumeMount,
};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity;
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use crate::platform::validate::SecretKey;

/// User and group of the services' images.
pub const SERVICE_USER: i64 = 65532;
/// User and group of the data services' images.
pub const DATA_USER: i64 = 999;
/// Seconds that a pod which is asked to go serves on: proxies and ingress controllers hear of it a little later, and a caller sent to a pod
/// that is gone waits for nothing, half a minute with some.
const LINGER: i64 = 10;

pub fn security(user: i64) -> PodSecurityContext {
    PodSecurityContext {
        run_as_non_root: Some(true),
        run_as_user: Some(user),
        run_as_group: Some(user),
        fs_group: (user == DATA_USER).then_some(user),
        // Otherwise every start would open the files of the volume to the group, which Erlang's cookie does not allow.
        fs_group_change_policy: (user == DATA_USER).then(|| "OnRootMismatch".to_owned()),
        seccomp_profile: Some(SeccompProfile {
            type_: "RuntimeDefault".to_owned(),
            localhost_profile: None,
        }),
        ..PodSecurityContext::default()
    }
}

pub fn confinement() -> SecurityContext {
    SecurityContext {
        allow_privilege_escalation: Some(false),
        read_only_root_filesystem: Some(true),
        capabilities: Some(Capabilities {
            drop: Some(vec!["ALL".to_owned()]),
            add: None,
        }),
        ..SecurityContext::default()
    }
}

pub fn value(name: &str, value: impl Into<String>) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value: Some(value.into()),
        ..EnvVar::default()
    }
}

pub fn secret(name: &str, key: &SecretKey) -> EnvVar {
    EnvVar {
        name: name.to_owned(),
        value_from: Some(EnvVarSource {
            secret_key_ref: Some(SecretKeySelector {
                name: key.secret.clone(),
                key: key.key.clone(),
                optional: None,
            }),
            ..EnvVarSource::default()
        }),
        ..EnvVar::default()
    }
}

pub fn port(name: &str, number: i32) -> ContainerPort {
    ContainerPort {
        name: Some(name.to_owned()),
        container_port: number,
        protocol: Some("TCP".to_owned()),
        ..ContainerPort::default()
    }
}

/// Keeps a container that others call until nobody is sent to it any more.
pub fn linger() -> Lifecycle {
    Lifecycle {
        pre_stop: Some(LifecycleHandler {
            sleep: Some(SleepAction { seconds: LINGER }),
            ..LifecycleHandler::default()
        }),
        ..Lifecycle::default()
    }
}

/// An HTTP probe. The timeout allows for a busy machine.
pub fn http_probe(path: &str, port: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        http_get: Some(HTTPGetAction {
            path: Some(path.to_owned()),
            port: IntOrString::String(port.to_owned()),
            ..HTTPGetAction::default()
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// A probe that only connects.
pub fn socket_probe(port: &str, period_seconds: i32, failure_threshold: i32) -> Probe {
    Probe {
        tcp_socket: Some(TCPSocketAction {
            port: IntOrString::String(port.to_owned()),
            host: None,
        }),
        period_seconds: Some(period_seconds),
        timeout_seconds: Some(5),
        failure_threshold: Some(failure_threshold),
        ..Probe::default()
    }
}

/// A writable directory that lasts as long as the pod.
pub fn scratch(name: &str) -> Volume {
    Volume {
        name: name.to_owned(),
        empty_dir: Some(EmptyDirVolumeSource::default()),
        ..Volume::default()
    }
}

pub fn mount(name: &str, path: &str) -> VolumeMount {
    VolumeMount {
        name: name.to_owned(),
        mount_path: path.to_owned(),
        ..VolumeMount::default()
    }
}

/// Requests and limits as asked for, or the given requests when nothing was.
pub fn resources(wanted: Option<&Resources>, default_cpu: &str, default_memory: &str) -> ResourceRequirements {
    match wanted {
        Some(wanted) => ResourceRequirements {
            requests: wanted.requests.as_ref().map(amounts),
            limits: wanted.limits.as_ref().map(amounts),
            claims: None,
        },
        None => ResourceRequirements {
            requests: Some(amounts(&ResourceList {
                cpu: Some(Quantity(default_cpu.to_owned())),
                memory: Some(Quantity(default_memory.to_owned())),
            })),
            limits: None,
            claims: None,
        },
    }
}

fn amounts(list: &ResourceList) -> BTreeMap<String, Quantity> {
    let ResourceList { cpu, memory } = list;
    [("cpu", cpu), ("memory", memory)]
        .into_iter()
        .filter_map(|(name, amount)| Some((name.to_owned(), amount.clone()?)))
        .collect()
}
