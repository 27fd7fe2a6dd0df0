//! The engine alone: random graphs in random interleavings, against a small interpreter written from the contract (tests/model).

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

const CASES: f64 = 100_000.0;
const FEWEST: u64 = 100;
/// The first case; those after it follow from it.
const SEED: u64 = 1;

/// A run is a case, a fault is a crash in one.
pub async fn properties(scope: &Scope) -> Result<Outcome> {
    let cases = ((CASES * scope.scale) as u64).max(FEWEST);
    let report = tokio::task::spawn_blocking(move || model_tests::properties::run(cases, SEED)).await?;
    let failure = report.failure.clone();
    Ok(Outcome::of_search("engine_properties", report.crashes, report.cases, &report, failure))
}
