//! One file an area of rest.md §1. A handler extracts, calls the domain and maps the result.

pub mod blocks;
pub mod credits;
pub mod executions;
pub mod graphs;
pub mod health;
pub mod review;
pub mod schedules;
pub mod users;
