//! What faults and speed are measured with: blocks that the product does not ship, graphs made of them, and a [`Fleet`] of real service
//! processes on real PostgreSQL, Redis and RabbitMQ.
//!
//! The binary `workload SERVICE` is that service exactly as `services/SERVICE` starts it, except that its registry also holds [`kit::all`].

pub mod choice;
pub mod disk;
pub mod effects;
pub mod fleet;
pub mod graphs;
pub mod kit;
pub mod probe;
pub mod report;

use std::sync::Arc;

use blocks::Registry;

pub use contract_tests::client::Client;
pub use fleet::{Fleet, Fleets, Role};

/// Every block of the product and of the kit, at their prices.
pub fn registry() -> Arc<Registry> {
    Registry::with(kit::all(), kit::prices())
}
