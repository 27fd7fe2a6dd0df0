//! One file an area of rest.md §1. A handler extracts, calls the domain and maps the result.

pub mod api_keys;
pub mod auth;
pub mod blocks;
pub mod credits;
pub mod executions;
pub mod external;
pub mod graphs;
pub mod health;
pub mod integrations;
pub mod review;
pub mod schedules;
pub mod users;
pub mod webhooks;
