//! The platform controller, with the test as the missing kubelet.

use std::collections::BTreeMap;
use std::time::Duration;

use controllers_tests::cluster::repository;
use controllers_tests::world::documents;
use controllers_tests::{World, eventually};
use crds::AutoGPTPlatform;
use crds::conditions::{self, reason};
use k8s_openapi::api::apps::v1::{Deployment, StatefulSet};
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::api::core::v1::{Pod, Secret, Service, ServiceAccount};
use k8s_openapi::api::networking::v1::Ingress;
use k8s_openapi::api::rbac::v1::{Role, RoleBinding};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::api::{DeleteParams, ListParams};
use kube::{Resource, ResourceExt};
use operator::platform::gateway::HttpRoute;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};

fn platform(spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": spec})
}

async fn names<K>(world: &World) -> Vec<String>
where
    K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
{
    let mut names: Vec<String> = world
        .api::<K>()
        .list(&ListParams::default())
        .await
        .unwrap()
        .iter()
        .map(ResourceExt::name_any)
        .collect();
    names.sort();
    names
}

async fn condition(world: &World, kind: &str) -> Option<Condition> {
    let object = world.api::<AutoGPTPlatform>().get("p").await.unwrap();
    conditions::get(&object.status.unwrap_or_default().conditions, kind).cloned()
}

/// Waits for a condition with this status and reason; its message.
async fn expect(world: &World, kind: &str, status: &str, reason: &str) -> String {
    eventually(&format!("{kind}={status} {reason}"), || async {
        match condition(world, kind).await {
            Some(found) if found.status == status && found.reason == reason => Ok(found.message),
            other => Err(other),
        }
    })
    .await
}

async fn wait_for_deployments(world: &World, wanted: &[&str]) {
    eventually(&format!("{wanted:?}"), || async {
        let there = names::<Deployment>(world).await;
        if there == wanted { Ok(()) } else { Err(there) }
    })
    .await;
}

/// Resource versions of everything in the namespace that the operator may write.
async fn versions(world: &World) -> BTreeMap<String, String> {
    async fn of<K>(world: &World, into: &mut BTreeMap<String, String>)
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + DeserializeOwned + std::fmt::Debug,
    {
        for object in world.api::<K>().list(&ListParams::default()).await.unwrap() {
            into.insert(format!("{} {}", K::kind(&()), object.name_any()), object.resource_version().unwrap());
        }
    }
    let mut versions = BTreeMap::new();
    of::<AutoGPTPlatform>(world, &mut versions).await;
    of::<Deployment>(world, &mut versions).await;
    of::<StatefulSet>(world, &mut versions).await;
    of::<Job>(world, &mut versions).await;
    of::<Ingress>(world, &mut versions).await;
    of::<HttpRoute>(world, &mut versions).await;
    of::<Service>(world, &mut versions).await;
    of::<ServiceAccount>(world, &mut versions).await;
    of::<Role>(world, &mut versions).await;
    of::<RoleBinding>(world, &mut versions).await;
    of::<Secret>(world, &mut versions).await;
    versions
}

#[tokio::test]
async fn a_platform_comes_up_step_by_step() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({}))).await.unwrap();

    expect(&world, conditions::READY, "False", reason::WAITING_FOR_DATA_SERVICES).await;
    expect(&world, conditions::DEPENDENCIES_READY, "False", reason::WAITING_FOR_DATA_SERVICES).await;
    assert_eq!(names::<StatefulSet>(&world).await, ["p-postgres", "p-rabbitmq", "p-redis"]);
    assert_eq!(
        names::<Secret>(&world).await,
        [
            "p-encryption",
            "p-jwt",
            "p-postgres",
            "p-rabbitmq",
            "p-redis",
            "p-rpc-token",
            "p-unsubscribe"
        ]
    );
    let services = [
        "database-manager",
        "executor",
        "notification",
        "postgres",
        "rabbitmq",
        "redis",
        "rest",
        "scheduler",
        "websocket",
    ];
    assert_eq!(names::<Service>(&world).await, services.map(|name| format!("p-{name}")));
    assert_eq!(names::<Job>(&world).await, Vec::<String>::new());

    for name in ["p-postgres", "p-redis", "p-rabbitmq"] {
        world.run_stateful_set(name).await;
    }
    expect(&world, conditions::DEPENDENCIES_READY, "True", reason::MANAGED_DATA_SERVICES).await;
    expect(&world, conditions::MIGRATIONS_APPLIED, "False", reason::MIGRATION_RUNNING).await;
    let migration = eventually("the migration Job", || async { names::<Job>(&world).await.pop().ok_or("none") }).await;
    assert_eq!(names::<Deployment>(&world).await, Vec::<String>::new());

    world.end_job(&migration, true).await;
    expect(&world, conditions::MIGRATIONS_APPLIED, "True", reason::MIGRATED).await;
    wait_for_deployments(&world, &["p-database-manager"]).await;
    world.run_deployment("p-database-manager").await;
    wait_for_deployments(&world, &["p-database-manager", "p-executor", "p-notification", "p-scheduler"]).await;
    for name in ["p-executor", "p-notification", "p-scheduler"] {
        world.run_deployment(name).await;
    }
    let all = [
        "p-database-manager",
        "p-executor",
        "p-notification",
        "p-rest",
        "p-scheduler",
        "p-websocket",
    ];
    wait_for_deployments(&world, &all).await;
    assert_eq!(condition(&world, conditions::READY).await.unwrap().status, "False");
    for name in ["p-rest", "p-websocket"] {
        world.run_deployment(name).await;
    }
    expect(&world, conditions::READY, "True", reason::AS_EXPECTED).await;
    expect(&world, conditions::PROGRESSING, "False", reason::ROLLED_OUT).await;
    expect(&world, conditions::DEGRADED, "False", reason::AS_EXPECTED).await;

    let object = world.api::<AutoGPTPlatform>().get("p").await.unwrap();
    let status = object.status.clone().unwrap();
    assert_eq!(
        (status.version.as_deref(), status.observed_generation),
        (Some("1"), object.metadata.generation)
    );
    assert!(status.components.iter().all(|component| component.ready == 1), "{:?}", status.components);
    let rest = world.api::<Deployment>().get("p-rest").await.unwrap();
    let owner = &rest.metadata.owner_references.as_ref().unwrap()[0];
    assert_eq!(
        (owner.kind.as_str(), Some(&owner.uid), owner.controller),
        ("AutoGPTPlatform", object.metadata.uid.as_ref(), Some(true))
    );
    let image = rest.spec.unwrap().template.spec.unwrap().containers[0].image.clone();
    assert_eq!(image.as_deref(), Some("registry.test/autogpt/rest:1"));
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn nothing_is_written_when_nothing_changed() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    // 1000m is stored as 1 in what is made of it: no difference.
    let spec = json!({"ingress": {"annotations": {"a": "b"}}, "gateway": {"parentRef": {"name": "edge", "namespace": "gateways"}, "hostnames": ["agents.example"]}, "frontend": {"image": "frontend:1"}, "components": {"rest": {"replicas": 2, "resources": {"limits": {"cpu": "1000m", "memory": "1024Mi"}}}}});
    world.apply(&platform(spec)).await.unwrap();
    world.bring_up("p").await;
    tokio::time::sleep(Duration::from_secs(1)).await;
    let before = versions(&world).await;
    assert!(before.len() > 25, "{before:#?}");
    // A pod of the platform makes the operator look again.
    let labels =
        json!({"app.kubernetes.io/managed-by": "autogpt-operator", "app.kubernetes.io/instance": "p", "app.kubernetes.io/component": "rest"});
    let spec = json!({"containers": [{"name": "rest", "image": "rest:1"}]});
    world
        .create::<Pod>(json!({"metadata": {"name": "p-rest-0", "labels": labels}, "spec": spec}))
        .await;
    for number in 0..3 {
        world
            .merge::<Pod>("p-rest-0", json!({"metadata": {"annotations": {"touched": number.to_string()}}}))
            .await;
        tokio::time::sleep(Duration::from_millis(500)).await;
    }
    operator.stop().await;
    let second = world.operator("b").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert_eq!(versions(&world).await, before);
    second.stop().await;
}

#[tokio::test]
async fn drift_is_reverted_and_named() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({}))).await.unwrap();
    world.bring_up("p").await;
    world.merge::<Deployment>("p-rest", json!({"spec": {"replicas": 7}})).await;
    world
        .merge::<Service>("p-rest", json!({"spec": {"selector": {"app.kubernetes.io/component": "websocket"}}}))
        .await;
    world.api::<Service>().delete("p-executor", &DeleteParams::default()).await.unwrap();
    eventually("everything is as wanted again", || async {
        let replicas = world.api::<Deployment>().get("p-rest").await.unwrap().spec.unwrap().replicas;
        let selector = world.api::<Service>().get("p-rest").await.unwrap().spec.unwrap().selector.unwrap();
        let executor = world.api::<Service>().get_opt("p-executor").await.unwrap();
        let fine = replicas == Some(1) && selector["app.kubernetes.io/component"] == "rest" && executor.is_some();
        if fine { Ok(()) } else { Err((replicas, selector, executor.is_some())) }
    })
    .await;
    eventually("an event names the drift", || async {
        let events = world
            .api::<k8s_openapi::api::events::v1::Event>()
            .list(&ListParams::default())
            .await
            .unwrap();
        let notes: Vec<String> = events
            .items
            .into_iter()
            .filter(|event| event.reason.as_deref() == Some("DriftReverted"))
            .filter_map(|event| event.note)
            .collect();
        if notes.iter().any(|note| note.contains("Deployment p-rest: spec.replicas")) {
            Ok(())
        } else {
            Err(notes)
        }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_missing_secret_is_a_condition_and_its_appearance_is_noticed() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    let external = |name: &str| json!({"external": {"secretRef": {"name": name}}});
    world
        .apply(&platform(
            json!({"postgres": external("db"), "redis": external("cache"), "rabbitmq": external("broker")}),
        ))
        .await
        .unwrap();
    let message = expect(&world, conditions::READY, "False", reason::SECRET_MISSING).await;
    assert!(
        message.contains("Secret db") && message.contains("Secret cache") && message.contains("kubectl -n"),
        "{message}"
    );
    expect(&world, conditions::DEPENDENCIES_READY, "False", reason::SECRET_MISSING).await;
    expect(&world, conditions::DEGRADED, "True", reason::SECRET_MISSING).await;
    assert_eq!(names::<Deployment>(&world).await, Vec::<String>::new());

    world.secret("db", &[("url", "postgresql://a:b@c:5432/d")]).await;
    world.secret("cache", &[("url", "redis://c:6379")]).await;
    world.secret("broker", &[("address", "amqp://a:b@c:5672/")]).await;
    let message = expect(&world, conditions::READY, "False", reason::SECRET_INCOMPLETE).await;
    assert!(message.contains("Secret broker") && message.contains("no key url"), "{message}");
    world
        .merge::<Secret>("broker", json!({"stringData": {"url": "amqp://a:b@c:5672/"}}))
        .await;
    world.bring_up("p").await;
    expect(&world, conditions::DEPENDENCIES_READY, "True", reason::EXTERNAL_DATA_SERVICES).await;
    assert_eq!(names::<StatefulSet>(&world).await, Vec::<String>::new());
    operator.stop().await;
}

#[tokio::test]
async fn what_the_settings_of_the_example_name_reaches_the_service_and_what_is_secret_only_by_reference() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    let text = std::fs::read_to_string(repository().join("examples/platform-settings.yaml")).unwrap();
    let wanted = documents(&text)[0]["spec"].clone();
    world.apply(&platform(wanted.clone())).await.unwrap();
    let message = expect(&world, conditions::READY, "False", reason::SECRET_MISSING).await;
    assert!(
        message.contains("Secret partners") && message.contains("create secret generic partners"),
        "{message}"
    );
    let env = wanted["components"]["rest"]["env"].as_array().unwrap();
    let keys = env.iter().filter_map(|variable| variable["secretKeyRef"]["key"].as_str());
    let pairs: Vec<_> = keys.map(|key| (key, "hidden")).collect();
    let (last, others) = pairs.split_last().unwrap();
    world.secret("partners", others).await;
    let message = expect(&world, conditions::READY, "False", reason::SECRET_INCOMPLETE).await;
    assert!(message.contains("Secret partners") && message.contains(last.0), "{message}");
    world.merge::<Secret>("partners", json!({"stringData": {last.0: "hidden"}})).await;
    world.bring_up("p").await;

    let variables = async |name: &str| {
        let deployment = world.api::<Deployment>().get(name).await.unwrap();
        json!(deployment.spec.unwrap().template.spec.unwrap().containers[0].env)
    };
    let (rest, executor) = (variables("p-rest").await, variables("p-executor").await);
    for variable in env {
        let expected = match variable.get("secretKeyRef") {
            Some(reference) => json!({"name": variable["name"], "valueFrom": {"secretKeyRef": reference}}),
            None => variable.clone(),
        };
        assert!(rest.as_array().unwrap().contains(&expected), "{expected}: {rest}");
        assert!(!executor.to_string().contains(variable["name"].as_str().unwrap()), "{executor}");
    }
    assert!(!rest.to_string().contains("hidden"), "{rest}");
    operator.stop().await;
}

#[tokio::test]
async fn a_failed_migration_leaves_the_old_version_serving() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({}))).await.unwrap();
    world.bring_up("p").await;
    let first = names::<Job>(&world).await;
    world.apply(&platform(json!({"image": {"tag": "2"}}))).await.unwrap();
    let second = eventually("the next migration", || async {
        names::<Job>(&world).await.into_iter().find(|name| !first.contains(name)).ok_or("none")
    })
    .await;
    world.end_job(&second, false).await;
    let message = expect(&world, conditions::MIGRATIONS_APPLIED, "False", reason::MIGRATION_FAILED).await;
    assert!(
        message.contains(&format!("logs job/{second}")) && message.contains(&format!("delete job {second}")),
        "{message}"
    );
    expect(&world, conditions::READY, "False", reason::MIGRATION_FAILED).await;
    for deployment in world.api::<Deployment>().list(&ListParams::default()).await.unwrap() {
        let image = deployment.spec.unwrap().template.spec.unwrap().containers[0].image.clone().unwrap();
        assert!(image.ends_with(":1"), "{image}");
    }
    assert_eq!(
        world.api::<AutoGPTPlatform>().get("p").await.unwrap().status.unwrap().version.as_deref(),
        Some("1")
    );
    // As the message says: the Job is run again.
    world.api::<Job>().delete(&second, &DeleteParams::background()).await.unwrap();
    world.bring_up("p").await;
    assert_eq!(
        world.api::<AutoGPTPlatform>().get("p").await.unwrap().status.unwrap().version.as_deref(),
        Some("2")
    );
    eventually("the migration of the old version is gone", || async {
        let jobs = names::<Job>(&world).await;
        if jobs == [second.clone()] { Ok(()) } else { Err(jobs) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn an_image_that_cannot_be_pulled_is_a_condition() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({}))).await.unwrap();
    expect(&world, conditions::READY, "False", reason::WAITING_FOR_DATA_SERVICES).await;
    let labels =
        json!({"app.kubernetes.io/managed-by": "autogpt-operator", "app.kubernetes.io/instance": "p", "app.kubernetes.io/component": "postgres"});
    let container = json!({"name": "postgres", "image": "postgres:17"});
    world
        .create::<Pod>(json!({"metadata": {"name": "p-postgres-0", "labels": labels}, "spec": {"containers": [container]}}))
        .await;
    let waiting = json!({"reason": "ImagePullBackOff", "message": "Back-off pulling image \"postgres:17\""});
    let container =
        json!({"name": "postgres", "image": "postgres:17", "imageID": "", "ready": false, "restartCount": 0, "state": {"waiting": waiting}});
    world
        .merge_status::<Pod>("p-postgres-0", json!({"phase": "Pending", "containerStatuses": [container]}))
        .await;
    for (kind, status) in [
        (conditions::READY, "False"),
        (conditions::DEGRADED, "True"),
        (conditions::DEPENDENCIES_READY, "False"),
    ] {
        let message = expect(&world, kind, status, reason::IMAGE_PULL_FAILED).await;
        assert!(
            message.contains("image postgres:17 cannot be pulled") && message.contains("spec.dataImages"),
            "{message}"
        );
    }
    world
        .merge_status::<Pod>("p-postgres-0", json!({"phase": "Running", "containerStatuses": null}))
        .await;
    expect(&world, conditions::DEGRADED, "False", reason::AS_EXPECTED).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_paused_platform_is_left_alone_and_still_reported() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({}))).await.unwrap();
    world.bring_up("p").await;
    world
        .apply(&platform(json!({"paused": true, "components": {"rest": {"replicas": 3}}})))
        .await
        .unwrap();
    expect(&world, conditions::PROGRESSING, "False", reason::PAUSED).await;
    world.merge::<Deployment>("p-websocket", json!({"spec": {"replicas": 2}})).await;
    world
        .merge_status::<Deployment>("p-executor", json!({"readyReplicas": 0, "availableReplicas": 0}))
        .await;
    expect(&world, conditions::READY, "False", reason::ROLLING_OUT).await;
    let replicas = async |name: &str| world.api::<Deployment>().get(name).await.unwrap().spec.unwrap().replicas;
    assert_eq!((replicas("p-rest").await, replicas("p-websocket").await), (Some(1), Some(2)));
    world
        .apply(&platform(json!({"paused": false, "components": {"rest": {"replicas": 3}}})))
        .await
        .unwrap();
    eventually("the changes are made", || async {
        let found = (replicas("p-rest").await, replicas("p-websocket").await);
        if found == (Some(3), Some(1)) { Ok(()) } else { Err(found) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn secrets_are_taken_up_and_never_made_anew() {
    let world = World::new().await;
    world.secret("p-jwt", &[("JWT_VERIFY_KEY", "mine")]).await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({}))).await.unwrap();
    world.bring_up("p").await;
    let data = async |name: &str| world.api::<Secret>().get(name).await.unwrap().data.unwrap();
    assert_eq!(data("p-jwt").await["JWT_VERIFY_KEY"].0, b"mine");
    let (token, database) = (data("p-rpc-token").await, data("p-postgres").await);
    let links = data("p-unsubscribe").await;
    let template = async |name: &str| world.api::<Deployment>().get(name).await.unwrap().spec.unwrap().template;
    let (rest, executor) = (template("p-rest").await, template("p-executor").await);

    // A changed key rolls out what uses it, once.
    world.merge::<Secret>("p-jwt", json!({"stringData": {"JWT_VERIFY_KEY": "another"}})).await;
    eventually("rest is rolled out with the new key", || async {
        if template("p-rest").await == rest { Err("not yet") } else { Ok(()) }
    })
    .await;
    world.bring_up("p").await;
    assert_eq!(template("p-executor").await, executor);

    // Retain: another platform of the same name finds the Secrets of the first.
    world.api::<AutoGPTPlatform>().delete("p", &DeleteParams::default()).await.unwrap();
    world.apply(&platform(json!({"deletionPolicy": "Delete"}))).await.unwrap();
    world.bring_up("p").await;
    assert_eq!((data("p-rpc-token").await, data("p-postgres").await), (token.clone(), database));
    assert_eq!(data("p-unsubscribe").await, links);
    // Delete: what was generated goes with the platform, what was taken up stays.
    let owned = async |name: &str| world.api::<Secret>().get(name).await.unwrap().metadata.owner_references.is_some();
    eventually("generated Secrets are owned", || async {
        if owned("p-postgres").await { Ok(()) } else { Err("not yet") }
    })
    .await;
    assert!(!owned("p-jwt").await);
    operator.stop().await;

    // A release that did not know a key has left all others: it is made, and they stay.
    world.api::<Secret>().delete("p-unsubscribe", &DeleteParams::default()).await.unwrap();
    let operator = world.operator("b").await;
    eventually("the key that was not there is made", || async {
        world.api::<Secret>().get_opt("p-unsubscribe").await.unwrap().ok_or("not yet")
    })
    .await;
    world.bring_up("p").await;
    assert_eq!(
        (data("p-rpc-token").await, data("p-jwt").await["JWT_VERIFY_KEY"].0.as_slice()),
        (token, b"another".as_slice())
    );
    operator.stop().await;
}

#[tokio::test]
async fn what_is_no_longer_wanted_goes() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({"redis": {"managed": {}}}))).await.unwrap();
    world.bring_up("p").await;
    world.secret("cache", &[("url", "redis://c:6379")]).await;
    let spec = json!({"redis": {"external": {"secretRef": {"name": "cache"}}}, "scheduler": {"store": "postgres"}});
    world.apply(&platform(spec)).await.unwrap();
    world.bring_up("p").await;
    eventually("the managed Redis and the scheduler's rights are gone", || async {
        let left = (
            names::<StatefulSet>(&world).await,
            names::<ServiceAccount>(&world).await,
            world.api::<Service>().get_opt("p-redis").await.unwrap().is_some(),
        );
        let wanted = (
            vec!["p-postgres".to_owned(), "p-rabbitmq".to_owned()],
            vec!["autogpt-operator".to_owned()],
            false,
        );
        if left == wanted { Ok(()) } else { Err(left) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn browsers_get_an_ingress_and_a_frontend_and_lose_them() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    let spec = json!({"ingress": {"host": "agents.example", "className": "none"}, "frontend": {"image": "frontend:1", "replicas": 2}});
    world.apply(&platform(spec)).await.unwrap();
    let message = expect(&world, conditions::INGRESS_READY, "False", reason::ADDRESS_PENDING).await;
    assert!(message.contains("class none"), "{message}");
    world.bring_up("p").await;
    let status = world.api::<AutoGPTPlatform>().get("p").await.unwrap().status.unwrap();
    assert_eq!(status.endpoints.unwrap().external.as_deref(), Some("http://agents.example"));
    let frontend = status.components.iter().find(|component| component.name == "frontend").unwrap();
    assert_eq!((frontend.desired, frontend.ready), (2, 2));

    let address = json!({"loadBalancer": {"ingress": [{"ip": "192.0.2.7"}]}});
    world.merge_status::<Ingress>("p", address).await;
    let message = expect(&world, conditions::INGRESS_READY, "True", reason::ADDRESS_ASSIGNED).await;
    assert_eq!(message, "reached at 192.0.2.7");

    world.apply(&platform(json!({}))).await.unwrap();
    eventually("both are gone", || async {
        let there = (
            names::<Ingress>(&world).await,
            world.api::<Deployment>().get_opt("p-frontend").await.unwrap().is_some(),
            world.api::<Service>().get_opt("p-frontend").await.unwrap().is_some(),
            condition(&world, conditions::INGRESS_READY).await,
        );
        if there == (Vec::new(), false, false, None) { Ok(()) } else { Err(there) }
    })
    .await;
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn a_gateway_gets_a_route_whose_state_is_followed_and_loses_it() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    let gateway = |section: &str| json!({"gateway": {"parentRef": {"name": "edge", "namespace": "gateways", "sectionName": section}, "hostnames": ["agents.example"]}});
    world.apply(&platform(gateway("web"))).await.unwrap();
    let message = expect(&world, conditions::GATEWAY_READY, "False", reason::ROUTE_PENDING).await;
    assert!(message.contains("kubectl -n gateways describe gateway edge"), "{message}");

    // What a Gateway's controller says, about the route as it is at the time.
    let answer = async |section: &str, accepted: (&str, &str), resolved: (&str, &str)| {
        let generation = world.api::<HttpRoute>().get("p").await.unwrap().metadata.generation;
        let say = |kind: &str, (status, reason): (&str, &str)| {
            json!({"type": kind, "status": status, "reason": reason, "message": "", "observedGeneration": generation,
                "lastTransitionTime": "2026-01-01T00:00:00Z"})
        };
        let parent =
            json!({"group": "gateway.networking.k8s.io", "kind": "Gateway", "name": "edge", "namespace": "gateways", "sectionName": section});
        let parents = json!([{"parentRef": parent, "controllerName": "example.com/controller", "conditions": [say("Accepted", accepted), say("ResolvedRefs", resolved)]}]);
        world.merge_status::<HttpRoute>("p", json!({"parents": parents})).await;
    };
    let fine = ("True", "Accepted");
    answer("web", ("False", "NotAllowedByListeners"), fine).await;
    let message = expect(&world, conditions::GATEWAY_READY, "False", reason::ROUTE_REFUSED).await;
    assert!(message.contains(&format!("namespace {}", world.namespace)), "{message}");
    answer("web", fine, ("False", "BackendNotFound")).await;
    expect(&world, conditions::GATEWAY_READY, "False", reason::ROUTE_UNRESOLVED).await;
    answer("web", fine, ("True", "ResolvedRefs")).await;
    let message = expect(&world, conditions::GATEWAY_READY, "True", reason::ROUTE_ACCEPTED).await;
    assert_eq!(message, "Gateway gateways/edge serves HTTPRoute p (example.com/controller)");

    // Another listener: the old answer is about something else.
    world.apply(&platform(gateway("websecure"))).await.unwrap();
    expect(&world, conditions::GATEWAY_READY, "False", reason::ROUTE_PENDING).await;
    // Drift is reverted here as everywhere.
    world.merge::<HttpRoute>("p", json!({"spec": {"hostnames": ["other.example"]}})).await;
    eventually("the host name is as wanted again", || async {
        let hostnames = world.api::<HttpRoute>().get("p").await.unwrap().spec.hostnames;
        if hostnames == ["agents.example"] { Ok(()) } else { Err(hostnames) }
    })
    .await;

    world.apply(&platform(json!({}))).await.unwrap();
    eventually("the route is gone", || async {
        let there = (names::<HttpRoute>(&world).await, condition(&world, conditions::GATEWAY_READY).await);
        if there == (Vec::new(), None) { Ok(()) } else { Err(there) }
    })
    .await;
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn what_the_api_server_refuses_is_a_condition() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    // Neither the schema nor the operator compares requests with limits.
    let resources = json!({"requests": {"memory": "2Gi"}, "limits": {"memory": "1Gi"}});
    world
        .apply(&platform(json!({"redis": {"managed": {"resources": resources}}})))
        .await
        .unwrap();
    let message = expect(&world, conditions::READY, "False", reason::APPLY_REFUSED).await;
    assert!(
        message.contains("StatefulSet p-redis was refused") && message.contains("must be less than or equal to memory limit"),
        "{message}"
    );
    operator.assert_running().await.stop().await;
}
