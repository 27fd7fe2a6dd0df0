//! The blocks: what a node of a graph does with its inputs.
//!
//! A [`Block`] is a [`BlockDescriptor`] (its pins, their types and schemas: all that validation and the builder need) and an asynchronous
//! `run` that turns one map of inputs into a sequence of outputs. [`execute`] is the only way in: it validates the inputs, runs the block,
//! checks the outputs and gives every failure the contract's text. [`Registry::standard`] holds all blocks of this build.
//!
//! Where behaviour looks odd it is the contract's: saved agents depend on the reference's Python semantics, which live in `python`.

mod acting;
mod block;
mod bounds;
mod catalog;
mod category;
mod checks;
mod complaint;
pub mod describe;
mod emit;
mod execute;
mod immediate;
mod json;
mod pattern;
mod platform;
mod price;
mod python;
mod registry;
mod template;

pub use block::{Block, BlockContext, BlockError, BlockErrorKind, Failure, Wait};
pub use checks::{Declared, PinChecks};
pub use emit::{Emitted, Emitter, NotJson, PinValue};
pub use engine::block::{BlockCatalog, BlockDescriptor, BlockKind};
pub use execute::{Done, Executed, collect, execute};
pub use outside::Outside;
pub use platform::{Agent, Platform, Question, Shelves, StoreSearch};
pub use price::{BlockCost, CostType, PriceList};
pub use registry::Registry;
