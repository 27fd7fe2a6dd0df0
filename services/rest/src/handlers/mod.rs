//! One file an area of rest.md §1. A handler extracts, calls the domain and maps the result.

pub mod admin;
pub mod analytics;
pub mod api_keys;
pub mod auth;
pub mod blocks;
pub mod builder;
pub mod catalogue;
pub mod credits;
pub mod executions;
pub mod external;
pub mod files;
pub mod graphs;
pub mod health;
pub mod integrations;
pub mod library;
pub mod media;
pub mod onboarding;
pub mod presets;
pub mod review;
pub mod schedules;
pub mod sharing;
pub mod submissions;
pub mod users;
pub mod webhooks;
pub mod tools;
