//! The operator's process.

use std::process::ExitCode;

fn main() -> ExitCode {
    runtime::main("operator", operator::run)
}
