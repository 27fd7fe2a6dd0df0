//! RabbitMQ delivers, Redis hints (design §1).
//!
//! A message is a wake-up that may be lost, doubled or late; an event may be lost. Nothing here decides anything.

pub mod amqp;
pub mod events;
