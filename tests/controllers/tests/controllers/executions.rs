//! The execution controller, as far as it goes without a platform behind it.

use std::time::Duration;

use chrono::{TimeDelta, Utc};
use controllers_tests::World;
use controllers_tests::eventually::{eventually, within};
use crds::conditions::{self, reason};
use crds::execution::Phase;
use crds::{AutoGPTPlatform, EXECUTION_FINALIZER, GraphExecution};
use k8s_openapi::api::core::v1::Namespace;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams};
use operator::runtime::time;
use serde_json::{Value, json};

const ID: &str = "0190f1d2-0000-7000-8000-000000000001";
const GRAPH: &str = "0190f1d2-0000-7000-8000-000000000009";

fn execution(name: &str, spec: Value) -> Value {
    let graph = json!({"inline": {"name": "g", "nodes": [{"id": "a", "block_id": ID}]}});
    let mut all = json!({"platformRef": {"name": "p"}, "graph": graph});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name}, "spec": all})
}

async fn get(world: &World, name: &str) -> GraphExecution {
    world.api::<GraphExecution>().get(name).await.unwrap()
}

async fn expect(world: &World, name: &str, kind: &str, status: &str, reason: &str) -> Condition {
    eventually(&format!("{name} {kind}={status} {reason}"), || async {
        let object = get(world, name).await;
        match conditions::get(&object.status.unwrap_or_default().conditions, kind).cloned() {
            Some(found) if found.status == status && found.reason == reason => Ok(found),
            other => Err(other),
        }
    })
    .await
}

async fn expect_gone(world: &World, name: &str) {
    eventually(&format!("{name} is gone"), || async {
        match world.api::<GraphExecution>().get_opt(name).await.unwrap() {
            None => Ok(()),
            Some(object) => Err(object),
        }
    })
    .await;
}

/// A platform that calls itself ready, and whose scheduler service nobody answers for.
async fn unreachable_platform(world: &World, spec: Value) {
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": spec}))
        .await
        .unwrap();
    world.bring_up("p").await;
}

#[tokio::test]
async fn a_run_without_its_platform_waits_and_says_what_for() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&execution("early", json!({}))).await.unwrap();
    let missing = expect(&world, "early", conditions::ACCEPTED, "False", reason::PLATFORM_MISSING).await;
    assert!(missing.message.contains("no AutoGPTPlatform p in this namespace"), "{}", missing.message);
    assert_eq!(get(&world, "early").await.status.unwrap().phase, Some(Phase::Pending));

    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {}}))
        .await
        .unwrap();
    let not_ready = expect(&world, "early", conditions::ACCEPTED, "False", reason::PLATFORM_NOT_READY).await;
    assert!(not_ready.message.contains("not ready"), "{}", not_ready.message);
    world.bring_up("p").await;
    let unreachable = expect(&world, "early", conditions::ACCEPTED, "False", reason::PLATFORM_UNREACHABLE).await;
    assert!(unreachable.message.contains("describe agp p"), "{}", unreachable.message);
    expect(&world, "early", conditions::SUCCEEDED, "Unknown", reason::NOT_FINISHED).await;
    assert!(get(&world, "early").await.finalizers().contains(&EXECUTION_FINALIZER.to_owned()));

    // With the platform gone, nothing can be stopped and nothing holds the object.
    world.api::<AutoGPTPlatform>().delete("p", &DeleteParams::default()).await.unwrap();
    world.api::<GraphExecution>().delete("early", &DeleteParams::default()).await.unwrap();
    expect_gone(&world, "early").await;
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn a_run_cancelled_before_it_was_submitted_never_starts() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world
        .apply(&execution("stillborn", json!({"cancel": true, "ttlSecondsAfterFinished": 2})))
        .await
        .unwrap();
    expect(&world, "stillborn", conditions::SUCCEEDED, "False", reason::CANCELLED).await;
    assert_eq!(get(&world, "stillborn").await.status.unwrap().phase, Some(Phase::Terminated));
    expect_gone(&world, "stillborn").await;
    operator.stop().await;
}

#[tokio::test]
async fn a_ttl_takes_an_execution_after_its_time_and_not_before() {
    const TTL: i64 = 4;
    let world = World::new().await;
    let operator = world.operator("a").await;
    for (name, ttl) in [("short", json!(TTL)), ("long", json!(3600)), ("kept", json!(null))] {
        let mut cancelled = execution(name, json!({"cancel": true}));
        cancelled["spec"]["ttlSecondsAfterFinished"] = ttl;
        world.create::<GraphExecution>(cancelled).await;
    }
    expect(&world, "short", conditions::SUCCEEDED, "False", reason::CANCELLED).await;
    let ended = time::to_chrono(&get(&world, "short").await.status.unwrap().completion_time.unwrap());
    expect_gone(&world, "short").await;
    let age = Utc::now() - ended;
    let time_is_up = TimeDelta::seconds(TTL)..TimeDelta::seconds(TTL + 4);
    assert!(time_is_up.contains(&age), "{age}");
    for name in ["long", "kept"] {
        assert_eq!(get(&world, name).await.status.unwrap().phase, Some(Phase::Terminated), "{name}");
    }
    operator.stop().await;
}

#[tokio::test]
async fn what_is_no_graph_fails_and_what_may_come_is_waited_for() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    unreachable_platform(&world, json!({"access": {"owners": [ID]}})).await;
    world
        .apply(&execution("bad", json!({"graph": {"configMapRef": {"name": "bad"}}})))
        .await
        .unwrap();
    let missing = expect(&world, "bad", conditions::ACCEPTED, "False", reason::CONFIG_MAP_MISSING).await;
    assert!(
        missing.message.contains("ConfigMap bad") && missing.message.contains("graph.json"),
        "{}",
        missing.message
    );
    world
        .apply(&json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "bad"}, "data": {"graph.json": "{\"nodes\": []}"}}))
        .await
        .unwrap();
    let refused = expect(&world, "bad", conditions::SPEC_VALID, "False", reason::GRAPH_INVALID).await;
    assert!(refused.message.contains("missing field `name`"), "{}", refused.message);
    expect(&world, "bad", conditions::FAILED, "True", reason::GRAPH_INVALID).await;
    let over = eventually("nothing holds a failed run", || async {
        let object = get(&world, "bad").await;
        if object.finalizers().is_empty() { Ok(object) } else { Err(object) }
    })
    .await;
    assert_eq!(over.status.unwrap().phase, Some(Phase::Failed));

    let other = "0190f1d2-0000-7000-8000-000000000002";
    world.apply(&execution("stranger", json!({"owner": other}))).await.unwrap();
    let stranger = expect(&world, "stranger", conditions::ACCEPTED, "False", reason::OWNER_NOT_ALLOWED).await;
    assert!(stranger.message.contains("spec.access.owners"), "{}", stranger.message);
    world.apply(&execution("friend", json!({"owner": ID}))).await.unwrap();
    expect(&world, "friend", conditions::ACCEPTED, "False", reason::PLATFORM_UNREACHABLE).await;
    operator.stop().await;
}

#[tokio::test]
async fn a_platform_that_does_not_answer_holds_a_deleted_run_only_for_a_while() {
    let world = World::new().await;
    let operator = world.operator_with("a", |config| config.stop_patience = Duration::from_secs(10)).await;
    unreachable_platform(&world, json!({})).await;
    world.apply(&execution("held", json!({}))).await.unwrap();
    expect(&world, "held", conditions::ACCEPTED, "False", reason::PLATFORM_UNREACHABLE).await;
    world
        .merge_status::<GraphExecution>("held", json!({"executionId": ID, "graphId": GRAPH, "phase": "RUNNING"}))
        .await;
    world.api::<GraphExecution>().delete("held", &DeleteParams::default()).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    assert!(
        world.api::<GraphExecution>().get_opt("held").await.unwrap().is_some(),
        "the run may still be going"
    );
    within(Duration::from_secs(20), "it is let go", || async {
        match world.api::<GraphExecution>().get_opt("held").await.unwrap() {
            None => Ok(()),
            Some(object) => Err(object.metadata.deletion_timestamp),
        }
    })
    .await;
    let note = eventually("an event says what is left to do", || async {
        let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let about_it = events.into_iter().find(|event| event.reason.as_deref() == Some("StopFailed"));
        about_it.and_then(|event| event.note).ok_or("no event")
    })
    .await;
    // The platform never heard of it.
    assert!(!note.contains("the platform stops it"), "{note}");
    let stop = format!("POST /api/graphs/{GRAPH}/executions/{ID}/stop");
    assert!(note.contains("may go on to its end") && note.contains(&stop), "{note}");
    operator.stop().await;
}

#[tokio::test]
async fn a_namespace_that_goes_is_not_held() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    unreachable_platform(&world, json!({})).await;
    world.apply(&execution("held", json!({}))).await.unwrap();
    expect(&world, "held", conditions::ACCEPTED, "False", reason::PLATFORM_UNREACHABLE).await;
    world
        .merge_status::<GraphExecution>("held", json!({"executionId": ID, "phase": "RUNNING"}))
        .await;
    Api::<Namespace>::all(world.client.clone())
        .delete(&world.namespace, &DeleteParams::default())
        .await
        .unwrap();
    // As the namespace controller does; the platform's turn may come later.
    world.api::<GraphExecution>().delete("held", &DeleteParams::default()).await.unwrap();
    within(Duration::from_secs(10), "it is let go", || async {
        match world.api::<GraphExecution>().get_opt("held").await.unwrap() {
            None => Ok(()),
            Some(object) => Err(object.metadata),
        }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn nothing_is_held_after_an_uninstallation() {
    let world = World::new().await;
    for name in ["one", "two"] {
        let mut held = execution(name, json!({}));
        held["metadata"]["finalizers"] = json!([EXECUTION_FINALIZER, "example.com/other"]);
        world.apply(&held).await.unwrap();
    }
    let client = world.operator_client().await;
    let namespaces = std::slice::from_ref(&world.namespace);
    assert_eq!(operator::release::release(&client, namespaces).await.unwrap(), 2);
    assert_eq!(operator::release::release(&client, namespaces).await.unwrap(), 0);
    assert_eq!(get(&world, "one").await.finalizers(), ["example.com/other"]);
}
