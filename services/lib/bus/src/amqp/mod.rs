//! RabbitMQ: the contract's topology, a publisher with confirms, consumers that reconnect.

mod connection;
mod consumer;
mod error;
mod publisher;
pub mod topology;

pub use consumer::{Consumed, Source, Verdict, run_consumer};
pub use error::Error;
pub use publisher::{Outgoing, Publisher};
