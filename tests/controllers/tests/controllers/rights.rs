//! The chart gives the operator what it needs and nothing else: every verb of every rule is used, by the server's own
//! record of what it was asked. That it needs no more is shown by all other tests, whose operators have these rights only.

use std::collections::BTreeSet;
use std::time::Duration;

use controllers_tests::World;
use controllers_tests::eventually::{eventually, within};
use controllers_tests::world::documents;
use crds::{GraphExecution, GraphSchedule, LABEL_SCHEDULE};
use k8s_openapi::api::apps::v1::StatefulSet;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams};
use serde_json::{Value, json};

/// What the operator has without using it in this test: verbs that it hands on to the scheduler service, and the second
/// look at a schedule that was changed at the same moment.
const UNUSED: [&str; 5] = [
    "create graphschedules",
    "update graphschedules",
    "patch graphschedules",
    "delete graphschedules",
    "get graphschedules",
];

/// Every `verb resource` of the rendered rules.
fn given(world: &World) -> BTreeSet<String> {
    let mut given = BTreeSet::new();
    let texts = |value: &Value| -> Vec<String> { value.as_array().unwrap().iter().map(|text| text.as_str().unwrap().to_owned()).collect() };
    let roles = documents(&world.render(&[])).into_iter().filter(|document| document["rules"].is_array());
    for rule in roles.flat_map(|role| role["rules"].as_array().unwrap().clone()) {
        for resource in texts(&rule["resources"]) {
            given.extend(texts(&rule["verbs"]).iter().map(|verb| format!("{verb} {resource}")));
        }
    }
    given
}

/// Every `verb resource` that the operator asked for and got. Applying what is not there takes both `patch` and `create`.
fn used(world: &World) -> BTreeSet<String> {
    let mut used = BTreeSet::new();
    let user = format!("system:serviceaccount:{}:autogpt-operator", world.namespace);
    for event in world.cluster.asked_by(&user) {
        let code = event["responseStatus"]["code"].as_u64().unwrap_or(200);
        let Some(resource) = event["objectRef"]["resource"].as_str() else {
            continue;
        };
        let resource = match event["objectRef"]["subresource"].as_str() {
            Some(subresource) => format!("{resource}/{subresource}"),
            None => resource.to_owned(),
        };
        let verb = event["verb"].as_str().unwrap();
        if code != 403 {
            used.insert(format!("{verb} {resource}"));
        }
        if verb == "patch" && code == 201 {
            used.insert(format!("create {resource}"));
        }
    }
    used
}

async fn children(world: &World) -> Vec<GraphExecution> {
    let list = world.api::<GraphExecution>().list(&ListParams::default().labels(LABEL_SCHEDULE)).await;
    list.unwrap().items
}

#[tokio::test]
async fn every_right_is_used() {
    let world = World::new().await;
    let first = world.operator("a").await;
    let platform = |spec: Value| json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": spec});
    let browsers = json!({"redis": {"managed": {}}, "ingress": {}, "gateway": {"parentRef": {"name": "edge"}}, "frontend": {"image": "frontend:1"}});
    world.apply(&platform(browsers)).await.unwrap();
    world.bring_up("p").await;

    let schedule = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "schedules": ["* * * * *"]});
    let schedule = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "s"}, "spec": schedule});
    world.apply(&schedule).await.unwrap();

    // A run that is held and cannot be stopped, and one whose time is up.
    let execution = |name: &str, spec: Value| {
        let mut all = json!({"platformRef": {"name": "p"}, "graph": {"inline": {"name": "g", "nodes": [{"id": "a", "block_id": "0190f1d2-0000-7000-8000-000000000001"}]}}});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name}, "spec": all})
    };
    world.apply(&execution("held", json!({}))).await.unwrap();
    eventually("the run is held", || async {
        let held = world.api::<GraphExecution>().get("held").await.unwrap();
        if held.finalizers().is_empty() { Err(held.status) } else { Ok(()) }
    })
    .await;
    world.api::<GraphExecution>().delete("held", &DeleteParams::default()).await.unwrap();
    world
        .apply(&execution("short", json!({"cancel": true, "ttlSecondsAfterFinished": 0})))
        .await
        .unwrap();

    // Another version, without what the first one had.
    world.secret("cache", &[("url", "redis://c:6379")]).await;
    let external = json!({"external": {"secretRef": {"name": "cache"}}});
    world
        .apply(&platform(
            json!({"image": {"tag": "2"}, "redis": external, "scheduler": {"store": "postgres"}}),
        ))
        .await
        .unwrap();
    eventually("Redis is gone", || async {
        world.bring_up("p").await;
        match world.api::<StatefulSet>().get_opt("p-redis").await.unwrap() {
            None => Ok(()),
            Some(_) => Err("still there"),
        }
    })
    .await;

    // A due time whose execution is there already.
    within(Duration::from_secs(75), "the next full minute", || async {
        if children(&world).await.is_empty() { Err("none") } else { Ok(()) }
    })
    .await;
    first.stop().await;
    world.merge_status::<GraphSchedule>("s", json!({"decidedThrough": null})).await;
    let second = world.operator("b").await;

    let client = world.operator_client().await;
    within(Duration::from_secs(30), "every right is used", || async {
        // As an older release would have left it. Other tests bring it up to date as well: hence again and again.
        let older = json!({"metadata": {"annotations": {crds::manifest::ANNOTATION_RELEASE: "0.0.0"}}});
        let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
        let patch = Patch::Merge(&older);
        definitions
            .patch("graphschedules.autogpt.dev", &PatchParams::default(), &patch)
            .await
            .unwrap();
        operator::runtime::crds::update(&client).await.unwrap();
        let unused: Vec<String> = given(&world)
            .difference(&used(&world))
            .filter(|right| !UNUSED.contains(&right.as_str()))
            .cloned()
            .collect();
        if unused.is_empty() { Ok(()) } else { Err(unused) }
    })
    .await;
    second.stop().await;
}
