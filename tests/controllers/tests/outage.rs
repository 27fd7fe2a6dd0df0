//! An API server that is away, and comes back with what etcd has: what was due meanwhile is made up for within seconds. This has an API
//! server of its own.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not recognised as tests

use std::time::Duration;

use controllers_tests::World;
use controllers_tests::eventually::{eventually, within};
use controllers_tests::process::OperatorProcess;
use crds::{GraphExecution, GraphSchedule};
use kube::api::ListParams;
use serde_json::{Value, json};

/// Longer than the Lease lasts, and long enough that waits which double would reach beyond [`CAUGHT_UP`].
const AWAY: Duration = Duration::from_secs(25);
/// After the server is ready again: leadership, caches, and every slot that was due.
const CAUGHT_UP: Duration = Duration::from_secs(15);
const SCHEDULES: usize = 3;

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

async fn fired_through(world: &World, name: &str) -> i64 {
    let status = world.api::<GraphSchedule>().get(name).await.unwrap().status.unwrap_or_default();
    status.decided_through.map_or(0, |through| through.0.as_second())
}

#[tokio::test]
async fn what_was_due_while_the_api_server_was_away_is_made_up_for_within_seconds() {
    let world = World::new().await;
    let mut operator = OperatorProcess::prepare(&world, "a", &[]).await;
    operator.start().await;
    world.apply(&object("AutoGPTPlatform", "p", json!({"paused": true}))).await.unwrap();
    let names: Vec<String> = (0..SCHEDULES).map(|number| format!("s{number}")).collect();
    for name in &names {
        let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "seconds": true, "schedules": ["*/2 * * * * *"],
            "catchUp": {"policy": "All", "limit": 1000}, "historyLimit": {"succeeded": 1000, "failed": 1000}});
        world.create::<GraphSchedule>(object("GraphSchedule", name, spec)).await;
    }
    for name in &names {
        eventually("it fires", || async {
            let through = fired_through(&world, name).await;
            if through > 0 { Ok(()) } else { Err(through) }
        })
        .await;
    }
    world.cluster.kill_server(AWAY).await;
    let back = operator::runtime::time::now().0.as_second();
    for name in &names {
        within(CAUGHT_UP, "what was due is decided", || async {
            let through = fired_through(&world, name).await;
            if through >= back { Ok(()) } else { Err((through, back)) }
        })
        .await;
    }
    for name in &names {
        let schedule = world.api::<GraphSchedule>().get(name).await.unwrap();
        let (created, status) = (schedule.metadata.creation_timestamp.unwrap(), schedule.status.unwrap_or_default());
        let due = status.decided_through.unwrap().0.as_second() / 2 - created.0.as_second() / 2;
        let counters = status.counters.unwrap();
        assert_eq!((counters.fired, counters.missed, counters.skipped), (due, 0, 0), "{name}");
        let children = ListParams::default().labels(&format!("autogpt.dev/schedule={name}"));
        let children = world.api::<GraphExecution>().list(&children).await.unwrap().items.len();
        assert!(i64::try_from(children).unwrap() >= due, "{children} executions of {due} slots");
    }
    operator.terminate().await;
}
