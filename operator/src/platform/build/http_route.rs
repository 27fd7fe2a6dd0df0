//! The HTTPRoute: the paths of the Ingress, attached to a Gateway.

use std::collections::BTreeMap;

use crds::exposure::Gateway;

use super::paths::{Door, doors};
use super::{labels, metadata};
use crate::platform::gateway::{BackendRef, HttpRoute, HttpRouteSpec, Match, PathMatch, Rule};
use crate::platform::validate::Validated;

/// `app.kubernetes.io/component` of the HTTPRoute.
const COMPONENT: &str = "gateway";

pub fn http_route(platform: &Validated) -> Option<HttpRoute> {
    let Gateway {
        parent_ref,
        hostnames,
        url: _,
    } = platform.spec.gateway.as_ref()?;
    // One rule for each Service, in the order of their first paths.
    let mut rules: Vec<Rule> = Vec::new();
    let mut places: BTreeMap<(String, i32), usize> = BTreeMap::new();
    for Door { path, service, port } in doors(platform) {
        let place = *places.entry((service.clone(), port)).or_insert_with(|| {
            rules.push(Rule {
                matches: Vec::new(),
                backend_refs: vec![BackendRef { name: service, port }],
            });
            rules.len() - 1
        });
        if let Some(rule) = rules.get_mut(place) {
            rule.matches.push(Match {
                path: PathMatch {
                    kind: "PathPrefix".to_owned(),
                    value: path.to_owned(),
                },
            });
        }
    }
    Some(HttpRoute {
        metadata: metadata(platform, platform.names.platform().to_owned(), labels(platform, COMPONENT)),
        spec: HttpRouteSpec {
            parent_refs: vec![parent_ref.clone()],
            hostnames: hostnames.clone(),
            rules,
        },
        status: None,
    })
}
