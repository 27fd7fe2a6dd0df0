//! Bad input (quality §7, `make fuzz`): requests that Schemathesis makes out of the served OpenAPI document, against the real `app` binary,
//! and libFuzzer on what reads untrusted bytes (`tests/fuzz/targets`).
//!
//! A case is a file in `cases/`. A short slice of each runs in `make test` (`tests/slice.rs`).

pub mod cases;
pub mod report;
pub mod scope;

/// Why the runner itself could not go on; a failing input is a result, not an error.
pub type Result<T, E = runtime::BoxError> = std::result::Result<T, E>;
