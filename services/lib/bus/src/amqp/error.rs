//! What goes wrong with RabbitMQ, and what to do about it.

use lapin::ErrorKind;
use lapin::protocol::{AMQPErrorKind, AMQPSoftError};

#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    #[error("RabbitMQ: {0}")]
    Broker(String),
    /// The names are shared with the reference, whose arguments are declared exactly; nothing of ours deletes a queue.
    #[error(
        "RabbitMQ holds an exchange or queue of this name with other arguments ({0}): point RABBITMQ_VHOST to a virtual host of its own, \
         or delete the queue by hand once it is empty"
    )]
    Precondition(String),
    #[error(
        "RabbitMQ refuses this user ({0}): check RABBITMQ_DEFAULT_USER and RABBITMQ_DEFAULT_PASS, and the user's permissions on the virtual host"
    )]
    Access(String),
    #[error("no queue is bound for routing key {routing_key} on exchange {exchange}")]
    Unroutable { exchange: String, routing_key: String },
    #[error("RabbitMQ did not take responsibility for the message")]
    NotConfirmed,
    #[error("RabbitMQ did not answer in time")]
    Timeout,
    #[error("the message cannot be written as JSON: {0}")]
    Unwritable(String),
}

impl From<lapin::Error> for Error {
    fn from(error: lapin::Error) -> Self {
        if let ErrorKind::ProtocolError(protocol) = error.kind() {
            match protocol.kind() {
                AMQPErrorKind::Soft(AMQPSoftError::PRECONDITIONFAILED) => return Self::Precondition(protocol.get_message().to_string()),
                AMQPErrorKind::Soft(AMQPSoftError::ACCESSREFUSED) => return Self::Access(protocol.get_message().to_string()),
                _ => {}
            }
        }
        Self::Broker(error.to_string())
    }
}
