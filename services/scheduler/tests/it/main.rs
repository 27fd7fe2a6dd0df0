//! The scheduler service over HTTP, on real PostgreSQL, RabbitMQ and Redis. One binary, one fresh database a test.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on says so

mod firing;
mod lifecycle;
mod progress;
mod schedules;
mod stopping;
mod submission;
mod world;
