//! A node that must not take effect twice, and whose executor is gone while it runs, waits for a person (design §6.8).

#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on ends by panicking

use std::time::{Duration, Instant};

use contract_tests::client::{Client, status};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;
use workload::kit::id;
use workload::{Fleet, Fleets, Role, graphs};

const WITHIN: Duration = Duration::from_secs(90);

/// Rows that a run has written to the effect table.
async fn effects(fleet: &Fleet, run: Uuid) -> Vec<String> {
    let mut connection = PgConnection::connect(&fleet.effects_url).await.expect("the effect table's database");
    sqlx::query_scalar("SELECT idempotency_key FROM effects WHERE graph_exec_id = $1")
        .bind(run)
        .fetch_all(&mut connection)
        .await
        .expect("the effects")
}

/// A run whose node has had its effect and is still at work.
async fn caught(fleet: &Fleet, user: &Client, graph: Uuid) -> Uuid {
    let run = user.execute(graph, json!({})).await;
    let deadline = Instant::now() + WITHIN;
    while effects(fleet, run).await.is_empty() {
        assert!(Instant::now() < deadline, "no effect of {run}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    run
}

/// Waits until the run is parked, and decides.
async fn decide(fleet: &Fleet, user: &Client, graph: Uuid, run: Uuid, approved: bool) -> Value {
    let parked = user.finished(graph, run, WITHIN).await;
    assert_eq!(status(&parked), "REVIEW", "{parked:#}");
    assert_eq!(effects(fleet, run).await.len(), 1, "the block was started again without being asked for");
    let reviews = user.get(&format!("/api/review/execution/{run}")).await.body;
    let review = &reviews[0];
    assert_eq!(
        (&review["payload"]["input"], &review["editable"]),
        (&json!("x"), &json!(false)),
        "{reviews:#}"
    );
    let instructions = review["instructions"].as_str().unwrap_or_default();
    assert!(instructions.contains("OnceEffectBlock was cut short"), "{instructions}");
    let item = json!({"node_exec_id": review["node_exec_id"], "approved": approved, "message": "I looked"});
    let reply = user.post("/api/review/action", &json!({ "reviews": [item] })).await;
    assert_eq!(reply.body["failed_count"], 0, "{reply:?}");
    user.wait_for(graph, run, WITHIN, |execution| status(execution) == "COMPLETED").await
}

#[tokio::test(flavor = "multi_thread")]
async fn whether_an_effect_is_repeated_is_for_a_person_to_say() {
    let plan = Fleets {
        executor: 1,
        durable: false,
        ..Fleets::default()
    };
    let plan = plan.with("LEASE_SECONDS", 3).with("DRAIN_SECONDS", 1);
    let mut fleet = Fleet::start(plan).await.expect("the fleet starts");
    let user = fleet.user().await.expect("a user");
    // Long enough that the executor is gone before the block has ended.
    let graph = user.create_graph(&graphs::chain(1, id::ONCE_EFFECT, &json!({"ms": 8000}))).await;

    let (approved, rejected) = tokio::join!(caught(&fleet, &user, graph), caught(&fleet, &user, graph));
    fleet.kill(Role::Executor, 0).await.expect("a kill");
    fleet.launch(Role::Executor, 0).expect("a start");
    let execution = decide(&fleet, &user, graph, rejected, false).await;
    assert_eq!(execution["node_executions"][0]["status"], "FAILED", "{execution:#}");
    let error = execution["node_executions"][0]["output_data"]["error"][0].as_str().unwrap_or_default();
    assert!(error.contains("rejected: I looked"), "{error}");
    assert_eq!(effects(&fleet, rejected).await.len(), 1);

    let execution = decide(&fleet, &user, graph, approved, true).await;
    assert_eq!(execution["node_executions"][0]["status"], "COMPLETED", "{execution:#}");
    let keys = effects(&fleet, approved).await;
    assert_eq!((keys.len(), &keys[0]), (2, &keys[1]), "run again under the same key");

    // An executor that is asked to end gives the node a while, then leaves it to the next one.
    let drained = caught(&fleet, &user, graph).await;
    fleet.terminate(Role::Executor, 0).await.expect("an end");
    fleet.launch(Role::Executor, 0).expect("a start");
    decide(&fleet, &user, graph, drained, false).await;
    assert_eq!(effects(&fleet, drained).await.len(), 1);
    fleet.stop().await;
}
