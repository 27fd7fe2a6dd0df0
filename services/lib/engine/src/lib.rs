//! The graph machine: what a graph means, what a value becomes, what runs next. Pure: no async, no I/O, no clock.
//!
//! ```text
//! graph     ids of a new graph or version          types, value, text   the words that the rest speaks
//! validate  may it be saved, may it run            convert, pins        what a value becomes on its way
//! schema    what it takes and gives                check, input         from arrived values to a block's input
//! plan → start → run                               a graph compiled, where it starts, one run in memory
//! ```

pub mod block;
pub mod check;
pub mod convert;
pub mod error;
pub mod graph;
pub mod input;
pub mod pins;
pub mod plan;
pub mod run;
pub mod schema;
pub mod start;
pub mod text;
pub mod types;
pub mod validate;
pub mod value;

#[cfg(test)]
mod testing;
