//! The fault battery: real processes and real servers, faults injected under load, invariants checked in the database (quality §4, §5).
//!
//! A case starts a platform of its own ([`world`]), lets users submit runs ([`load`]) while it kills, stops, doubles or floods
//! ([`cases`]), waits until nothing moves any more ([`watch`]), asks the database what was lost, doubled or stuck ([`invariants`]) and compares
//! with it what the platform has told about its runs ([`ear`]).
//! Schedules on Kubernetes have an API server and operators besides, and an account of their slots ([`slots`]).

pub mod cases;
mod ear;
mod invariants;
mod load;
pub mod report;
pub mod scope;
mod slots;
mod twice;
mod watch;
mod world;

/// Why the runner itself could not go on; a broken invariant is a result, not an error.
pub type Result<T, E = runtime::BoxError> = std::result::Result<T, E>;
