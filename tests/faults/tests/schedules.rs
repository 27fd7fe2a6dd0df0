//! A short slice of the battery of schedules: a real kube-apiserver, two operators, real services.

#![allow(clippy::expect_used)] // a test that cannot go on ends by panicking

use std::time::Duration;

use faults::cases;
use faults::scope::Scope;

async fn holds(case: &str, scale: f64, seconds: u64) {
    let scope = Scope {
        scale,
        longest: Some(Duration::from_secs(seconds)),
        lease: Duration::from_secs(4),
        durable: false,
    };
    let case = cases::find(case).expect("a case of that name");
    let outcome = case.run(&scope).await.expect("the case runs to its end");
    eprintln!("{outcome}");
    assert!(outcome.ok && outcome.faults > 0 && outcome.runs > 0, "{outcome}");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_slot_is_lost_or_doubled() {
    holds("graph_schedules", 0.02, 18).await;
}

/// The slice of the simulation that needs no servers.
#[tokio::test(flavor = "multi_thread")]
async fn no_due_time_goes_by_in_years() {
    holds("schedule_simulation", 0.01, 30).await;
}
