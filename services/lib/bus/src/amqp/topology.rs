//! Exchanges and queues with exactly the names, types and arguments of the contract (internals §2.1 and §5.1), so that
//! this platform can stand beside the reference on one broker. Our own queue is `graph_execution_dead`.

use lapin::options::{ExchangeDeclareOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{Channel, ExchangeKind};
use model::notification::Strategy;

use super::Error;

pub const RUN_EXCHANGE: &str = "graph_execution";
pub const RUN_QUEUE: &str = "graph_execution_queue";
pub const RUN_KEY: &str = "graph_execution.run";
pub const CANCEL_EXCHANGE: &str = "graph_execution_cancel";
/// Run messages that nobody can read. Ours: the contract loses them.
pub const DEAD_QUEUE: &str = "graph_execution_dead";
pub const NOTIFICATION_EXCHANGE: &str = "notifications";
pub const DEAD_LETTER_EXCHANGE: &str = "dead_letter";
pub const FAILED_QUEUE: &str = "failed_notifications";

/// The four strategies that have a queue, with its name.
pub const NOTIFICATION_QUEUES: [(Strategy, &str); 4] = [
    (Strategy::Immediate, "immediate_notifications"),
    (Strategy::Admin, "admin_notifications"),
    (Strategy::Summary, "summary_notifications"),
    (Strategy::Batch, "batch_notifications"),
];

/// Milliseconds after which the broker takes a run message back. A value of the contract.
const RUN_CONSUMER_TIMEOUT: i32 = 86_400_000;

/// Which part of the topology a client needs; it declares all of that part.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Topology {
    Executions,
    Notifications,
}

impl Topology {
    /// Idempotent. [`Error::Precondition`] when something of the same name has other arguments.
    pub async fn declare(self, channel: &Channel) -> Result<(), Error> {
        match self {
            Self::Executions => declare_executions(channel).await,
            Self::Notifications => declare_notifications(channel).await,
        }
    }
}

async fn declare_executions(channel: &Channel) -> Result<(), Error> {
    exchange(channel, RUN_EXCHANGE, ExchangeKind::Direct).await?;
    let arguments = table([("x-consumer-timeout", AMQPValue::LongInt(RUN_CONSUMER_TIMEOUT))]);
    queue(channel, RUN_QUEUE, arguments).await?;
    bind(channel, RUN_QUEUE, RUN_EXCHANGE, RUN_KEY).await?;
    declare_cancel_exchange(channel).await?;
    queue(channel, DEAD_QUEUE, FieldTable::default()).await
}

/// Auto-delete: it vanishes with the last executor's queue, so publishers declare it again each time.
pub(super) async fn declare_cancel_exchange(channel: &Channel) -> Result<(), Error> {
    let options = ExchangeDeclareOptions {
        durable: true,
        auto_delete: true,
        ..Default::default()
    };
    Ok(channel
        .exchange_declare(CANCEL_EXCHANGE.into(), ExchangeKind::Fanout, options, FieldTable::default())
        .await?)
}

/// This process's own cancel queue: exclusive, gone with the connection. Returns its name.
pub(super) async fn declare_cancel_queue(channel: &Channel) -> Result<String, Error> {
    declare_cancel_exchange(channel).await?;
    let options = QueueDeclareOptions {
        exclusive: true,
        auto_delete: true,
        ..Default::default()
    };
    let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
    let name = queue.name().to_string();
    bind(channel, &name, CANCEL_EXCHANGE, "").await?;
    Ok(name)
}

async fn declare_notifications(channel: &Channel) -> Result<(), Error> {
    exchange(channel, NOTIFICATION_EXCHANGE, ExchangeKind::Topic).await?;
    exchange(channel, DEAD_LETTER_EXCHANGE, ExchangeKind::Topic).await?;
    for (strategy, name) in NOTIFICATION_QUEUES {
        let strategy = strategy.as_str();
        let arguments = table([
            ("x-dead-letter-exchange", AMQPValue::LongString(DEAD_LETTER_EXCHANGE.into())),
            ("x-dead-letter-routing-key", AMQPValue::LongString(format!("failed.{strategy}").into())),
        ]);
        queue(channel, name, arguments).await?;
        bind(channel, name, NOTIFICATION_EXCHANGE, &format!("notification.{strategy}.#")).await?;
    }
    queue(channel, FAILED_QUEUE, FieldTable::default()).await?;
    bind(channel, FAILED_QUEUE, DEAD_LETTER_EXCHANGE, "failed.#").await
}

async fn exchange(channel: &Channel, name: &str, kind: ExchangeKind) -> Result<(), Error> {
    let options = ExchangeDeclareOptions {
        durable: true,
        ..Default::default()
    };
    Ok(channel.exchange_declare(name.into(), kind, options, FieldTable::default()).await?)
}

async fn queue(channel: &Channel, name: &str, arguments: FieldTable) -> Result<(), Error> {
    let options = QueueDeclareOptions {
        durable: true,
        ..Default::default()
    };
    channel.queue_declare(name.into(), options, arguments).await?;
    Ok(())
}

async fn bind(channel: &Channel, queue: &str, exchange: &str, key: &str) -> Result<(), Error> {
    Ok(channel
        .queue_bind(
            queue.into(),
            exchange.into(),
            key.into(),
            QueueBindOptions::default(),
            FieldTable::default(),
        )
        .await?)
}

fn table<const N: usize>(entries: [(&str, AMQPValue); N]) -> FieldTable {
    let mut table = FieldTable::default();
    for (name, value) in entries {
        table.insert(name.into(), value);
    }
    table
}
