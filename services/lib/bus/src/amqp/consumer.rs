//! Consuming with manual acknowledgement, reconnecting for ever.

use std::future::Future;

use futures::StreamExt;
use lapin::message::Delivery;
use lapin::options::{BasicAckOptions, BasicConsumeOptions, BasicNackOptions, BasicPublishOptions, BasicQosOptions};
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Consumer};
use model::notification::Strategy;
use runtime::retry::Backoff;
use runtime::{Settings, Shutdown, Trace};
use serde::de::DeserializeOwned;

use super::Error;
use super::connection::Link;
use super::topology::{DEAD_QUEUE, NOTIFICATION_QUEUES, RUN_QUEUE, Topology, declare_cancel_queue};

/// Where messages come from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Source {
    /// `graph_execution_queue`. What cannot be read goes to `graph_execution_dead`.
    Runs,
    /// An exclusive queue of this process on the cancel fanout. What cannot be read is dropped.
    Cancels,
    /// The queue of a strategy. What cannot be read is rejected into the dead letters.
    Notifications(Strategy),
}

/// What the handler gets.
#[derive(Debug, Clone, PartialEq)]
pub struct Consumed<T> {
    pub message: T,
    /// The broker has tried to deliver it before.
    pub redelivered: bool,
    /// The trace that the message belongs to, if its sender said so.
    pub trace: Option<Trace>,
}

/// What becomes of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    Ack,
    /// Never again: into the dead letters where the queue has them.
    Reject,
    /// Back to the queue. For a passing trouble only; the handler must have waited itself.
    Requeue,
}

/// Hands every message of `source` to `handler`, at most `prefetch` at a time, until the shutdown. Handlers that have
/// begun are awaited.
///
/// Absence of the broker is waited out: logged once, reported through `status` (`Ok` while consuming) so that
/// readiness can tell.
pub async fn run_consumer<T, H, Fut>(
    settings: &Settings,
    source: Source,
    prefetch: u16,
    status: impl Fn(Result<(), String>) + Send + Sync,
    shutdown: Shutdown,
    handler: H,
) where
    T: DeserializeOwned + Send,
    H: Fn(Consumed<T>) -> Fut + Send + Sync,
    Fut: Future<Output = Verdict> + Send,
{
    let url = settings.rabbitmq.url();
    let mut backoff = Backoff::default();
    while !shutdown.is_cancelled() {
        let opened = tokio::select! {
            opened = open(&url, source, prefetch) => opened,
            () = shutdown.cancelled() => return,
        };
        let error = match opened {
            Ok((link, consumer)) => {
                if backoff.attempts() > 0 {
                    tracing::info!(?source, "RabbitMQ recovered");
                }
                backoff.reset();
                status(Ok(()));
                drain(&link, consumer, source, prefetch, &shutdown, &handler).await;
                Error::Broker("the connection was lost".to_owned())
            }
            Err(error) => error,
        };
        if shutdown.is_cancelled() {
            return;
        }
        if backoff.attempts() == 0 {
            tracing::warn!(?source, %error, "waiting for RabbitMQ");
        }
        status(Err(error.to_string()));
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.cancelled() => {}
        }
    }
}

async fn open(url: &str, source: Source, prefetch: u16) -> Result<(Link, Consumer), Error> {
    let topology = match source {
        Source::Runs => [Topology::Executions].as_slice(),
        Source::Cancels => &[],
        Source::Notifications(_) => &[Topology::Notifications],
    };
    let link = Link::open(url, &format!("consumer {source:?}"), topology).await?;
    link.channel.basic_qos(prefetch, BasicQosOptions::default()).await?;
    let queue = match source {
        Source::Runs => RUN_QUEUE.to_owned(),
        Source::Cancels => declare_cancel_queue(&link.channel).await?,
        Source::Notifications(strategy) => {
            let queue = NOTIFICATION_QUEUES.iter().find(|(candidate, _)| *candidate == strategy);
            queue
                .map(|(_, name)| (*name).to_owned())
                .ok_or_else(|| Error::Broker(format!("{strategy:?} has no queue")))?
        }
    };
    let consumer = link
        .channel
        .basic_consume(queue.into(), "".into(), BasicConsumeOptions::default(), FieldTable::default())
        .await?;
    Ok((link, consumer))
}

/// Ends when the connection does, or at the shutdown once every handler that began has finished.
async fn drain<T, H, Fut>(link: &Link, consumer: Consumer, source: Source, prefetch: u16, shutdown: &Shutdown, handler: &H)
where
    T: DeserializeOwned + Send,
    H: Fn(Consumed<T>) -> Fut + Send + Sync,
    Fut: Future<Output = Verdict> + Send,
{
    consumer
        .take_until(shutdown.cancelled())
        // The stream yields an error when the connection breaks; it ends right after.
        .filter_map(async |delivery| delivery.ok())
        .for_each_concurrent(usize::from(prefetch.max(1)), async |delivery| {
            handle(link, source, delivery, handler).await;
        })
        .await;
}

async fn handle<T, H, Fut>(link: &Link, source: Source, delivery: Delivery, handler: &H)
where
    T: DeserializeOwned + Send,
    H: Fn(Consumed<T>) -> Fut + Send + Sync,
    Fut: Future<Output = Verdict> + Send,
{
    let verdict = match serde_json::from_slice(&delivery.data) {
        Ok(message) => {
            handler(Consumed {
                message,
                redelivered: delivery.redelivered,
                trace: trace_of(&delivery),
            })
            .await
        }
        Err(error) => {
            tracing::warn!(?source, %error, "a message cannot be read");
            set_aside(link, source, &delivery.data).await
        }
    };
    let settled = match verdict {
        Verdict::Ack => delivery.ack(BasicAckOptions::default()).await,
        Verdict::Reject => {
            delivery
                .nack(BasicNackOptions {
                    requeue: false,
                    ..Default::default()
                })
                .await
        }
        Verdict::Requeue => {
            delivery
                .nack(BasicNackOptions {
                    requeue: true,
                    ..Default::default()
                })
                .await
        }
    };
    if let Err(error) = settled {
        // The broker delivers it again; handlers are idempotent.
        tracing::debug!(?source, %error, "a message could not be settled");
    }
}

fn trace_of(delivery: &Delivery) -> Option<Trace> {
    match delivery.properties.headers().as_ref()?.inner().get(runtime::trace::HEADER)? {
        AMQPValue::LongString(text) => Trace::parse(std::str::from_utf8(text.as_bytes()).ok()?),
        _ => None,
    }
}

async fn set_aside(link: &Link, source: Source, body: &[u8]) -> Verdict {
    match source {
        Source::Cancels => Verdict::Ack,
        Source::Notifications(_) => Verdict::Reject,
        Source::Runs => {
            let properties = BasicProperties::default().with_delivery_mode(2);
            let published = link
                .channel
                .basic_publish("".into(), DEAD_QUEUE.into(), BasicPublishOptions::default(), body, properties)
                .await;
            if published.is_ok() { Verdict::Ack } else { Verdict::Requeue }
        }
    }
}
