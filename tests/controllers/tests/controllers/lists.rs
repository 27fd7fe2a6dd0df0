//! Watches that have lost their place: what came and went meanwhile is in the next list only.

use controllers_tests::process::OperatorProcess;
use controllers_tests::{Proxy, World, eventually};
use crds::schedule::GraphScheduleStatus;
use crds::{ANNOTATION_RUN_NOW, GraphExecution, GraphSchedule};
use futures::{StreamExt, stream};
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams};
use serde_json::{Value, json};

/// More than one page of a list.
const MANY: usize = 300;
const RARELY: &str = "0 0 29 2 *";

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn schedule(name: &str, overlap: &str) -> Value {
    let graph = json!({"configMapRef": {"name": "graph"}});
    object(
        "GraphSchedule",
        name,
        json!({"platformRef": {"name": "p"}, "graph": graph, "schedules": [RARELY], "overlapPolicy": overlap}),
    )
}

async fn until(world: &World, name: &str, what: &str, is: impl Fn(&GraphScheduleStatus) -> bool) -> GraphScheduleStatus {
    eventually(&format!("{name}: {what}"), || async {
        let status = world.api::<GraphSchedule>().get(name).await.unwrap().status.unwrap_or_default();
        if is(&status) { Ok(status) } else { Err(status) }
    })
    .await
}

async fn ask(world: &World, name: &str, request: &str) {
    let patch = json!({"metadata": {"annotations": {ANNOTATION_RUN_NOW: request}}});
    world.merge::<GraphSchedule>(name, patch).await;
}

#[tokio::test]
async fn what_came_and_went_while_nobody_watched_is_noticed() {
    let world = World::new().await;
    let proxy = Proxy::start(&world.cluster).await;
    let mut operator = OperatorProcess::prepare_by_way_of(&world, &proxy.url, "a", &[]).await;
    operator.start().await;
    world.apply(&object("AutoGPTPlatform", "p", json!({"paused": true}))).await.unwrap();
    world.apply(&schedule("waits", "BufferOne")).await.unwrap();
    ask(&world, "waits", "one").await;
    until(&world, "waits", "runs", |status| status.active.len() == 1).await;
    ask(&world, "waits", "two").await;
    until(&world, "waits", "waits for its run to end", |status| status.buffer.len() == 1).await;

    // The run goes that the other one waits for.
    proxy.blind("/graphexecutions");
    let executions = world.api::<GraphExecution>();
    let first = executions.list(&ListParams::default()).await.unwrap().items.remove(0);
    executions.delete(&first.name_any(), &DeleteParams::default()).await.unwrap();
    eventually("it is gone", || async {
        let found = executions.get_opt(&first.name_any()).await.unwrap();
        found.map_or(Ok(()), |_| Err("it is there"))
    })
    .await;
    proxy.calm();
    let status = until(&world, "waits", "runs what waited", |status| status.buffer.is_empty()).await;
    assert_eq!(status.counters.unwrap().fired, 2);

    // Schedules come, so many that a list of them has more than one page.
    proxy.blind("/graphschedules");
    let names: Vec<String> = (0..MANY).map(|number| format!("new-{number}")).collect();
    let world = &world;
    let made = stream::iter(&names).map(|name| async move { world.create::<GraphSchedule>(schedule(name, "Allow")).await });
    assert_eq!(made.buffer_unordered(16).count().await, MANY);
    proxy.calm();
    eventually("every new schedule is armed", || async {
        let list = world.api::<GraphSchedule>().list(&ListParams::default()).await.unwrap();
        let is_armed = |schedule: &GraphSchedule| schedule.status.as_ref().is_some_and(|status| status.next_fire_times.len() == 5);
        let left = list.items.iter().filter(|schedule| !is_armed(schedule)).count();
        if left == 0 {
            Ok(())
        } else {
            Err(format!("{left} of {} are not", list.items.len()))
        }
    })
    .await;
    operator.terminate().await;
}
