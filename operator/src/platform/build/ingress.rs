//! The Ingress: one host, the services behind the paths of the contract.

use crds::exposure::Ingress as Wanted;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::paths::{Door, doors};
use super::{labels, metadata};
use crate::platform::validate::Validated;

/// `app.kubernetes.io/component` of the Ingress.
const COMPONENT: &str = "ingress";

pub fn ingress(platform: &Validated) -> Option<Ingress> {
    let Wanted {
        class_name,
        host,
        tls,
        annotations,
    } = platform.spec.ingress.as_ref()?;
    let mut metadata = metadata(platform, platform.names.platform().to_owned(), labels(platform, COMPONENT));
    metadata.annotations = Some(annotations.clone()).filter(|annotations| !annotations.is_empty());
    Some(Ingress {
        metadata,
        spec: Some(IngressSpec {
            ingress_class_name: class_name.clone(),
            rules: Some(vec![IngressRule {
                host: host.clone(),
                http: Some(HTTPIngressRuleValue {
                    paths: doors(platform).into_iter().map(path).collect(),
                }),
            }]),
            tls: tls.as_ref().map(|tls| {
                vec![IngressTLS {
                    hosts: host.clone().map(|host| vec![host]),
                    secret_name: Some(tls.secret_name.clone()),
                }]
            }),
            ..IngressSpec::default()
        }),
        status: None,
    })
}

fn path(Door { path, service, port }: Door) -> HTTPIngressPath {
    HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: service,
                port: Some(ServiceBackendPort {
                    number: Some(port),
                    name: None,
                }),
            }),
            resource: None,
        },
    }
}
