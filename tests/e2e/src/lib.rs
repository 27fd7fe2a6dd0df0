//! The hands of the end-to-end test: the project's own scripts, kubectl, HTTP and WebSocket, as a newcomer uses them.
//!
//! Everything here fails by panicking with what was run and what came back: it serves tests only.
#![allow(clippy::expect_used, clippy::panic, clippy::print_stdout)]

pub mod cluster;
pub mod platform;
