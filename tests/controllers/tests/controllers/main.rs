//! The custom resources and their controllers on a real API server.

mod chart;
mod executions;
mod leadership;
mod platforms;
mod schedules;
mod schema;
