//! Schedules over years, by the product's calendar and decisions alone (tests/model).

use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

const YEARS: f64 = 100_000.0;
const FEWEST: u64 = 100;
/// The first schedule; those after it follow from it.
const SEED: u64 = 1;

/// A run is a run of a schedule, a fault is a crash in a look.
pub async fn simulation(scope: &Scope) -> Result<Outcome> {
    let years = ((YEARS * scope.scale) as u64).max(FEWEST);
    let report = tokio::task::spawn_blocking(move || model_tests::schedules::run(years, SEED)).await?;
    let failure = report.failure.clone();
    Ok(Outcome::of_search("schedule_simulation", report.crashes, report.runs, &report, failure))
}
