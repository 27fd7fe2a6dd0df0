//! `faults`: runs the battery, prints its table and writes `reports/faults.json`.
//!
//! `CASE=name` runs one case, `SCALE=0.1` a tenth of the faults and runs, `SECONDS_PER_CASE=60` bounds the time in which faults are
//! injected. Exit status: 0 when every invariant holds, 1 when one is broken, 2 when the runner could not go on.

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use faults::cases::{self, Case};
use faults::report::{self, HEADING, Report};
use faults::scope::Scope;

fn main() -> ExitCode {
    runtime::install_tls_provider();
    let (scope, chosen) = match (Scope::from_environment(), chosen()) {
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

fn chosen() -> Result<Vec<&'static Case>, String> {
    match std::env::var("CASE").ok().filter(|name| !name.is_empty()) {
        None => Ok(cases::ALL.iter().collect()),
        Some(name) => cases::find(&name).map(|case| vec![case]).ok_or_else(|| {
            let names: Vec<&str> = cases::ALL.iter().map(|case| case.name).collect();
            format!("there is no case {name:?}; CASE may be {}", names.join(", "))
        }),
    }
}

#[allow(clippy::print_stdout)] // the table is what this program is for
async fn battery(scope: &Scope, chosen: &[&'static Case]) -> ExitCode {
    let mut report = Report {
        commit: commit(),
        started: chrono::Utc::now().to_rfc3339_opts(chrono::SecondsFormat::Secs, true),
        cores: std::thread::available_parallelism().map_or(0, std::num::NonZero::get),
        load_before: report::load(),
        load_after: 0.0,
        commit_p50_ms_before: 0.0,
        commit_p50_ms_after: 0.0,
        results: Vec::new(),
    };
    let mut failed = false;
    match faults::commit_p50_ms(scope).await {
        Ok(probed) => report.commit_p50_ms_before = probed,
        Err(error) => {
            eprintln!("faults: the servers cannot be started: {error}");
            return ExitCode::from(2);
        }
    }
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
    report.load_after = report::load();
    if let Ok(probed) = faults::commit_p50_ms(scope).await {
        report.commit_p50_ms_after = probed;
    }
    println!("commit p50 {:.2} ms, load {:.1}", report.commit_p50_ms_after, report.load_after);
    let path = PathBuf::from("reports/faults.json");
    if let Err(error) = report.write(&path) {
        eprintln!("faults: {}: {error}", path.display());
        return ExitCode::from(2);
    }
    match (failed, report.is_ok()) {
        (true, _) => ExitCode::from(2),
        (false, true) => ExitCode::SUCCESS,
        (false, false) => ExitCode::FAILURE,
    }
}

/// The commit that was built, with a mark when the checkout had changes.
fn commit() -> String {
    let output = Command::new("git")
        .args(["describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"])
        .output();
    output
        .ok()
        .filter(|output| output.status.success())
        .map(|output| String::from_utf8_lossy(&output.stdout).trim().to_owned())
        .unwrap_or_else(|| "unknown".to_owned())
}
