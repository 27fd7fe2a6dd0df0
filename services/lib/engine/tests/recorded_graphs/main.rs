//! The recorded graphs and refusals, with the real blocks and without HTTP: every case whose blocks this build contains.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod graphs;
mod matching;
mod stage;
mod validation;
