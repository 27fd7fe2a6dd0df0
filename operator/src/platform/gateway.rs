//! The HTTPRoute of the Gateway API (`gateway.networking.k8s.io/v1`), as far as the operator writes and reads it.

use crds::conditions::reason;
use crds::exposure::ParentRef;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::{CustomResource, ResourceExt};
use serde::{Deserialize, Serialize};

use crate::runtime::cache::Served;

/// Which requests that reach a Gateway go to which Service.
#[derive(CustomResource, Debug, Clone, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "gateway.networking.k8s.io",
    version = "v1",
    kind = "HTTPRoute",
    plural = "httproutes",
    root = "HttpRoute",
    namespaced,
    schema = "disabled",
    status = "HttpRouteStatus",
    derive = "PartialEq"
)]
#[serde(rename_all = "camelCase")]
pub struct HttpRouteSpec {
    #[serde(default)]
    pub parent_refs: Vec<ParentRef>,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hostnames: Vec<String>,
    #[serde(default)]
    pub rules: Vec<Rule>,
}

/// What is matched, and where it goes.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Rule {
    #[serde(default)]
    pub matches: Vec<Match>,
    #[serde(default)]
    pub backend_refs: Vec<BackendRef>,
}

/// One way to be matched.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    #[serde(default)]
    pub path: PathMatch,
}

/// A path, and how it is compared.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PathMatch {
    #[serde(rename = "type", default)]
    pub kind: String,
    #[serde(default)]
    pub value: String,
}

/// A Service of the same namespace.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct BackendRef {
    pub name: String,
    #[serde(default)]
    pub port: i32,
}

/// What controllers say about a route.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HttpRouteStatus {
    #[serde(default)]
    pub parents: Vec<ParentStatus>,
}

/// What one controller says about one of the route's parents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ParentStatus {
    pub parent_ref: ParentRef,
    #[serde(default)]
    pub controller_name: String,
    #[serde(default)]
    pub conditions: Vec<Condition>,
}

/// How the route stands: whether it serves, why (a reason of [`crds::conditions`]), and in words with a remedy.
pub fn verdict(wanted: &HttpRoute, live: Option<&HttpRoute>, served: &Served) -> (bool, &'static str, String) {
    let name = wanted.name_any();
    let namespace = wanted.namespace().unwrap_or_default();
    match served {
        Served::No(why) => {
            let message = format!(
                "HTTPRoutes cannot be used in this cluster ({why}): install the standard definitions of the Gateway API \
                 (https://gateway-api.sigs.k8s.io) and a controller for it, or remove spec.gateway; this is looked at again every half minute"
            );
            return (false, reason::GATEWAY_API_MISSING, message);
        }
        Served::Unknown => return (false, reason::ROUTE_PENDING, "HTTPRoutes have not been read yet".to_owned()),
        Served::Yes => {}
    }
    let Some(parent) = wanted.spec.parent_refs.first() else {
        return (false, reason::ROUTE_PENDING, format!("HTTPRoute {name} names no Gateway"));
    };
    let home = parent.namespace.as_deref().unwrap_or(&namespace);
    let gateway = format!("Gateway {home}/{}", parent.name);
    let generation = live.and_then(|live| live.metadata.generation);
    let said: Vec<&ParentStatus> = live
        .and_then(|live| live.status.as_ref())
        .iter()
        .flat_map(|status| &status.parents)
        .filter(|status| is_about(&status.parent_ref, parent, &namespace))
        .filter(|status| is_fresh(&status.conditions, generation))
        .collect();
    // Where several controllers speak, the one that takes the route counts.
    let Some(status) = said.iter().find(|status| is(&status.conditions, "Accepted", "True")).or(said.first()) else {
        let message = format!(
            "no controller has answered for HTTPRoute {name} yet: is there a {gateway}, and does a controller serve its class? \
             (`kubectl -n {home} describe gateway {}`)",
            parent.name
        );
        return (false, reason::ROUTE_PENDING, message);
    };
    let why = |kind: &str| {
        let found = crds::conditions::get(&status.conditions, kind);
        found.map_or(("", String::new()), |found| {
            (
                found.reason.as_str(),
                format!("{}: {}", found.reason, found.message.trim_end_matches('.')),
            )
        })
    };
    if !is(&status.conditions, "Accepted", "True") {
        let (code, words) = why("Accepted");
        let remedy = match code {
            "NotAllowedByListeners" => {
                format!("let a listener of it take HTTPRoutes of namespace {namespace} (spec.listeners[].allowedRoutes)")
            }
            "NoMatchingListenerHostname" => "name hostnames that a listener of it serves in spec.gateway.hostnames".to_owned(),
            "NoMatchingParent" => "correct sectionName and port of spec.gateway.parentRef: it has no such listener".to_owned(),
            _ => format!("see `kubectl -n {home} describe gateway {}`", parent.name),
        };
        return (
            false,
            reason::ROUTE_REFUSED,
            format!("{gateway} does not take HTTPRoute {name} ({words}): {remedy}"),
        );
    }
    if is(&status.conditions, "ResolvedRefs", "False") {
        let (_, words) = why("ResolvedRefs");
        let message =
            format!("{gateway} took HTTPRoute {name} and does not find what it leads to ({words}): see `kubectl -n {namespace} get services`");
        return (false, reason::ROUTE_UNRESOLVED, message);
    }
    (
        true,
        reason::ROUTE_ACCEPTED,
        format!("{gateway} serves HTTPRoute {name} ({})", status.controller_name),
    )
}

fn is(list: &[Condition], kind: &str, status: &str) -> bool {
    crds::conditions::get(list, kind).is_some_and(|condition| condition.status == status)
}

/// Whether what was said is about the route as it is now.
fn is_fresh(list: &[Condition], generation: Option<i64>) -> bool {
    crds::conditions::get(list, "Accepted")
        .is_some_and(|condition| condition.observed_generation.is_none() || condition.observed_generation >= generation)
}

/// Whether a status is about this parent. Controllers may leave the namespace out when it is the route's own.
fn is_about(found: &ParentRef, wanted: &ParentRef, namespace: &str) -> bool {
    let home = |parent: &ParentRef| parent.namespace.clone().unwrap_or_else(|| namespace.to_owned());
    found.name == wanted.name && home(found) == home(wanted) && found.section_name == wanted.section_name && found.port == wanted.port
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn route(status: Value) -> HttpRoute {
        serde_json::from_value(json!({
            "apiVersion": "gateway.networking.k8s.io/v1", "kind": "HTTPRoute",
            "metadata": {"name": "p", "namespace": "agents", "generation": 2},
            "spec": {"parentRefs": [{"name": "gw", "namespace": "edge", "sectionName": "web"}]},
            "status": status,
        }))
        .unwrap()
    }

    fn parent(controller: &str, generation: i64, conditions: &[(&str, &str, &str, &str)]) -> Value {
        let conditions: Vec<Value> = conditions
            .iter()
            .map(|(kind, status, reason, message)| {
                json!({"type": kind, "status": status, "reason": reason, "message": message, "observedGeneration": generation,
                    "lastTransitionTime": "2026-01-01T00:00:00Z"})
            })
            .collect();
        json!({"parentRef": {"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "gw", "namespace": "edge", "sectionName": "web"},
            "controllerName": controller, "conditions": conditions})
    }

    fn judge(parents: &[Value]) -> (bool, &'static str, String) {
        let live = route(json!({"parents": parents}));
        verdict(&route(Value::Null), Some(&live), &Served::Yes)
    }

    #[test]
    fn without_the_definitions_it_says_what_to_install() {
        let (ready, why, message) = verdict(&route(Value::Null), None, &Served::No("not found".to_owned()));
        assert_eq!((ready, why), (false, reason::GATEWAY_API_MISSING));
        assert!(
            message.contains("https://gateway-api.sigs.k8s.io") && message.contains("remove spec.gateway"),
            "{message}"
        );
    }

    #[test]
    fn a_route_is_ready_when_its_gateway_took_it_and_finds_its_services() {
        let accepted = ("Accepted", "True", "Accepted", "");
        let (ready, why, message) = judge(&[parent("c", 2, &[accepted, ("ResolvedRefs", "True", "ResolvedRefs", "")])]);
        assert_eq!(
            (ready, why, message.as_str()),
            (true, reason::ROUTE_ACCEPTED, "Gateway edge/gw serves HTTPRoute p (c)")
        );
        let missing = ("ResolvedRefs", "False", "BackendNotFound", "no Service p-rest.");
        let (ready, why, message) = judge(&[parent("c", 2, &[accepted, missing])]);
        assert_eq!((ready, why), (false, reason::ROUTE_UNRESOLVED));
        assert!(message.contains("BackendNotFound: no Service p-rest)"), "{message}");
    }

    #[test]
    fn a_refusal_is_said_with_what_to_do() {
        for (code, remedy) in [
            ("NotAllowedByListeners", "namespace agents"),
            ("NoMatchingListenerHostname", "spec.gateway.hostnames"),
            ("NoMatchingParent", "sectionName and port"),
            ("Other", "kubectl -n edge describe gateway gw"),
        ] {
            let (ready, why, message) = judge(&[parent("c", 2, &[("Accepted", "False", code, "no")])]);
            assert_eq!((ready, why), (false, reason::ROUTE_REFUSED));
            assert!(message.contains(remedy) && message.contains(code), "{message}");
        }
    }

    #[test]
    fn what_is_said_about_something_else_or_an_older_route_does_not_count() {
        let accepted = ("Accepted", "True", "Accepted", "");
        let mut other = parent("c", 2, &[accepted]);
        other["parentRef"]["sectionName"] = json!("websecure");
        for parents in [vec![], vec![other], vec![parent("c", 1, &[accepted])], vec![parent("c", 2, &[])]] {
            let (ready, why, message) = judge(&parents);
            assert_eq!((ready, why), (false, reason::ROUTE_PENDING), "{parents:?}");
            assert!(message.contains("kubectl -n edge describe gateway gw"), "{message}");
        }
    }

    #[test]
    fn of_several_controllers_the_one_that_takes_it_counts() {
        let refused = parent("a", 2, &[("Accepted", "False", "NoMatchingParent", "")]);
        let accepted = parent("b", 2, &[("Accepted", "True", "Accepted", "")]);
        assert!(judge(&[refused, accepted]).0);
    }
}
