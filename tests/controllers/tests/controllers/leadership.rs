//! One operator leads, another takes over.

use std::time::{Duration, Instant};

use controllers_tests::eventually::{eventually, within};
use controllers_tests::{Operator, World};
use crds::AutoGPTPlatform;
use k8s_openapi::api::coordination::v1::Lease;
use serde_json::json;

/// It takes seven seconds on a machine at rest; how long it took is printed, and judged by nobody.
const LATE: Duration = Duration::from_secs(30);

async fn holder(world: &World) -> Option<String> {
    let lease = world.api::<Lease>().get_opt("autogpt-operator").await.unwrap()?;
    lease.spec?.holder_identity.filter(|holder| !holder.is_empty())
}

async fn expect_leader(world: &World, limit: Duration, identity: &str) -> Duration {
    let began = Instant::now();
    within(limit, &format!("{identity} leads"), || async {
        match holder(world).await {
            Some(found) if found == identity => Ok(()),
            other => Err(other),
        }
    })
    .await;
    began.elapsed()
}

async fn create_platform(world: &World, name: &str) {
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": name}, "spec": {}}))
        .await
        .unwrap();
}

async fn expect_looked_at(world: &World, name: &str) {
    eventually(&format!("{name} has a status"), || async {
        world.api::<AutoGPTPlatform>().get(name).await.unwrap().status.ok_or("none").map(|_| ())
    })
    .await;
}

/// How long nobody led, in seconds, as the new leader tells.
async fn fail_over(operator: &Operator) -> f64 {
    let text = operator.metrics().await;
    let sum = text.lines().find_map(|line| line.strip_prefix("operator_fail_over_seconds_sum "));
    sum.expect(&text).parse().unwrap()
}

#[tokio::test]
async fn one_leads_and_a_killed_one_is_replaced_once_its_lease_has_run_out() {
    let world = World::new().await;
    let first = world.operator("first").await;
    expect_leader(&world, Duration::from_secs(10), "first").await;
    let second = world.operator("second").await;
    create_platform(&world, "one").await;
    expect_looked_at(&world, "one").await;
    // Longer than the Lease lasts: the standby stays one.
    tokio::time::sleep(Duration::from_secs(10)).await;
    assert_eq!(holder(&world).await.as_deref(), Some("first"));
    first.kill();
    let killed = Instant::now();
    create_platform(&world, "two").await;
    let took = expect_leader(&world, LATE, "second").await;
    assert!(took > Duration::from_secs(3), "not before the Lease ran out: {took:?}");
    expect_looked_at(&world, "two").await;
    let told = fail_over(&second).await;
    eprintln!("nobody led for {told} s; all was looked at {:?} after the death", killed.elapsed());
    assert!(told > 3.0 && told < LATE.as_secs_f64(), "{told} s, as the metrics say");
    second.stop().await;
}

#[tokio::test]
async fn an_operator_that_is_asked_to_end_hands_over_at_once() {
    let world = World::new().await;
    let first = world.operator("first").await;
    expect_leader(&world, Duration::from_secs(10), "first").await;
    let second = world.operator("second").await;
    let asked = Instant::now();
    first.stop().await;
    assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
    // Sooner than the Lease would run out.
    expect_leader(&world, Duration::from_secs(6), "second").await;
    create_platform(&world, "one").await;
    expect_looked_at(&world, "one").await;
    second.stop().await;
    assert_eq!(holder(&world).await, None, "released");
}
