//! The objects of a platform, as they are applied. `INSTA_UPDATE=always cargo test -p operator` accepts a wanted change.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not recognised as tests

use std::collections::BTreeMap;

use crds::AutoGPTPlatform;
use crds::conditions::reason;
use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::Secret;
use operator::config::DefaultImages;
use operator::platform::build::{Resources, build, generate};
use operator::platform::component::{Component, DataStore};
use operator::platform::dereference::{Dereferenced, secret_names};
use operator::platform::validate::{Generated, Names, Problem, Validated, validate};
use serde_json::{Value, json};

fn platform(spec: Value) -> AutoGPTPlatform {
    serde_json::from_value(json!({
        "apiVersion": "autogpt.dev/v1alpha1",
        "kind": "AutoGPTPlatform",
        "metadata": {"name": "autogpt", "namespace": "agents", "uid": "11111111-2222-4333-8444-555555555555", "generation": 1},
        "spec": spec,
    }))
    .unwrap()
}

fn defaults() -> DefaultImages {
    DefaultImages {
        repository: Some("registry.example/autogpt".to_owned()),
        tag: Some("1.2.3".to_owned()),
        pull_policy: None,
        postgres: "postgres:17".to_owned(),
        redis: "redis:7".to_owned(),
        rabbitmq: "rabbitmq:4".to_owned(),
    }
}

fn secret(pairs: BTreeMap<String, String>) -> Secret {
    Secret {
        data: Some(pairs.into_iter().map(|(key, value)| (key, ByteString(value.into_bytes()))).collect()),
        ..Secret::default()
    }
}

/// All of a platform's Secrets: generated ones as the operator makes them, others with the keys `url` and `key`.
fn found(platform: &AutoGPTPlatform) -> Dereferenced {
    let names = Names::new(platform.metadata.name.as_deref().unwrap());
    let mut found = Dereferenced::default();
    for name in secret_names(platform) {
        let kind = [Generated::Jwt, Generated::RpcToken, Generated::EncryptionKey, Generated::UnsubscribeKey]
            .into_iter()
            .chain(DataStore::ALL.map(Generated::Data))
            .find(|kind| match kind {
                Generated::Jwt => name == names.jwt(),
                Generated::EncryptionKey => name == names.encryption(),
                Generated::UnsubscribeKey => name == names.unsubscribe(),
                Generated::RpcToken => name == names.rpc_token(),
                Generated::Data(store) => name == names.data(*store),
            });
        let pairs = match kind {
            Some(kind) => generate(&names, &kind, || "0123456789abcdef".to_owned()),
            None => BTreeMap::from([("url".to_owned(), format!("scheme://{name}")), ("key".to_owned(), "value".to_owned())]),
        };
        found.secrets.insert(name, Some(secret(pairs)));
    }
    found
}

fn validated(spec: Value) -> Validated {
    let platform = platform(spec);
    validate(&platform, &found(&platform), &defaults()).unwrap()
}

fn everything_elsewhere() -> Value {
    json!({
        "postgres": {"external": {"secretRef": {"name": "db"}}},
        "redis": {"external": {"secretRef": {"name": "cache"}}},
        "rabbitmq": {"external": {"secretRef": {"name": "broker"}}},
        "auth": {"jwtSecretRef": {"name": "tokens", "key": "key"}},
        "smtp": {"secretRef": {"name": "mail"}},
        "scheduler": {"store": "postgres"},
        "image": {"repository": "other.example/a", "tag": "2", "pullPolicy": "Always"},
        "components": {"executor": {"replicas": 3, "resources": {"limits": {"memory": "1Gi"}}, "env": [
            {"name": "LOG_FORMAT", "value": "pretty"},
            {"name": "EXTRA", "secretKeyRef": {"name": "mine", "key": "key"}},
        ]}},
    })
}

fn yaml(resources: &Resources) -> String {
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
    } = resources;
    let mut documents: Vec<Value> = Vec::new();
    documents.extend(service_account.iter().map(|object| json!(object)));
    documents.extend(role.iter().map(|object| json!(object)));
    documents.extend(role_binding.iter().map(|object| json!(object)));
    documents.extend(services.iter().map(|object| json!(object)));
    documents.extend(stateful_sets.iter().map(|object| json!(object)));
    documents.push(json!(migration));
    documents.extend(deployments.values().chain(frontend).map(|object| json!(object)));
    documents.extend(ingress.iter().map(|object| json!(object)));
    documents.extend(http_route.iter().map(|object| json!(object)));
    documents
        .iter()
        .map(|document| serde_yaml::to_string(document).unwrap())
        .collect::<Vec<_>>()
        .join("---\n")
}

#[test]
fn a_platform_with_everything_of_its_own() {
    insta::assert_snapshot!(yaml(&build(&validated(json!({})))));
}

#[test]
fn a_platform_on_existing_data_services() {
    insta::assert_snapshot!(yaml(&build(&validated(everything_elsewhere()))));
}

#[test]
fn what_is_there_for_browsers() {
    let spec = json!({
        "ingress": {"className": "traefik", "host": "agents.example", "tls": {"secretName": "certificate"}, "annotations": {"a": "b"}},
        "gateway": {"parentRef": {"name": "edge", "namespace": "gateways", "sectionName": "web", "port": 80}, "hostnames": ["agents.example"]},
        "frontend": {"image": "frontend:1", "env": [{"name": "PORT", "value": "3000"}, {"name": "MORE", "secretKeyRef": {"name": "mine", "key": "key"}}]},
    });
    let Resources {
        frontend,
        ingress,
        http_route,
        ..
    } = build(&validated(spec));
    let documents = [json!(frontend), json!(ingress), json!(http_route)].map(|document| serde_yaml::to_string(&document).unwrap());
    insta::assert_snapshot!(documents.join("---\n"));
}

/// The frontend finds the service by cutting the first `/api` out of the address that it is given (rest.md trap 19).
#[test]
fn a_frontend_finds_its_server_whatever_the_platform_is_called() {
    for (name, base) in [("autogpt", "http://autogpt-rest:8006"), ("api-of-mine", "http://API-of-mine-rest:8006")] {
        let mut platform = platform(json!({"frontend": {"image": "frontend:1"}}));
        platform.metadata.name = Some(name.to_owned());
        let frontend = json!(build(&validate(&platform, &found(&platform), &defaults()).unwrap()).frontend);
        let env = frontend["spec"]["template"]["spec"]["containers"][0]["env"].as_array().unwrap();
        let told = env.iter().find(|variable| variable["name"] == "AGPT_SERVER_URL").unwrap();
        assert_eq!(told["value"].as_str().unwrap().replacen("/api", "", 1), base);
    }
}

#[test]
fn without_a_frontend_everything_goes_to_the_api() {
    let ingress = json!(build(&validated(json!({"ingress": {}}))).ingress);
    let rule = &ingress["spec"]["rules"][0];
    assert_eq!(rule.get("host"), None);
    let paths = rule["http"]["paths"].as_array().unwrap().iter();
    let to: BTreeMap<&str, &str> = paths
        .map(|path| (path["path"].as_str().unwrap(), path["backend"]["service"]["name"].as_str().unwrap()))
        .collect();
    let rest = "autogpt-rest";
    let wanted = [
        ("/", rest),
        ("/api", rest),
        ("/auth/v1", rest),
        ("/external-api", rest),
        ("/ws", "autogpt-websocket"),
    ];
    assert_eq!(to, BTreeMap::from(wanted));
}

#[test]
fn an_ingress_and_a_route_lead_to_the_same_places() {
    for spec in [
        json!({"ingress": {}, "gateway": {"parentRef": {"name": "edge"}}}),
        json!({"ingress": {}, "gateway": {"parentRef": {"name": "edge"}}, "frontend": {"image": "frontend:1"}}),
    ] {
        let Resources { ingress, http_route, .. } = build(&validated(spec));
        let (ingress, route) = (json!(ingress), json!(http_route));
        let by_ingress: BTreeMap<String, (String, i64)> = ingress["spec"]["rules"][0]["http"]["paths"]
            .as_array()
            .unwrap()
            .iter()
            .map(|path| {
                assert_eq!(path["pathType"], "Prefix");
                let service = &path["backend"]["service"];
                let to = (service["name"].as_str().unwrap().to_owned(), service["port"]["number"].as_i64().unwrap());
                (path["path"].as_str().unwrap().to_owned(), to)
            })
            .collect();
        let mut by_route = BTreeMap::new();
        for rule in route["spec"]["rules"].as_array().unwrap() {
            let backend = &rule["backendRefs"][0];
            let to = (backend["name"].as_str().unwrap().to_owned(), backend["port"].as_i64().unwrap());
            for matched in rule["matches"].as_array().unwrap() {
                assert_eq!(matched["path"]["type"], "PathPrefix");
                by_route.insert(matched["path"]["value"].as_str().unwrap().to_owned(), to.clone());
            }
        }
        assert!(by_ingress.len() >= 5);
        assert_eq!(by_ingress, by_route);
    }
}

#[test]
fn the_address_for_browsers_is_the_ingress_host_or_what_is_said_of_the_gateway() {
    let gateway = json!({"parentRef": {"name": "edge"}, "hostnames": ["agents.example"], "url": "https://agents.example:8443"});
    for (spec, wanted) in [
        (json!({"gateway": gateway}), Some("https://agents.example:8443")),
        (json!({"gateway": gateway, "ingress": {}}), Some("https://agents.example:8443")),
        (json!({"gateway": gateway, "ingress": {"host": "a.example"}}), Some("http://a.example")),
        (json!({"gateway": {"parentRef": {"name": "edge"}, "hostnames": ["agents.example"]}}), None),
    ] {
        assert_eq!(validated(spec).external_url().as_deref(), wanted);
    }
}

#[test]
fn the_same_platform_gives_the_same_objects() {
    assert_eq!(build(&validated(json!({}))), build(&validated(json!({}))));
}

#[test]
fn a_changed_secret_rolls_out_what_uses_it_and_nothing_else() {
    let platform = platform(json!({}));
    let mut secrets = found(&platform);
    let before = build(&validate(&platform, &secrets, &defaults()).unwrap());
    let jwt = BTreeMap::from([("JWT_VERIFY_KEY".to_owned(), "another".to_owned())]);
    secrets.secrets.insert("autogpt-jwt".to_owned(), Some(secret(jwt)));
    let after = build(&validate(&platform, &secrets, &defaults()).unwrap());
    for component in Component::ALL {
        let changed = before.deployments[&component] != after.deployments[&component];
        assert_eq!(changed, component.checks_users(), "{component:?}");
    }
    assert_eq!(before.stateful_sets, after.stateful_sets);
    assert_eq!(before.migration, after.migration);
}

fn variable(resources: &Resources, component: Component, name: &str) -> Option<Value> {
    let template = &resources.deployments[&component].spec.as_ref()?.template;
    let env = template.spec.as_ref()?.containers[0].env.as_ref()?;
    env.iter().find(|variable| variable.name == name).map(|variable| json!(variable))
}

#[test]
fn whoever_leads_people_somewhere_knows_the_address_from_outside() {
    let inside = build(&validated(json!({})));
    let outside = build(&validated(json!({"ingress": {"host": "agents.example", "tls": {"secretName": "t"}}})));
    use Component::{Executor, Notification, Rest};
    for (name, told) in [
        ("PLATFORM_BASE_URL", vec![Rest, Notification]),
        ("FRONTEND_BASE_URL", vec![Rest, Notification, Executor]),
    ] {
        for component in Component::ALL {
            assert_eq!(variable(&inside, component, name), None, "{component:?}");
            let expected = told
                .contains(&component)
                .then(|| json!({"name": name, "value": "https://agents.example"}));
            assert_eq!(variable(&outside, component, name), expected, "{name} of {component:?}");
        }
    }
}

#[test]
fn links_in_mails_are_checked_with_the_key_that_signs_them() {
    let resources = build(&validated(json!({})));
    let key = json!({"name": "UNSUBSCRIBE_SECRET_KEY", "valueFrom": {"secretKeyRef": {"name": "autogpt-unsubscribe", "key": "key"}}});
    for component in Component::ALL {
        let knows = matches!(component, Component::Rest | Component::Notification);
        let found = variable(&resources, component, "UNSUBSCRIBE_SECRET_KEY");
        assert_eq!(found, knows.then(|| key.clone()), "{component:?}");
    }
    let mine = json!([{"name": "UNSUBSCRIBE_SECRET_KEY", "value": "mine"}]);
    let resources = build(&validated(json!({"components": {"rest": {"env": mine}}})));
    assert_eq!(variable(&resources, Component::Rest, "UNSUBSCRIBE_SECRET_KEY"), Some(mine[0].clone()));
}

#[test]
fn a_platform_of_a_release_without_this_key_gets_it_and_keeps_all_others() {
    let platform = platform(json!({}));
    let mut older = found(&platform);
    older.secrets.insert("autogpt-unsubscribe".to_owned(), None);
    let validated = validate(&platform, &older, &defaults()).unwrap();
    let missing: Vec<_> = validated.generated.iter().filter(|(_, _, missing)| *missing).collect();
    assert_eq!(missing, [&("autogpt-unsubscribe".to_owned(), Generated::UnsubscribeKey, true)]);
}

#[test]
fn another_version_is_another_migration() {
    let one = build(&validated(json!({"image": {"tag": "1"}})));
    let other = build(&validated(json!({"image": {"tag": "2"}})));
    assert_ne!(one.migration.metadata.name, other.migration.metadata.name);
    let more_executors = build(&validated(json!({"image": {"tag": "1"}, "components": {"executor": {"replicas": 5}}})));
    assert_eq!(one.migration, more_executors.migration);
}

#[test]
fn no_pod_may_more_than_it_must() {
    for spec in [json!({}), everything_elsewhere()] {
        let resources = build(&validated(spec));
        let templates = resources
            .deployments
            .values()
            .map(|object| json!(object.spec.as_ref().unwrap().template))
            .chain(resources.stateful_sets.iter().map(|object| json!(object.spec.as_ref().unwrap().template)))
            .chain([json!(resources.migration.spec.as_ref().unwrap().template)]);
        for template in templates {
            let (pod, container) = (&template["spec"], &template["spec"]["containers"][0]);
            let name = &container["name"];
            assert_eq!(pod["enableServiceLinks"], false, "{name}");
            assert_eq!(pod["securityContext"]["runAsNonRoot"], true, "{name}");
            assert_eq!(pod["securityContext"]["seccompProfile"]["type"], "RuntimeDefault", "{name}");
            assert_eq!(container["securityContext"]["readOnlyRootFilesystem"], true, "{name}");
            assert_eq!(container["securityContext"]["allowPrivilegeEscalation"], false, "{name}");
            assert_eq!(container["securityContext"]["capabilities"]["drop"], json!(["ALL"]), "{name}");
            let may_call_the_api_server = pod["automountServiceAccountToken"] == true;
            assert_eq!(
                may_call_the_api_server,
                name == "scheduler" && pod["serviceAccountName"].is_string(),
                "{name}"
            );
        }
    }
}

fn problems(spec: Value, change: impl FnOnce(&mut Dereferenced)) -> Vec<Problem> {
    let platform = platform(spec);
    let mut found = found(&platform);
    change(&mut found);
    validate(&platform, &found, &defaults()).unwrap_err()
}

#[test]
fn a_missing_secret_is_named_with_the_command_that_makes_it() {
    let found = problems(everything_elsewhere(), |found| {
        found.secrets.insert("db".to_owned(), None);
    });
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].reason, reason::SECRET_MISSING);
    insta::assert_snapshot!(found[0].message, @"Secret db, named in spec.postgres.external, does not exist: create it, for example with `kubectl -n agents create secret generic db --from-literal=url=postgresql://user:password@host:5432/database`");
}

#[test]
fn all_problems_are_said_at_once() {
    let found = problems(everything_elsewhere(), |found| {
        found.secrets.insert("db".to_owned(), None);
        found
            .secrets
            .insert("cache".to_owned(), Some(secret(BTreeMap::from([("url".to_owned(), String::new())]))));
        found.secrets.insert("tokens".to_owned(), Some(secret(BTreeMap::new())));
        found.secrets.insert("mail".to_owned(), None);
        found.secrets.insert("mine".to_owned(), None);
    });
    let reasons: Vec<&str> = found.iter().map(|problem| problem.reason).collect();
    use reason::{SECRET_INCOMPLETE, SECRET_MISSING};
    assert_eq!(
        reasons,
        [SECRET_MISSING, SECRET_INCOMPLETE, SECRET_INCOMPLETE, SECRET_MISSING, SECRET_MISSING]
    );
}

#[test]
fn generated_secrets_that_are_absent_are_to_be_made_and_incomplete_ones_are_a_problem() {
    let platform = platform(json!({}));
    let nothing = Dereferenced {
        secrets: secret_names(&platform).into_iter().map(|name| (name, None)).collect(),
    };
    let validated = validate(&platform, &nothing, &defaults()).unwrap();
    assert_eq!(validated.generated.iter().filter(|(_, _, missing)| *missing).count(), 7);
    let found = problems(json!({}), |found| {
        found.secrets.insert(
            "autogpt-postgres".to_owned(),
            Some(secret(BTreeMap::from([("url".to_owned(), "x".to_owned())]))),
        );
    });
    assert!(found.iter().all(|problem| problem.reason == reason::SECRET_INCOMPLETE), "{found:?}");
    assert_eq!(found.len(), 3);
}

#[test]
fn a_platform_without_an_image_says_where_to_name_one() {
    let platform = platform(json!({}));
    let none = DefaultImages { tag: None, ..defaults() };
    let found = validate(&platform, &found(&platform), &none).unwrap_err();
    assert_eq!(found[0].reason, reason::IMAGE_MISSING);
    assert!(found[0].message.contains("spec.image.tag"));
}
