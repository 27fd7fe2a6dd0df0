//! The schedule controller.

use std::time::Duration;

use controllers_tests::eventually::{eventually, within};
use controllers_tests::process::OperatorProcess;
use controllers_tests::{Proxy, World};
use crds::conditions::{self, reason};
use crds::schedule::Outcome;
use crds::{GraphExecution, GraphSchedule, LABEL_SCHEDULE};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use operator::runtime::time;
use operator::schedule::child;
use schedule::decide::Due;
use serde_json::{Value, json};

fn platform() -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {"paused": true}})
}

fn schedule(name: &str, spec: Value) -> Value {
    let mut all = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "graph"}}, "schedules": ["* * * * *"]});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": all})
}

async fn get(world: &World, name: &str) -> GraphSchedule {
    world.api::<GraphSchedule>().get(name).await.unwrap()
}

async fn children(world: &World, name: &str) -> Vec<GraphExecution> {
    world
        .api::<GraphExecution>()
        .list(&ListParams::default().labels(&format!("{LABEL_SCHEDULE}={name}")))
        .await
        .unwrap()
        .items
}

async fn expect(world: &World, name: &str, kind: &str, status: &str, reason: &str) -> Condition {
    eventually(&format!("{name} {kind}={status} {reason}"), || async {
        let object = get(world, name).await;
        let found = conditions::get(&object.status.unwrap_or_default().conditions, kind).cloned();
        match found {
            Some(found) if found.status == status && found.reason == reason => Ok(found),
            other => Err(other),
        }
    })
    .await
}

#[tokio::test]
async fn a_due_time_becomes_one_execution_with_a_name_that_follows_from_it() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform()).await.unwrap();
    world
        .apply(&schedule("fires", json!({"inputs": {"name": "x"}, "timeZone": "Asia/Kolkata"})))
        .await
        .unwrap();
    world
        .apply(&schedule("suspended", json!({"suspend": {"note": "holidays"}})))
        .await
        .unwrap();
    world.apply(&schedule("never-soon", json!({"schedules": ["0 0 29 2 *"]}))).await.unwrap();
    expect(&world, "fires", conditions::READY, "True", reason::ARMED).await;
    let held = expect(&world, "suspended", conditions::READY, "False", reason::SUSPENDED).await;
    assert!(held.message.contains("holidays"), "{}", held.message);
    let armed = get(&world, "fires").await.status.unwrap();
    assert_eq!(armed.next_fire_times.len(), 5);
    assert_eq!(get(&world, "never-soon").await.status.unwrap().next_fire_times.len(), 5);

    let fired = within(Duration::from_secs(75), "the next full minute", || async {
        children(&world, "fires").await.pop().ok_or("none")
    })
    .await;
    let object = get(&world, "fires").await;
    let slot = fired.spec.scheduled_for.clone().unwrap();
    assert_eq!(
        fired.name_any(),
        child::name("fires", &object.uid().unwrap(), &Due::at(time::to_chrono(&slot)))
    );
    assert_eq!(fired.owner_references()[0].uid, object.uid().unwrap());
    assert_eq!(fired.spec.inputs.clone().map(Value::Object), Some(json!({"name": "x"})));
    assert_eq!(time::to_chrono(&slot).timestamp() % 60, 0);

    let status = eventually("the decision is recorded", || async {
        let status = get(&world, "fires").await.status.unwrap();
        if status.decided_through.as_ref() == Some(&slot) {
            Ok(status)
        } else {
            Err(status)
        }
    })
    .await;
    assert_eq!(status.last_fire_time.as_ref(), Some(&slot));
    let decision = &status.recent_decisions[0];
    assert_eq!((decision.outcome, decision.execution.as_ref()), (Outcome::Fired, Some(&fired.name_any())));
    assert!(decision.lateness_ms.unwrap() < 2000, "{decision:?}");
    assert!(status.next_fire_times[0] > slot);

    let skipped = eventually("the suspended schedule's decision", || async {
        get(&world, "suspended").await.status.unwrap().recent_decisions.pop().ok_or("none")
    })
    .await;
    assert_eq!((skipped.outcome, skipped.execution), (Outcome::Skipped, None));
    assert_eq!(children(&world, "suspended").await.len(), 0);
    assert_eq!(children(&world, "never-soon").await.len(), 0);

    // An execution deleted by hand does not come back, not even when the operator starts over.
    world
        .api::<GraphExecution>()
        .delete(&fired.name_any(), &DeleteParams::default())
        .await
        .unwrap();
    operator.stop().await;
    let second = world.operator("b").await;
    tokio::time::sleep(Duration::from_secs(3)).await;
    assert!(!children(&world, "fires").await.iter().any(|child| child.name_any() == fired.name_any()));
    second.stop().await;
}

#[tokio::test]
async fn nonsense_is_a_condition_with_a_remedy_and_no_loop() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&platform()).await.unwrap();
    world.apply(&schedule("zone", json!({"timeZone": "Mars/Olympus"}))).await.unwrap();
    world
        .apply(&schedule("cron", json!({"schedules": ["@daily", "61 * * * *"]})))
        .await
        .unwrap();
    world.apply(&schedule("never", json!({"schedules": ["0 0 30 2 *"]}))).await.unwrap();
    let zone = expect(&world, "zone", conditions::SPEC_VALID, "False", reason::TIME_ZONE_UNKNOWN).await;
    assert!(zone.message.contains("Mars/Olympus") && zone.message.contains("IANA"), "{}", zone.message);
    let cron = expect(&world, "cron", conditions::SPEC_VALID, "False", reason::CRON_INVALID).await;
    assert!(
        cron.message.contains("61 * * * *") && cron.message.contains("0 to 59"),
        "{}",
        cron.message
    );
    expect(&world, "never", conditions::SPEC_VALID, "False", reason::CRON_INVALID).await;
    expect(&world, "zone", conditions::READY, "False", reason::TIME_ZONE_UNKNOWN).await;

    let before = [get(&world, "zone").await, get(&world, "cron").await].map(|object| object.resource_version());
    tokio::time::sleep(Duration::from_secs(3)).await;
    let after = [get(&world, "zone").await, get(&world, "cron").await].map(|object| object.resource_version());
    assert_eq!(before, after);

    world.merge::<GraphSchedule>("zone", json!({"spec": {"timeZone": "Europe/Berlin"}})).await;
    expect(&world, "zone", conditions::READY, "True", reason::ARMED).await;
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn a_schedule_without_its_platform_waits_for_it() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&schedule("alone", json!({}))).await.unwrap();
    let missing = expect(&world, "alone", conditions::READY, "False", reason::PLATFORM_MISSING).await;
    assert!(missing.message.contains("AutoGPTPlatform p"), "{}", missing.message);
    world.apply(&platform()).await.unwrap();
    expect(&world, "alone", conditions::READY, "True", reason::ARMED).await;
    operator.stop().await;
}

#[tokio::test]
async fn finished_executions_beyond_the_limit_go() {
    let world = World::new().await;
    world.apply(&platform()).await.unwrap();
    let object = world
        .apply(&schedule(
            "keeps",
            json!({"schedules": ["@yearly"], "historyLimit": {"succeeded": 1, "failed": 0}}),
        ))
        .await
        .unwrap();
    world
        .merge_status::<GraphSchedule>("keeps", json!({"decidedThrough": "2026-01-01T00:03:00Z"}))
        .await;
    let uid = object.metadata.uid.unwrap();
    let of = |minute: u8| {
        let slot = format!("2026-01-01T00:0{minute}:00Z");
        (child::name("keeps", &uid, &slot.parse().unwrap()), slot)
    };
    let owner = json!([{"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "name": "keeps", "uid": uid, "controller": true}]);
    for (minute, phase, succeeded) in [
        (1, "COMPLETED", "True"),
        (2, "FAILED", "False"),
        (3, "COMPLETED", "True"),
        (4, "COMPLETED", "True"),
    ] {
        let (name, slot) = of(minute);
        let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "scheduledFor": slot});
        let metadata = json!({"name": name, "labels": {LABEL_SCHEDULE: "keeps"}, "ownerReferences": owner});
        world
            .create::<GraphExecution>(json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": metadata, "spec": spec}))
            .await;
        let condition = json!({"type": "Succeeded", "status": succeeded, "reason": "X", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        world
            .merge_status::<GraphExecution>(&name, json!({"phase": phase, "conditions": [condition]}))
            .await;
    }
    let operator = world.operator("a").await;
    eventually("the surplus is gone", || async {
        let mut left: Vec<String> = children(&world, "keeps").await.iter().map(ResourceExt::name_any).collect();
        left.sort();
        // Number 4 is of a time that is not decided.
        if left == [of(3).0, of(4).0] { Ok(()) } else { Err(left) }
    })
    .await;
    operator.stop().await;
}

#[tokio::test]
async fn a_schedule_does_not_wait_for_the_removal_of_its_old_executions() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.cluster).await;
    let mut operator = OperatorProcess::prepare_by_way_of(&world, &proxy.url, "a", &[]).await;
    operator.start().await;
    world.apply(&platform()).await.unwrap();
    let often = json!({"seconds": true, "schedules": ["* * * * * *"], "historyLimit": {"succeeded": 0, "failed": 0}});
    world.apply(&schedule("often", often)).await.unwrap();
    let first = eventually("the first execution", || async { children(&world, "often").await.pop().ok_or("none") }).await;
    // The server does not answer the request to delete it.
    let told = proxy.silence_of("DELETE /apis/autogpt.dev", 1);
    world
        .merge_status::<GraphExecution>(&first.name_any(), json!({"phase": "COMPLETED", "conditions": []}))
        .await;
    tokio::time::timeout(Duration::from_secs(30), told)
        .await
        .expect("it is to be deleted")
        .unwrap();
    let through = || async {
        get(&world, "often")
            .await
            .status
            .unwrap_or_default()
            .decided_through
            .map(|at| at.0.as_second())
    };
    let before = through().await.unwrap();
    within(Duration::from_secs(10), "three more due times are decided", || async {
        let now = through().await.unwrap();
        if now >= before + 3 { Ok(()) } else { Err((before, now)) }
    })
    .await;
    operator.terminate().await;
}
