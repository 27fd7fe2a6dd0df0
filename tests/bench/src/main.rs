//! `bench`: what the platform takes, measured on real processes and real servers on this machine (quality §2), the load included.
//!
//! ```text
//! CASE=chain            only this case (several with commas)
//! SECONDS_PER_CASE=10   length of the cases that run for a while (default 60)
//! SCALE=0.1             size of the cases that do a number of things (default 1)
//! REPORT=path           where the JSON goes (default reports/bench.json)
//! ```
//!
//! A case is a file in `cases/`. The exit status is 0 when the runner worked: a missed bar is data.

#![allow(clippy::print_stdout, clippy::print_stderr)] // a program for a terminal

mod cases;
mod database;
mod events;
mod http;
mod judge;
mod machine;
mod options;
mod probe;
mod report;
mod socket;
mod stats;
mod world;

use std::process::ExitCode;
use std::time::Duration;

use workload::report::Report;

use crate::options::Options;
use crate::report::heading;

type BoxError = Box<dyn std::error::Error + Send + Sync>;
/// What may go wrong here ends the case; its text is for whoever looks at the terminal.
type Outcome<T> = Result<T, BoxError>;

/// How long the prober looks at the idle machine before and after everything.
const PROBE: Duration = Duration::from_secs(5);

#[tokio::main]
async fn main() -> ExitCode {
    runtime::install_tls_provider();
    match Box::pin(bench()).await {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("bench: {error}");
            ExitCode::FAILURE
        }
    }
}

/// False when a case could not be measured.
async fn bench() -> Outcome<bool> {
    let options = Options::from_environment()?;
    let commit = std::env::var("COMMIT").unwrap_or_default();
    let mut report = Report::begin(commit, probe::alone(PROBE).await?);
    println!(
        "{} cores, load {:.2}, a lone commit takes {} ms (p50)\n",
        report.cores,
        report.load_before,
        stats::shown(report.commit_p50_ms_before)
    );
    print!("{}", heading());
    let mut worked = true;
    for case in cases::ALL {
        if options.wants(case.name) {
            match (case.run)(&options).await {
                Ok(rows) => report.results.extend(rows.into_rows()),
                Err(error) => {
                    worked = false;
                    println!("{:<14} could not be measured: {error}", case.name);
                }
            }
        }
    }
    report.end(probe::alone(PROBE).await?);
    report.write(&options.report)?;
    let missed = report.results.iter().filter(|row| !row.ok).count();
    println!(
        "\na lone commit takes {} ms now, load {:.2}; {missed} bars missed; {}",
        stats::shown(report.commit_p50_ms_after),
        report.load_after,
        options.report.display()
    );
    Ok(worked)
}
