//! A short slice of the battery: a few requests an operation, always the same ones, against the real platform.

#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on ends by panicking

use std::time::Duration;

use fuzz::cases::{self, Ending};
use fuzz::scope::Scope;

#[tokio::test(flavor = "multi_thread")]
async fn no_request_that_the_document_allows_or_forbids_does_harm() {
    let case = cases::find("rest").expect("a case of that name");
    let scope = Scope {
        examples: 2,
        longest: None,
        search: Duration::ZERO,
    };
    let Ending::Ran(outcome) = case.run(&scope).await.expect("the case runs to its end") else {
        panic!("needs nothing that may be missing");
    };
    eprintln!("{outcome}");
    assert!(outcome.ok, "{outcome}");
}
