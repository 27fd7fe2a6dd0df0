//! The service over HTTP, on a real PostgreSQL and Redis. Run with `make test`, or
//! `cargo run -p devservices -- run -- cargo test -p rest`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod absent;
mod admin;
mod api_keys;
mod app;
mod assistant;
mod auth;
mod blocks;
mod builder;
mod catalogue;
mod conformance;
mod credits;
mod executions;
mod external;
mod files;
mod graphs;
mod hostile;
mod integrations;
mod library;
mod mails;
mod media;
mod oauth;
mod openapi;
mod otto;
mod presets;
mod reviews;
mod schedules;
mod separation;
mod users;
mod webhooks;
mod wire;
