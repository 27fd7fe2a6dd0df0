//! Test blocks, a graph builder, and a simulator that runs graphs in any interleaving.

pub mod blocks;
pub mod ledger;
pub mod simulator;
pub mod world;

pub use blocks::Blocks;
pub use simulator::{InOrder, Simulator};
pub use world::World;

use model::Timestamp;

/// An instant `micros` after the beginning of the tests' time.
pub fn at(micros: i64) -> Timestamp {
    let start = 1_700_000_000_000_000;
    chrono::DateTime::from_timestamp_micros(start + micros).unwrap().into()
}
