//! The operator's process. `operator release` lets go of everything before an uninstallation.

use std::process::ExitCode;

fn main() -> ExitCode {
    match std::env::args().nth(1).as_deref() {
        Some("release") => runtime::main("operator", operator::run_release),
        _ => runtime::main("operator", operator::run),
    }
}
