//! `fuzz`: runs the battery of bad input, prints its table and writes `reports/fuzz.json`.
//!
//! `CASE=name` runs one case, `CASE=name,name` several, `SCALE=0.1` a tenth of the examples and of the time, `SECONDS_PER_CASE=60` bounds
//! the time. Exit status: 0 when no input did harm, 1 when one did, 2 when the runner could not go on.

use std::path::PathBuf;
use std::process::ExitCode;

use fuzz::cases::{self, Case, Ending};
use fuzz::report::HEADING;
use fuzz::scope::Scope;
use workload::report::Report;
use workload::{choice, probe};

fn main() -> ExitCode {
    runtime::install_tls_provider();
    let (scope, chosen) = match (Scope::from_environment(), choice::cases(cases::ALL, |case| case.name)) {
        (Ok(scope), Ok(chosen)) => (scope, chosen),
        (Err(error), _) | (_, Err(error)) => {
            eprintln!("fuzz: {error}");
            return ExitCode::from(2);
        }
    };
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("fuzz: cannot start worker threads: {error}");
            return ExitCode::from(2);
        }
    };
    match runtime.block_on(battery(&scope, &chosen)) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("fuzz: {error}");
            ExitCode::from(2)
        }
    }
}

/// Whether no input did harm.
#[allow(clippy::print_stdout)] // the table is what this program is for
async fn battery(scope: &Scope, chosen: &[&'static Case]) -> fuzz::Result<bool> {
    let mut report = Report::begin(std::env::var("COMMIT").unwrap_or_default(), probe::commit_p50_ms(false).await?);
    println!("{HEADING}");
    for case in chosen {
        let ending = case
            .run(scope)
            .await
            .map_err(|error| format!("{} ({}): {error}", case.name, case.about))?;
        match ending {
            Ending::Ran(outcome) => {
                println!("{outcome}");
                report.results.push(outcome);
            }
            Ending::Skipped(reason) => println!("{:<12} skipped: {reason}", case.name),
        }
    }
    report.end(probe::commit_p50_ms(false).await?);
    report.write(&PathBuf::from("reports/fuzz.json"))?;
    Ok(report.results.iter().all(|outcome| outcome.ok))
}
