//! Correctness by search: the graph machine against a small reference interpreter, on random graphs in random interleavings with
//! random crashes; the decisions of schedules over years, and of two leaders at once; and, in `tests/`, the life of a run between executors,
//! explored exhaustively.
//!
//! ```text
//! chance                     reproducible randomness: a seed is a case
//! blocks, shapes             blocks that say what they do; random graphs of them
//! reference                  the contract, naively: what a graph means
//! machine                    the engine in lock step with the reference, with a ledger that loses what was not durable
//! invariants                 what may never happen (the guide's list), as functions over facts
//! properties                 many cases; a failing one is shrunk and printed
//! schedules                  the decisions of schedules over years of looks, absences and crashes
//! slots                      a schedule between two leaders, explored exhaustively
//! ```

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // test code: a case that cannot go on ends by panicking

pub mod blocks;
pub mod chance;
pub mod invariants;
pub mod machine;
pub mod properties;
pub mod reference;
pub mod schedules;
pub mod shapes;
pub mod slots;
