//! The machine as a whole: graphs of small test blocks, run in memory, their journal kept as a database would.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod contract;
mod judging;
mod properties;
mod resuming;
mod retrying;
mod support;
