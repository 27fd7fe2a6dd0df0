//! A short slice of the battery, on real processes and servers: small counts and a short lease, so that recoveries are quick.

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
    assert!(outcome.ok, "{outcome}");
    assert!(outcome.faults > 0 && outcome.runs > 0, "{outcome}");
}

/// One after the other: each has a platform of its own.
#[tokio::test(flavor = "multi_thread")]
async fn no_run_is_lost_or_doubled() {
    holds("executor_kill", 0.03, 8).await;
    holds("doubled", 0.1, 3).await;
    holds("cancel_storm", 0.05, 10).await;
}
