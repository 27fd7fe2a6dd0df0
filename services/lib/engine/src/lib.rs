//! The graph machine: what a graph means, what a value becomes, what runs next. Pure: no async, no I/O, no clock.

pub mod block;
pub mod convert;
pub mod pins;
pub mod text;
pub mod types;
pub mod value;

#[cfg(test)]
mod testing;
