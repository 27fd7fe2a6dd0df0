//! A fleet runs the test blocks, also with a member that was killed and filled again.

#![allow(clippy::expect_used)] // a test that cannot go on ends by panicking

use std::time::Duration;

use contract_tests::client::status;
use serde_json::json;
use sqlx::{Connection, PgConnection};
use workload::kit::id;
use workload::{Fleet, Fleets, Role, graphs};

const WITHIN: Duration = Duration::from_secs(60);

#[tokio::test(flavor = "multi_thread")]
async fn a_fleet_runs_graphs_of_test_blocks() {
    let mut fleet = Fleet::start(Fleets {
        durable: false,
        ..Fleets::default()
    })
    .await
    .expect("the fleet starts");
    let user = fleet.user().await.expect("a user");
    let mut effects = PgConnection::connect(&fleet.effects_url).await.expect("the effect table's database");

    for (graph, nodes) in [
        (graphs::chain(3, id::EFFECT, &json!({"ms": 2})), 3),
        (graphs::two_node(), 2),
        (graphs::fan_out(5, id::PURE_PASS), 7),
        (graphs::random_dag(30, 7), 30),
    ] {
        let graph = user.create_graph(&graph).await;
        let run = user.execute(graph, json!({})).await;
        let execution = user.finished(graph, run, WITHIN).await;
        assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
        assert_eq!(execution["stats"]["node_exec_count"], nodes, "{execution:#}");
    }
    let written: i64 = sqlx::query_scalar("SELECT count(*) FROM effects WHERE NOT once")
        .fetch_one(&mut effects)
        .await
        .expect("the effects");
    assert_eq!(written, 3);

    let before = (fleet.pid(Role::Executor, 0), fleet.host(Role::Executor, 0).expect("a name"));
    fleet.kill(Role::Executor, 0).await.expect("a kill");
    assert_eq!(fleet.pid(Role::Executor, 0), None);
    fleet.launch(Role::Executor, 0).expect("a start");
    fleet.ready(Role::Executor, 0).await.expect("the executor is ready again");
    assert_ne!(before, (fleet.pid(Role::Executor, 0), fleet.host(Role::Executor, 0).expect("a name")));
    fleet.stop().await;
}
