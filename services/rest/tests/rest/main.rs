//! The service over HTTP, on a real PostgreSQL and Redis. Run with `make test`, or
//! `cargo run -p devservices -- run -- cargo test -p rest`.

#![allow(clippy::unwrap_used, clippy::panic)]

mod app;
mod blocks;
mod executions;
mod graphs;
mod reviews;
mod schedules;
mod users;
mod wire;
