//! libFuzzer looks for bytes that do harm, in one of the targets of `tests/fuzz/targets`. `hack/fuzz.sh` builds the programs (`fuzz/`).

use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::time::Duration;

use tokio::process::Command;
use tokio::time::timeout;

use super::Ending;
use crate::Result;
use crate::report::Outcome;
use crate::scope::Scope;

/// Seconds for one input: who needs longer hangs.
const SLOWEST: u32 = 10;
/// MiB of the whole program.
const MOST_MEMORY: u32 = 2048;
/// For the seeds, and for an input that is slow at the end.
const GRACE: Duration = Duration::from_secs(60);
/// Lines of a failure that are shown.
const SHOWN: usize = 25;

/// Searches `target` for as long as `scope` says.
///
/// # Errors
/// When the program cannot be started or does not come to its end.
pub async fn run(target: &'static str, scope: &Scope) -> Result<Ending> {
    let program = match program(target) {
        Ok(program) => program,
        Err(reason) => return Ok(Ending::Skipped(reason)),
    };
    let here = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (corpus, artifacts) = (
        here.join("../../fuzz/corpus").join(target),
        here.join("../../fuzz/artifacts").join(target),
    );
    for directory in [&corpus, &artifacts] {
        std::fs::create_dir_all(directory)?;
    }
    let mut command = Command::new(&program);
    // What is new goes to the first folder; the seeds are only read.
    command.arg(&corpus).arg(here.join("seeds").join(target));
    command.arg(format!("-max_total_time={}", scope.search.as_secs()));
    command.arg(format!("-artifact_prefix={}/", artifacts.display()));
    command.args([format!("-timeout={SLOWEST}"), format!("-rss_limit_mb={MOST_MEMORY}")]);
    command.arg("-print_final_stats=1");
    command.stdin(Stdio::null()).stdout(Stdio::null()).kill_on_drop(true);
    let output = timeout(scope.search + GRACE, command.output())
        .await
        .map_err(|_| format!("{} did not end when its time was over", program.display()))??;
    Ok(Ending::Ran(judged(
        target,
        output.status.success(),
        &String::from_utf8_lossy(&output.stderr),
    )))
}

/// The program of a target, or why there is none.
fn program(target: &str) -> Result<PathBuf, String> {
    let set = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let because = || set("LIBFUZZER_MISSING").map(|reason| reason.to_string_lossy().into_owned());
    set("LIBFUZZER_BIN")
        .map(|directory| PathBuf::from(directory).join(target))
        .ok_or_else(|| because().unwrap_or_else(|| "LIBFUZZER_BIN is not set: run it by `make fuzz`".to_owned()))
}

/// How a search went by what libFuzzer said of it. It ends with the first input that does harm.
fn judged(target: &'static str, succeeded: bool, said: &str) -> Outcome {
    let figure = said.lines().find_map(|line| line.strip_prefix("stat::number_of_executed_units:"));
    let inputs = figure.and_then(|figure| figure.trim().parse().ok()).unwrap_or(0);
    let failures = if succeeded { Vec::new() } else { vec![complaint(said)] };
    Outcome::new(target, inputs, failures)
}

/// From the first line about the failure on, without the figures; the end when no such line is known.
fn complaint(said: &str) -> String {
    let lines: Vec<&str> = said.lines().filter(|line| !line.starts_with("stat::")).collect();
    let begins = |line: &&str| line.contains("panicked at") || line.starts_with("==");
    let first = lines.iter().position(begins).unwrap_or(lines.len().saturating_sub(SHOWN));
    let mut shown: Vec<&str> = lines[first..].iter().take(SHOWN).copied().collect();
    // Where the input is comes last.
    let place = lines.iter().rev().find(|line| line.contains("Test unit written to"));
    shown.extend(place.filter(|place| !shown.contains(place)));
    shown.join("\n")
}

#[cfg(test)]
mod tests {
    use super::judged;

    #[test]
    fn a_search_that_found_nothing_counts_its_inputs() {
        let said = "INFO: Running with entropic power schedule\n#2 INITED cov: 5\nDone 4242 runs in 2 second(s)\n\
                    stat::number_of_executed_units: 4242\nstat::peak_rss_mb: 50\n";
        let outcome = judged("ws_frame", true, said);
        assert_eq!((outcome.inputs, outcome.failures, outcome.ok), (4242, 0, true));
        assert!(
            !judged("ws_frame", true, "nothing of the kind").ok,
            "a search without inputs proves nothing"
        );
    }

    #[test]
    fn a_failure_is_told_with_its_input() {
        let said = "#7 NEW cov: 9\nthread '<unnamed>' panicked at src/x.rs:1:2:\naccepted\n==5== ERROR: libFuzzer: deadly signal\n    \
                    #0 0x1 in y\nSUMMARY: libFuzzer: deadly signal\nTest unit written to ./crash-1\nstat::number_of_executed_units: 7\n";
        let outcome = judged("ws_frame", false, said);
        assert_eq!((outcome.inputs, outcome.failures, outcome.ok), (7, 1, false));
        let told = &outcome.complaints[0];
        assert!(told.starts_with("thread '<unnamed>' panicked at src/x.rs"), "{told}");
        assert!(told.ends_with("Test unit written to ./crash-1"), "{told}");
        assert!(!judged("ws_frame", false, "").ok, "whoever dies without a word has failed too");
    }
}
