//! The product as a client sees it: real binaries, real servers, HTTP.
//!
//! The binaries come from `BIN_DIR` or the directory of the test executable; the servers from `devservices`.

#![allow(clippy::expect_used, clippy::panic)] // only tests use it, and they end by panicking

pub mod app;
pub mod client;
pub mod graphs;
pub mod process;

use std::path::PathBuf;

/// The root of the checkout.
pub fn repository() -> PathBuf {
    let here = PathBuf::from(env!("CARGO_MANIFEST_DIR"));
    here.ancestors().nth(2).map(PathBuf::from).unwrap_or(here)
}
