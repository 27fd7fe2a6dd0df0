//! Credits on real processes and servers: a run that runs out of them half way, and an executor that dies with a charge under way.

#![allow(clippy::expect_used)] // a test that cannot go on ends by panicking

use std::time::{Duration, Instant};

use contract_tests::client::status;
use contract_tests::graphs::{graph, link, node};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use uuid::Uuid;
use workload::kit::id;
use workload::{Client, Fleet, Fleets, Role, graphs};

const WITHIN: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn a_node_is_charged_once_and_a_run_ends_when_nothing_is_left() {
    let plan = Fleets {
        executor: 1,
        durable: false,
        ..Fleets::default()
    };
    let plan = plan
        .with("ENABLE_CREDIT", true)
        .with("NUM_USER_CREDITS_REFILL", 0)
        .with("LEASE_SECONDS", 3);
    let mut fleet = Fleet::start(plan).await.expect("the fleet starts");
    let mut database = PgConnection::connect(fleet.database_url()).await.expect("the database");

    let poor = fleet.user().await.expect("a user");
    give(&mut database, &poor, 407).await;
    runs_out(&poor, &mut database).await;

    let patient = fleet.user().await.expect("a user");
    give(&mut database, &patient, 10).await;
    is_charged_once(&mut fleet, &patient, &mut database).await;
    fleet.stop().await;
}

/// A chain of three that can be paid for as far as its second node, and a node beside it that takes its time.
async fn runs_out(user: &Client, database: &mut PgConnection) {
    let nodes = vec![
        node("first", id::PRICED, json!({"input": "x", "tier": "small"})),
        node("second", id::PRICED, json!({"tier": "large"})),
        node("third", id::PRICED, json!({"tier": "large"})),
        node("never", id::PASS, json!({})),
        node("beside", id::SLEEP, json!({"input": "x", "ms": 600_000})),
    ];
    let links = vec![
        link("first.output", "second.input"),
        link("second.output", "third.input"),
        link("third.error", "never.input"),
    ];
    let graph = user.create_graph(&graph("runs out", nodes, links)).await;
    let run = user.execute(graph, json!({})).await;
    let execution = user.finished(graph, run, WITHIN).await;
    assert_eq!(status(&execution), "FAILED", "{execution:#}");
    let reason = "Insufficient balance of $0.04, where this will cost $4.00";
    assert_eq!(execution["stats"]["error"], reason);
    assert_eq!(execution["stats"]["cost"], 403);
    let mut nodes: Vec<(&str, &Value)> = execution["node_executions"]
        .as_array()
        .expect("nodes")
        .iter()
        .map(|node| (status(node), &node["output_data"]))
        .collect();
    nodes.sort_by_key(|(status, _)| *status);
    let statuses: Vec<&str> = nodes.iter().map(|(status, _)| *status).collect();
    assert_eq!(statuses, ["COMPLETED", "COMPLETED", "FAILED", "TERMINATED"], "{execution:#}");
    assert_eq!(nodes[2].1, &json!({"error": [reason]}));

    assert_eq!(user.get("/api/credits").await.body, json!({"credits": 4}));
    assert_eq!(charges(database, user).await, [-400, -3]);
    assert_eq!(open_reservations(database).await, 0);
    let told: i64 = number(database, "SELECT count(*) FROM zero_balance_notices").await;
    assert_eq!(told, 1);
}

/// The executor is killed while the second node runs, which is paid for and has not ended.
async fn is_charged_once(fleet: &mut Fleet, user: &Client, database: &mut PgConnection) {
    let slow = json!({"tier": "small", "ms": 2000});
    let graph = user.create_graph(&graphs::chain(2, id::PRICED, &slow)).await;
    let run = user.execute(graph, json!({})).await;
    let deadline = Instant::now() + WITHIN;
    while charges(database, user).await.len() < 2 {
        assert!(Instant::now() < deadline, "the second node was not charged");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert_eq!(open_reservations(database).await, 1, "the second node has not ended");
    fleet.kill(Role::Executor, 0).await.expect("a kill");
    fleet.launch(Role::Executor, 0).expect("a start");
    let execution = user.finished(graph, run, WITHIN).await;
    assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
    assert_eq!(execution["stats"]["cost"], 6);
    assert_eq!(charges(database, user).await, [-3, -3]);
    assert_eq!(user.get("/api/credits").await.body, json!({"credits": 4}));
    assert_eq!(open_reservations(database).await, 0);
    let balance = "SELECT count(*) FROM user_balances b
                   WHERE balance <> (SELECT sum(amount) FROM credit_transactions t WHERE t.user_id = b.user_id AND is_active)";
    assert_eq!(number(database, balance).await, 0, "a balance is the sum of its entries");
}

/// What somebody has bought.
async fn give(database: &mut PgConnection, user: &Client, credits: i32) {
    let booked = sqlx::query(
        "WITH balance AS (INSERT INTO user_balances (user_id, balance) VALUES ($1, $2))
         INSERT INTO credit_transactions (user_id, transaction_key, type, amount, running_balance) VALUES ($1, 'bought', 'TOP_UP', $2, $2)",
    );
    booked.bind(user.user).bind(credits).execute(database).await.expect("credits");
}

/// The amounts of what a user was charged, the largest charge first.
async fn charges(database: &mut PgConnection, user: &Client) -> Vec<i32> {
    sqlx::query_scalar("SELECT amount FROM credit_transactions WHERE user_id = $1 AND type = 'USAGE' AND is_active ORDER BY amount")
        .bind::<Uuid>(user.user)
        .fetch_all(database)
        .await
        .expect("the charges")
}

async fn open_reservations(database: &mut PgConnection) -> i64 {
    number(database, "SELECT count(*) FROM credit_reservations").await
}

async fn number(database: &mut PgConnection, query: &'static str) -> i64 {
    sqlx::query_scalar(query).fetch_one(database).await.expect("a number")
}
