//! The graph machine: what a graph means, what a value becomes, what runs next. Pure: no async, no I/O, no clock.
//!
//! ```text
//! graph                      ids of a new graph or version
//! validate                   may it be saved, may it run
//! schema                     what it takes and gives
//! plan → start → run         a graph compiled, where it starts, one run in memory
//! policy                     how often and how long a node may be tried
//! input, check               from arrived values to a block's input
//! convert, pins              what a value becomes on its way
//! types, value, text, json   the words that the rest speaks
//! ```

pub mod block;
pub mod check;
pub mod convert;
pub mod error;
pub mod graph;
pub mod input;
pub mod json;
pub mod pins;
pub mod plan;
pub mod policy;
pub mod run;
pub mod schema;
pub mod secrets;
pub mod start;
pub mod text;
pub mod types;
pub mod validate;
pub mod value;
pub mod webhook;

#[cfg(test)]
mod testing;
