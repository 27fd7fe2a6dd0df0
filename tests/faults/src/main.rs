//! `faults`: runs the battery, prints its table and writes `reports/faults.json`.
//!
//! `CASE=name` runs one case, `CASE=name,name` several, `SCALE=0.1` a tenth of the faults and runs, `SECONDS_PER_CASE=60` bounds the time in
//! which faults are injected. Exit status: 0 when every invariant holds, 1 when one is broken, 2 when the runner could not go on.

use std::path::PathBuf;
use std::process::ExitCode;

use faults::cases::{self, Case};
use faults::report::HEADING;
use faults::scope::Scope;
use workload::report::Report;
use workload::{choice, probe};

fn main() -> ExitCode {
    runtime::install_tls_provider();
    let (scope, chosen) = match (Scope::from_environment(), choice::cases(cases::ALL, |case| case.name)) {
        (Ok(scope), Ok(chosen)) => (scope, chosen),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("faults: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("faults: cannot start worker threads: {error}");
            return ExitCode::from(2);
        }
    };
    runtime.block_on(battery(&scope, &chosen))
}

#[allow(clippy::print_stdout)] // the table is what this program is for
async fn battery(scope: &Scope, chosen: &[&'static Case]) -> ExitCode {
    let commit_p50_ms = match probe::commit_p50_ms(scope.durable).await {
        Ok(probed) => probed,
        Err(error) => {
            eprintln!("faults: the servers cannot be started: {error}");
            return ExitCode::from(2);
        }
    };
    let mut report = Report::begin(std::env::var("COMMIT").unwrap_or_default(), commit_p50_ms);
    let mut failed = false;
    println!(
        "commit p50 {:.2} ms, load {:.1}\n{HEADING}",
        report.commit_p50_ms_before, report.load_before
    );
    for case in chosen {
        match case.run(scope).await {
            Ok(outcome) => {
                println!("{outcome}");
                report.results.push(outcome);
            }
            Err(error) => {
                failed = true;
                eprintln!("faults: {} ({}) could not be run to its end: {error}", case.name, case.about);
            }
        }
    }
    report.end(probe::commit_p50_ms(scope.durable).await.unwrap_or_default());
    println!("commit p50 {:.2} ms, load {:.1}", report.commit_p50_ms_after, report.load_after);
    let path = PathBuf::from("reports/faults.json");
    if let Err(error) = report.write(&path) {
        eprintln!("faults: {}: {error}", path.display());
        return ExitCode::from(2);
    }
    match (failed, report.results.iter().all(|outcome| outcome.ok)) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    }
}
