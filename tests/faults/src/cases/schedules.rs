//! Schedules without a platform: the calendar against an oracle that looks at every minute, and, by the product's decisions alone
//! (tests/model), schedules over years and between two leaders.

use model_tests::slots;
use schedule::oracle::{self, Extent};

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

/// A run is a due time that the oracle found, a fault is a change of the clocks somewhere.
pub async fn calendar(scope: &Scope) -> Result<Outcome> {
    let extent = if scope.scale < 1.0 { Extent::SHORT } else { Extent::FULL };
    let report = tokio::task::spawn_blocking(move || oracle::check(&extent)).await?;
    let remark = format!(
        "{} zones, {} transitions, {} windows, {} due times, {} questions",
        report.zones, report.transitions, report.windows, report.slots, report.probes
    );
    let failure = (!report.wrong.is_empty()).then(|| report.wrong.join("; "));
    let (transitions, slots) = (report.transitions.try_into()?, report.slots.try_into()?);
    Ok(Outcome::of_search("schedule_calendar", transitions, slots, &remark, failure))
}

/// Threads and slots of a search.
const THREADS: usize = 2;
const SLOTS: usize = 3;

/// A run is a state of the world, a fault is a rule that was taken away, which the search must notice.
pub async fn leaders(scope: &Scope) -> Result<Outcome> {
    let mut scenes = slots::policies(SLOTS);
    scenes.push(slots::deletion(if scope.scale < 1.0 { 1 } else { SLOTS - 1 }));
    let (found, caught) = tokio::task::spawn_blocking(move || {
        let found: Vec<_> = scenes.into_iter().map(|scene| slots::explore(scene, THREADS)).collect();
        let caught: Vec<_> = slots::broken()
            .into_iter()
            .map(|(scene, property)| slots::catches(scene, property))
            .collect();
        (found, caught)
    })
    .await?;
    let states = found.iter().map(|found| found.states as u64).sum();
    let all = || found.iter().chain(&caught);
    let remark: Vec<String> = all().map(ToString::to_string).collect();
    let failures: Vec<String> = all().filter_map(|found| Some(format!("{found}: {}", found.failure.as_ref()?))).collect();
    let failure = (!failures.is_empty()).then(|| failures.join("; "));
    Ok(Outcome::of_search(
        "schedule_model",
        caught.len() as u64,
        states,
        &remark.join("\n    "),
        failure,
    ))
}
