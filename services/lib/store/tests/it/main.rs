//! The store against a real PostgreSQL. One binary, one fresh database a test.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed step is a failed test

mod claims;
mod credits;
mod dead;
mod journal;
mod outbox;
mod plans;
mod progress;
mod reads;
mod reviews;
mod rules;
mod schedules;
mod schema;
mod submissions;
mod sweep;
mod world;
