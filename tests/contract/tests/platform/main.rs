//! The run path over HTTP, against the `app` binary: all six services in one process, on real servers.

#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on ends by panicking

mod app;
mod browser;
mod nested;
mod recorded;
mod refusals;
mod reviews;
mod runs;
mod surroundings;
