//! Schedules over years, by the product's calendar and decisions alone (tests/model).

use crate::Result;
use crate::report::{Notes, Outcome};
use crate::scope::Scope;

const YEARS: f64 = 100_000.0;
const FEWEST: u64 = 100;
/// The first schedule; those after it follow from it.
const SEED: u64 = 1;

/// A run is a run of a schedule, a fault is a crash in a look.
pub async fn simulation(scope: &Scope) -> Result<Outcome> {
    let years = ((YEARS * scope.scale) as u64).max(FEWEST);
    let report = tokio::task::spawn_blocking(move || model_tests::schedules::run(years, SEED)).await?;
    Ok(Outcome {
        case: "schedule_simulation",
        faults: report.crashes,
        runs: report.runs,
        lost: 0,
        doubled: 0,
        stuck: 0,
        worst_recovery_s: 0.0,
        ok: report.failure.is_none(),
        notes: Notes {
            remarks: vec![report.to_string()],
            complaints: report.failure.into_iter().collect(),
            ..Notes::default()
        },
    })
}
