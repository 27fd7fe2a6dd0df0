//! The Services: one for each of the six services on the contract's port, one for each managed data service.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Service, ServicePort, ServiceSpec};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::{labels, metadata, selector};
use crate::platform::component::{Component, DataStore};
use crate::platform::validate::Validated;

pub fn of_component(platform: &Validated, component: Component) -> Service {
    let name = platform.names.component(component);
    service(platform, name, component.name(), "http", component.port(), "http")
}

pub fn of_data(platform: &Validated, store: DataStore) -> Service {
    service(
        platform,
        platform.names.data(store),
        store.name(),
        store.name(),
        store.port(),
        store.name(),
    )
}

pub fn service(platform: &Validated, name: String, component: &str, port_name: &str, port: i32, target: &str) -> Service {
    let select: BTreeMap<String, String> = selector(platform, component);
    Service {
        metadata: metadata(platform, name, labels(platform, component)),
        spec: Some(ServiceSpec {
            type_: Some("ClusterIP".to_owned()),
            selector: Some(select),
            ports: Some(vec![ServicePort {
                name: Some(port_name.to_owned()),
                port,
                target_port: Some(IntOrString::String(target.to_owned())),
                protocol: Some("TCP".to_owned()),
                ..ServicePort::default()
            }]),
            ..ServiceSpec::default()
        }),
        status: None,
    }
}
