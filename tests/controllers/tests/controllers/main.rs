//! The custom resources and their controllers on a real API server.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not recognised as tests

mod absences;
mod chart;
mod crashes;
mod executions;
mod leadership;
mod leaves;
mod ledger;
mod lists;
mod platforms;
mod policies;
mod refusals;
mod rights;
mod runs;
mod schedules;
mod schema;
mod steady;
