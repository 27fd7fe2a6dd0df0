//! The program that makes the requests and judges the answers. `hack/tools.sh schemathesis` installs it.

use std::path::{Path, PathBuf};
use std::process::Stdio;

use serde::Deserialize;
use serde_json::Value;
use tokio::process::Command;

use crate::Result;
use crate::scope::Scope;

/// What the details of failures begin with: requests and answers, and how to send them again.
const DETAILS: &str = "= FAILURES =";
/// The same requests every time.
const SEED: &str = "1";

/// What was tried and what was wrong.
pub struct Run {
    pub requests: u64,
    pub failures: Vec<String>,
}

/// Sends requests as `document` describes them, with these headers, to the service at `base`.
///
/// # Errors
/// When the program is missing or ends without a report.
pub async fn run(base: &str, headers: &[(&str, String)], document: &Value, scope: &Scope) -> Result<Run> {
    let directory = tempfile::tempdir()?;
    let (schema, report) = (directory.path().join("openapi.json"), directory.path().join("report.json"));
    std::fs::write(&schema, document.to_string())?;
    let mut command = Command::new(program()?);
    command
        .arg("--config-file")
        .arg(configuration())
        .arg("run")
        .arg(&schema)
        .args(["--url", base, "--seed", SEED, "--max-examples", &scope.examples.to_string()])
        .args(["--report", "json", "--no-color"])
        .arg("--report-json-path")
        .arg(&report);
    for (name, value) in headers {
        command.args(["--header", &format!("{name}: {value}")]);
    }
    if let Some(longest) = scope.longest {
        command.args(["--max-time", &longest.as_secs().to_string()]);
    }
    command.current_dir(directory.path()).stdin(Stdio::null()).kill_on_drop(true);
    let output = command.output().await?;
    let said = String::from_utf8_lossy(&output.stdout);
    let complained = String::from_utf8_lossy(&output.stderr);
    let report = std::fs::read(&report).map_err(|error| format!("Schemathesis left no report: {error}\n{said}\n{complained}"))?;
    let report: Report = serde_json::from_slice(&report)?;
    let mut failures = report.failures();
    if let (false, Some((_, details))) = (failures.is_empty(), said.split_once(DETAILS)) {
        failures.push(details.to_owned());
    }
    Ok(Run {
        requests: report.test_cases.generated,
        failures,
    })
}

/// What of the JSON report matters here.
#[derive(Deserialize)]
struct Report {
    test_cases: Counts,
    failures: Vec<Failure>,
    /// Operations that could not be tested.
    errors: Vec<Value>,
}

#[derive(Deserialize)]
struct Counts {
    generated: u64,
}

#[derive(Deserialize)]
struct Failure {
    title: String,
    operations: Vec<String>,
}

impl Report {
    /// One text for each operation and kind of failure.
    fn failures(&self) -> Vec<String> {
        let failures = self.failures.iter();
        let failures = failures.flat_map(|failure| failure.operations.iter().map(|operation| format!("{operation}: {}", failure.title)));
        failures.chain(self.errors.iter().map(Value::to_string)).collect()
    }
}

fn program() -> Result<PathBuf> {
    let path = std::env::var_os("SCHEMATHESIS_BIN").map(PathBuf::from);
    path.ok_or_else(|| {
        "SCHEMATHESIS_BIN is not set: run through `make test` or `make fuzz`, or set it to what hack/tools.sh schemathesis prints".into()
    })
}

fn configuration() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("schemathesis.toml")
}
