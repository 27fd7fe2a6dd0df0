//! What a schedule does about due times that it could not see, about runs that vanish, and about graphs that cannot run.

use std::time::Duration;

use controllers_tests::eventually::within;
use controllers_tests::{Services, World};
use crds::conditions::{self, reason};
use crds::schedule::GraphScheduleStatus;
use crds::{GraphExecution, GraphSchedule, LABEL_SCHEDULE};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use model::progress::{GraphSource, SubmitRequest};
use operator::runtime::time;
use operator::schedule::spec;
use rpc::services::Scheduler;
use schedule::Calendar;
use serde_json::{Value, json};

const PATIENCE: Duration = Duration::from_secs(40);
/// What is later than 30 s is late; this is how long nobody looks.
const ABSENCE: Duration = Duration::from_secs(42);
const NO_SUCH_GRAPH: &str = "0190f1d2-0000-7000-8000-00000000dead";

async fn world_with_platform() -> World {
    let world = World::new().await;
    let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {"paused": true}});
    world.apply(&platform).await.unwrap();
    world
}

async fn add(world: &World, name: &str, spec: Value) {
    let mut all = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "seconds": true, "schedules": ["*/3 * * * * *"],
        "historyLimit": {"succeeded": 1000, "failed": 1000}});
    all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
    let object = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": all});
    world.create::<GraphSchedule>(object).await;
}

async fn children(world: &World, name: &str) -> Vec<GraphExecution> {
    let list = ListParams::default().labels(&format!("{LABEL_SCHEDULE}={name}"));
    world.api::<GraphExecution>().list(&list).await.unwrap().items
}

async fn until(world: &World, name: &str, what: &str, is: impl Fn(&GraphScheduleStatus) -> bool) -> GraphScheduleStatus {
    within(PATIENCE, &format!("{name}: {what}"), || async {
        let status = world.api::<GraphSchedule>().get(name).await.unwrap().status.unwrap_or_default();
        if is(&status) { Ok(status) } else { Err(status) }
    })
    .await
}

fn condition<'a>(status: &'a GraphScheduleStatus, kind: &str) -> Option<(&'a str, &'a str)> {
    conditions::get(&status.conditions, kind).map(|condition| (condition.status.as_str(), condition.reason.as_str()))
}

#[tokio::test]
async fn what_passed_while_nobody_looked_is_made_up_for_as_the_policy_says() {
    let world = world_with_platform().await;
    for (name, catch_up) in [
        ("none", json!({"policy": "None"})),
        ("latest", json!({"policy": "Latest"})),
        ("all", json!({"policy": "All", "limit": 1000})),
        ("window", json!({"policy": "All", "limit": 1000, "window": "1s"})),
    ] {
        add(&world, name, json!({"catchUp": catch_up})).await;
    }
    let operator = world.operator("a").await;
    for name in ["none", "latest", "all", "window"] {
        until(&world, name, "fires", |status| {
            status.counters.as_ref().is_some_and(|counters| counters.fired > 0)
        })
        .await;
    }
    operator.stop().await;
    tokio::time::sleep(ABSENCE).await;
    let back = time::now().0.as_second();
    let operator = world.operator("b").await;
    for name in ["none", "latest", "all", "window"] {
        let status = until(&world, name, "has caught up", |status| {
            status.decided_through.as_ref().is_some_and(|through| through.0.as_second() >= back)
        })
        .await;
        let counters = status.counters.unwrap();
        let object = world.api::<GraphSchedule>().get(name).await.unwrap();
        let created = object.creation_timestamp().unwrap().0.as_second();
        let through = status.decided_through.unwrap().0.as_second();
        let due = through / 3 - created / 3;
        assert_eq!(counters.fired + counters.missed + counters.skipped, due, "{name}: {counters:?}");
        // Three or four due times were later than 30 s; the others were on time.
        match name {
            "all" => assert_eq!(counters.missed, 0, "{counters:?}"),
            _ => assert!((2..=5).contains(&counters.missed), "{name}: {counters:?}"),
        }
        let until = |child: &&GraphExecution| child.spec.scheduled_for.as_ref().is_some_and(|slot| slot.0.as_second() <= through);
        let children = children(&world, name).await;
        let fired = i64::try_from(children.iter().filter(until).count()).unwrap();
        assert_eq!(fired, counters.fired, "{name}");
    }
    operator.stop().await;
}

#[tokio::test]
async fn jitter_moves_the_start_and_not_the_due_time() {
    let world = world_with_platform().await;
    let names = ["one", "two", "three", "four"];
    for name in names {
        add(&world, name, json!({"schedules": ["*/15 * * * * *"], "jitter": "9s"})).await;
    }
    let operator = world.operator("a").await;
    let mut delays = std::collections::BTreeSet::new();
    for name in names {
        let object = world.api::<GraphSchedule>().get(name).await.unwrap();
        let delay = Calendar::parse(&spec::calendar(&object)).unwrap().jitter();
        assert!(delay < Duration::from_secs(9));
        let status = until(&world, name, "fires", |status| !status.recent_decisions.is_empty()).await;
        let decision = &status.recent_decisions[0];
        let late = u128::try_from(decision.lateness_ms.unwrap()).unwrap();
        assert!(late >= delay.as_millis() && late < delay.as_millis() + 5_000, "{delay:?} {decision:?}");
        let child = children(&world, name).await.remove(0);
        assert_eq!(time::to_chrono(&child.spec.scheduled_for.unwrap()).timestamp() % 15, 0);
        delays.insert(delay);
    }
    assert!(delays.len() > 1, "schedules that are due together start apart: {delays:?}");
    operator.stop().await;
}

#[tokio::test]
async fn an_execution_deleted_by_hand_is_over_and_does_not_come_back() {
    let world = world_with_platform().await;
    add(&world, "s", json!({"overlapPolicy": "Skip"})).await;
    let operator = world.operator("a").await;
    let first = until(&world, "s", "fires", |status| !status.active.is_empty()).await;
    until(&world, "s", "skips while it runs", |status| {
        status.counters.as_ref().is_some_and(|counters| counters.skipped > 0)
    })
    .await;
    let child = children(&world, "s").await.remove(0);
    let executions = world.api::<GraphExecution>();
    executions.delete(&child.name_any(), &DeleteParams::default()).await.unwrap();
    let next = until(&world, "s", "fires again", |status| {
        !status.active.is_empty() && status.active != first.active
    })
    .await;
    let counters = next.counters.unwrap();
    assert_eq!((counters.fired, counters.succeeded, counters.failed), (2, 0, 0));
    let uids: Vec<_> = children(&world, "s").await.iter().map(ResourceExt::uid).collect();
    assert!(uids.len() == 1 && uids[0] != child.uid(), "{uids:?}");
    assert!(executions.get_opt(&child.name_any()).await.unwrap().is_none());
    operator.stop().await;
}

#[tokio::test]
async fn a_graph_that_cannot_run_stops_its_schedule_with_the_reason_until_it_is_corrected() {
    let services = Services::prepare().await;
    services.start().await;
    let (world, operator) = services.in_cluster().await;
    let input = json!({"name": "g", "description": "", "nodes": [{"id": "n", "block_id": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "input_default": {"name": "x"}}], "links": []});
    let no_block = json!({"name": "g", "nodes": [{"id": "n", "block_id": "00000000-0000-4000-8000-000000000000"}]});
    for (name, graph, why) in [
        ("gone", json!({"id": NO_SUCH_GRAPH}), reason::GRAPH_NOT_FOUND),
        ("invalid", json!({"inline": no_block}), reason::GRAPH_INVALID),
    ] {
        add(&world, name, json!({"graph": graph, "schedules": ["* * * * * *"]})).await;
        let held = until(&world, name, "is held", |status| {
            condition(status, conditions::READY) == Some(("False", reason::GRAPH_INVALID))
        })
        .await;
        assert_eq!(condition(&held, conditions::GRAPH_USABLE), Some(("False", why)));
        let before = children(&world, name).await.len();
        tokio::time::sleep(Duration::from_secs(3)).await;
        assert_eq!(
            children(&world, name).await.len(),
            before,
            "{name}: nothing fires for a graph that cannot run"
        );
        let corrected = json!({"spec": {"graph": {"id": null, "inline": input}}});
        world.merge::<GraphSchedule>(name, corrected).await;
        until(&world, name, "runs", |status| {
            condition(status, conditions::READY) == Some(("True", reason::ARMED))
                && condition(status, conditions::GRAPH_USABLE) == Some(("True", reason::AS_EXPECTED))
        })
        .await;
    }
    operator.stop().await;
}

#[tokio::test]
async fn a_graph_of_somebody_else_is_tried_at_every_due_time_and_says_so() {
    let services = Services::prepare().await;
    services.start().await;
    let (world, operator) = services.in_cluster().await;
    world
        .merge::<crds::AutoGPTPlatform>("p", json!({"spec": {"access": {"owners": ["*"]}}}))
        .await;
    let platform = world.api::<crds::AutoGPTPlatform>().get("p").await.unwrap();
    let graph = json!({"name": "g", "description": "", "nodes": [{"id": "n", "block_id": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "input_default": {"name": "x"}}], "links": []});
    let request = SubmitRequest {
        idempotency_key: "the owner's".to_owned(),
        platform_uid: platform.uid().unwrap(),
        owner: None,
        graph: GraphSource::Inline {
            graph: serde_json::from_value(graph).unwrap(),
        },
        inputs: serde_json::Map::new(),
        inputs_from_schedule: None,
        credentials: Default::default(),
        deadline: None,
    };
    let theirs = services.client().submit_graph_execution(request).await.unwrap().graph_id;
    let stranger = "0190f1d2-0000-4000-8000-00000000beef";
    let spec = json!({"graph": {"id": theirs.to_string()}, "owner": stranger, "schedules": ["* * * * * *"]});
    add(&world, "foreign", spec).await;
    // It may be given access at any time: the next due time is tried.
    let status = until(&world, "foreign", "was tried several times", |status| {
        status.counters.as_ref().is_some_and(|counters| counters.failed >= 3)
    })
    .await;
    assert_eq!(condition(&status, conditions::READY), Some(("True", reason::ARMED)));
    assert_eq!(
        condition(&status, conditions::GRAPH_USABLE),
        Some(("False", reason::GRAPH_NOT_ACCESSIBLE))
    );
    let said = &conditions::get(&status.conditions, conditions::GRAPH_USABLE).unwrap().message;
    assert!(said.contains("ask for access"), "{said}");
    operator.stop().await;
}
