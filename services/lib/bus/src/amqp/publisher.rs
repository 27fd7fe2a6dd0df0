//! Publishing with confirms. A failure is the caller's to handle: it knows whether the message was a hint.

use std::sync::Arc;
use std::time::Duration;

use lapin::options::BasicPublishOptions;
use lapin::types::{AMQPValue, FieldTable};
use lapin::{BasicProperties, Confirmation, PublisherConfirm};
use model::notification::NotificationEvent;
use model::{CancelMessage, RunMessage};
use runtime::Settings;
use serde::Serialize;
use tokio::sync::Mutex;
use tokio::time::timeout;

use super::Error;
use super::connection::Link;
use super::topology::{CANCEL_EXCHANGE, NOTIFICATION_EXCHANGE, RUN_EXCHANGE, RUN_KEY, Topology, declare_cancel_exchange};

/// Publications that wait for their confirm at the same time.
const WINDOW: usize = 256;
const CONFIRM: Duration = Duration::from_secs(10);
/// Persistent delivery mode of AMQP.
const PERSISTENT: u8 = 2;

/// A message ready to be sent.
#[derive(Debug, Clone)]
pub struct Outgoing {
    pub exchange: String,
    pub routing_key: String,
    pub body: Vec<u8>,
    /// An unroutable message is an error. Off for hints that nobody may be listening to.
    pub mandatory: bool,
    /// W3C `traceparent` of what the message belongs to: a header of the message.
    pub traceparent: Option<String>,
}

impl Outgoing {
    /// A persistent JSON message that some queue must take.
    pub fn json(exchange: &str, routing_key: &str, body: &impl Serialize) -> Result<Self, Error> {
        let body = serde_json::to_vec(body).map_err(|error| Error::Unwritable(error.to_string()))?;
        Ok(Self {
            exchange: exchange.to_owned(),
            routing_key: routing_key.to_owned(),
            body,
            mandatory: true,
            traceparent: None,
        })
    }

    /// The message that says that there is a run to claim.
    pub fn run(message: &RunMessage) -> Result<Self, Error> {
        Self::json(RUN_EXCHANGE, RUN_KEY, message)
    }

    #[must_use]
    pub fn traced(mut self, traceparent: Option<String>) -> Self {
        self.traceparent = traceparent;
        self
    }

    pub fn notification(event: &NotificationEvent) -> Result<Self, Error> {
        Self::json(NOTIFICATION_EXCHANGE, &event.kind.routing_key(), event)
    }

    fn cancel(message: &CancelMessage) -> Result<Self, Error> {
        Ok(Self {
            mandatory: false,
            ..Self::json(CANCEL_EXCHANGE, "", message)?
        })
    }
}

/// Publishes on one connection, which is opened at first use and again after it broke. Cheap to clone.
#[derive(Clone)]
pub struct Publisher(Arc<Inner>);

struct Inner {
    url: String,
    name: String,
    topology: Vec<Topology>,
    link: Mutex<Option<Arc<Link>>>,
}

impl Publisher {
    /// Does not connect yet. `name` is what the broker's overview shows; each part of `topology` is declared on connect.
    pub fn new(settings: &Settings, name: &str, topology: &[Topology]) -> Self {
        Self::at(settings.rabbitmq.url(), name, topology)
    }

    pub fn at(url: String, name: &str, topology: &[Topology]) -> Self {
        Self(Arc::new(Inner {
            url,
            name: name.to_owned(),
            topology: topology.to_vec(),
            link: Mutex::new(None),
        }))
    }

    /// Whether the broker can be reached and holds the topology. For readiness checks.
    pub async fn check(&self) -> Result<(), Error> {
        self.link().await.map(drop)
    }

    /// Sends one message and waits until the broker has it.
    pub async fn publish(&self, message: &Outgoing) -> Result<(), Error> {
        self.publish_all(std::slice::from_ref(message))
            .await
            .pop()
            .unwrap_or(Err(Error::NotConfirmed))
    }

    /// Sends many messages, at most 256 of them unconfirmed at a time. One result per message, in order.
    pub async fn publish_all(&self, messages: &[Outgoing]) -> Vec<Result<(), Error>> {
        let mut results = Vec::with_capacity(messages.len());
        for window in messages.chunks(WINDOW) {
            let link = match self.link().await {
                Ok(link) => link,
                Err(error) => {
                    results.extend(window.iter().map(|_| Err(error.clone())));
                    continue;
                }
            };
            let mut pending = Vec::with_capacity(window.len());
            for message in window {
                pending.push(send(&link, message).await);
            }
            let mut broken = false;
            for (message, sent) in window.iter().zip(pending) {
                let outcome = confirmed(message, sent).await;
                broken |= matches!(
                    outcome,
                    Err(Error::Broker(_) | Error::Timeout | Error::Precondition(_) | Error::Access(_))
                );
                results.push(outcome);
            }
            if broken {
                self.forget(&link).await;
            }
        }
        results
    }

    /// Nudges the executor that has this run. Losing it is harmless: the flag in the row decides.
    pub async fn cancel(&self, message: &CancelMessage) -> Result<(), Error> {
        let link = self.link().await?;
        if let Err(error) = declare_cancel_exchange(&link.channel).await {
            self.forget(&link).await;
            return Err(error);
        }
        self.publish(&Outgoing::cancel(message)?).await
    }

    pub async fn notification(&self, event: &NotificationEvent) -> Result<(), Error> {
        self.publish(&Outgoing::notification(event)?).await
    }

    async fn link(&self) -> Result<Arc<Link>, Error> {
        let mut slot = self.0.link.lock().await;
        if let Some(link) = slot.as_ref().filter(|link| link.channel.status().connected()) {
            return Ok(link.clone());
        }
        *slot = None;
        let link = Link::open(&self.0.url, &self.0.name, &self.0.topology).await?.with_confirms().await?;
        Ok(slot.insert(Arc::new(link)).clone())
    }

    /// Drops the connection unless another caller has replaced it already.
    async fn forget(&self, broken: &Arc<Link>) {
        let mut slot = self.0.link.lock().await;
        if slot.as_ref().is_some_and(|link| Arc::ptr_eq(link, broken)) {
            *slot = None;
        }
    }
}

async fn send(link: &Link, message: &Outgoing) -> Result<PublisherConfirm, Error> {
    let options = BasicPublishOptions {
        mandatory: message.mandatory,
        ..Default::default()
    };
    let mut properties = BasicProperties::default()
        .with_content_type("application/json".into())
        .with_content_encoding("utf-8".into())
        .with_delivery_mode(PERSISTENT);
    if let Some(traceparent) = &message.traceparent {
        let mut headers = FieldTable::default();
        headers.insert(runtime::trace::HEADER.into(), AMQPValue::LongString(traceparent.as_str().into()));
        properties = properties.with_headers(headers);
    }
    let publication = link.channel.basic_publish(
        message.exchange.as_str().into(),
        message.routing_key.as_str().into(),
        options,
        &message.body,
        properties,
    );
    timeout(CONFIRM, publication).await.map_err(|_| Error::Timeout)?.map_err(Error::from)
}

async fn confirmed(message: &Outgoing, sent: Result<PublisherConfirm, Error>) -> Result<(), Error> {
    let confirmation = timeout(CONFIRM, sent?).await.map_err(|_| Error::Timeout)??;
    match confirmation {
        Confirmation::Ack(None) => Ok(()),
        Confirmation::Ack(Some(_)) => Err(Error::Unroutable {
            exchange: message.exchange.clone(),
            routing_key: message.routing_key.clone(),
        }),
        Confirmation::Nack(_) | Confirmation::NotRequested => Err(Error::NotConfirmed),
    }
}
