//! The database manager as a running server, against real PostgreSQL and RabbitMQ.

#![allow(clippy::unwrap_used, clippy::panic)] // a failed step is a failed test

mod contract;
mod dead;
mod doorbell;
mod executor_calls;
mod farewell;
mod proxy;
mod relay;
mod reviews;
mod start;
mod world;
