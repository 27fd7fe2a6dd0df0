//! Everything that an operator may have before it and has nothing to do about.

use std::time::Duration;

use crds::{ANNOTATION_RUN_NOW, GraphExecution};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::World;

/// So long nothing is written before the time begins to count.
const QUIET: Duration = Duration::from_secs(3);

/// A platform that is ready, schedules and executions in every state that lasts.
pub async fn furnish(world: &World) {
    let platform = |name: &str, spec: Value| object("AutoGPTPlatform", name, spec);
    world.apply(&platform("ready", json!({}))).await.unwrap();
    world.bring_up("ready").await;
    world.apply(&platform("paused", json!({"paused": true}))).await.unwrap();
    let invalid = json!({"postgres": {"external": {"secretRef": {"name": "missing"}}}});
    world.apply(&platform("waits", invalid)).await.unwrap();
    let graph = json!({"configMapRef": {"name": "missing"}});
    for (name, spec) in [
        ("armed", json!({"schedules": ["0 0 29 2 *"]})),
        ("suspended", json!({"schedules": ["0 0 29 2 *"], "suspend": {"note": "holidays"}})),
        ("no-such-zone", json!({"schedules": ["0 0 29 2 *"], "timeZone": "Mars/Olympus"})),
        ("no-such-day", json!({"schedules": ["0 0 31 2 *"]})),
        ("over", json!({"schedules": ["0 0 29 2 *"], "endAt": "2027-01-01T00:00:00Z"})),
        ("no-platform", json!({"schedules": ["0 0 29 2 *"], "platformRef": {"name": "missing"}})),
    ] {
        let mut all = json!({"platformRef": {"name": "paused"}, "graph": graph});
        all.as_object_mut().unwrap().extend(spec.as_object().unwrap().clone());
        world.apply(&object("GraphSchedule", name, all)).await.unwrap();
    }
    // One whose run cannot start yet, and whose decisions no ledger has.
    let spec = json!({"schedules": ["0 0 29 2 *"], "platformRef": {"name": "paused"}, "graph": graph, "overlapPolicy": "BufferOne"});
    let mut asked = object("GraphSchedule", "asked", spec);
    asked["metadata"]["annotations"] = json!({ANNOTATION_RUN_NOW: "now"});
    world.apply(&asked).await.unwrap();
    for (name, platform) in [
        ("no-platform", "missing"),
        ("paused", "paused"),
        ("no-graph", "ready"),
        ("cancelled", "paused"),
    ] {
        let spec = json!({"platformRef": {"name": platform}, "graph": graph, "cancel": name == "cancelled"});
        world.apply(&object("GraphExecution", name, spec)).await.unwrap();
    }
    let spec = json!({"platformRef": {"name": "paused"}, "graph": graph, "ttlSecondsAfterFinished": 31_536_000});
    world.apply(&object("GraphExecution", "over", spec)).await.unwrap();
    let over = json!({"phase": "COMPLETED", "executionId": Uuid::new_v4(), "completionTime": "2026-01-01T00:00:00Z", "conditions": []});
    world.merge_status::<GraphExecution>("over", over).await;
}

/// What operators write in this time although nothing happens.
pub async fn writes_at_rest(world: &World, time: Duration) -> Vec<String> {
    world.comes_to_rest(QUIET).await;
    let before = world.writes().len();
    tokio::time::sleep(time).await;
    world.writes().split_off(before)
}

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}
