//! The Ingress: one host, the services behind the paths of the contract.

use crds::exposure::Ingress as Wanted;
use k8s_openapi::api::networking::v1::{
    HTTPIngressPath, HTTPIngressRuleValue, Ingress, IngressBackend, IngressRule, IngressServiceBackend, IngressSpec, IngressTLS, ServiceBackendPort,
};

use super::{frontend, labels, metadata};
use crate::platform::component::Component;
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
                http: Some(HTTPIngressRuleValue { paths: paths(platform) }),
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

/// The longest path wins. The frontend passes its browser's calls on under `/api/proxy` (rest.md §3.5), so that one is not the API's.
fn paths(platform: &Validated) -> Vec<HTTPIngressPath> {
    let to = |component: Component| (platform.names.component(component), component.port());
    let (rest, websocket) = (to(Component::Rest), to(Component::Websocket));
    let mut paths = vec![
        path("/api", &rest),
        path("/auth/v1", &rest),
        path("/external-api", &rest),
        path("/ws", &websocket),
    ];
    if platform.spec.frontend.is_some() {
        let frontend = (platform.names.frontend(), frontend::PORT);
        paths.push(path("/api/proxy", &frontend));
        paths.push(path("/", &frontend));
    } else {
        paths.push(path("/", &rest));
    }
    paths
}

fn path(path: &str, (service, port): &(String, i32)) -> HTTPIngressPath {
    HTTPIngressPath {
        path: Some(path.to_owned()),
        path_type: "Prefix".to_owned(),
        backend: IngressBackend {
            service: Some(IngressServiceBackend {
                name: service.clone(),
                port: Some(ServiceBackendPort {
                    number: Some(*port),
                    name: None,
                }),
            }),
            resource: None,
        },
    }
}
