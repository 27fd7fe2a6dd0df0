//! The outbox relay: brings wake-ups to RabbitMQ and forgets them only when the broker has confirmed them (design §6.1).

use std::sync::Arc;
use std::time::Duration;

use bus::amqp::{Error, Outgoing, Publisher};
use runtime::retry::{Backoff, retry_forever};
use runtime::spans::{About, Kind};
use runtime::trace::Step;
use runtime::{Shutdown, Trace};
use store::{OutboxBatch, Store};
use tokio::sync::Notify;

use crate::instruments::Instruments;

/// Nudges may be lost: the relay also looks by itself.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// The rows of a batch are locked while it is published: a broker that stalls must not hold them, nor the transaction, for long.
const PUBLISH_WITHIN: Duration = Duration::from_secs(8);

pub struct Relay {
    store: Store,
    publisher: Publisher,
    instruments: Instruments,
    nudge: Arc<Notify>,
}

impl Relay {
    /// `nudge`: there may be rows in the outbox.
    pub fn new(store: Store, publisher: Publisher, instruments: Instruments, nudge: Arc<Notify>) -> Self {
        Self {
            store,
            publisher,
            instruments,
            nudge,
        }
    }

    pub async fn run(self, shutdown: Shutdown) {
        tokio::join!(self.bring(&shutdown), self.watch_lag(&shutdown));
    }

    async fn bring(&self, shutdown: &Shutdown) {
        let mut backoff = Backoff::default();
        while !shutdown.is_cancelled() {
            // No row is locked while RabbitMQ is away.
            if retry_forever("RabbitMQ", shutdown, || self.publisher.check()).await.is_none() {
                break;
            }
            let drained = tokio::select! {
                drained = self.drain() => drained,
                // The batch at hand stays in the outbox: its messages may come twice.
                () = shutdown.cancelled() => break,
            };
            let pause = match drained {
                Ok(()) => {
                    backoff.reset();
                    LOOK_EVERY
                }
                Err(error) => {
                    if backoff.attempts() == 0 {
                        tracing::warn!(%error, "wake-ups could not be relayed, trying again");
                    }
                    backoff.next_delay()
                }
            };
            tokio::select! {
                () = self.nudge.notified() => {}
                () = tokio::time::sleep(pause) => {}
                () = shutdown.cancelled() => {}
            }
        }
    }

    /// On its own: while RabbitMQ is away nothing is brought, and the lag is what somebody wants to see.
    async fn watch_lag(&self, shutdown: &Shutdown) {
        let look = async {
            loop {
                if let Ok(seconds) = self.store.outbox_lag().await {
                    self.instruments.outbox_lag.set(seconds);
                }
                tokio::time::sleep(LOOK_EVERY).await;
            }
        };
        tokio::select! {
            () = look => {}
            () = shutdown.cancelled() => {}
        }
    }

    /// Until the outbox is empty.
    async fn drain(&self) -> Result<(), RelayError> {
        while let Some(batch) = self.store.take_outbox().await? {
            self.relay(batch).await?;
        }
        Ok(())
    }

    async fn relay(&self, batch: OutboxBatch) -> Result<(), RelayError> {
        let about = || About::new(Kind::Producer, "relay").with("messaging.system", "rabbitmq");
        let steps = batch.traceparents.iter().map(|trace| Some(Trace::parse(trace.as_deref()?)?.step(about)));
        // Each ends when the broker has answered for all.
        let steps: Vec<Option<Step>> = steps.collect();
        let messages: Vec<Outgoing> = batch
            .messages
            .iter()
            .zip(&steps)
            .map(|(message, step)| Ok(Outgoing::run(message)?.traced(step.as_ref().map(|step| step.trace().to_string()))))
            .collect::<Result<_, Error>>()?;
        let results = tokio::time::timeout(PUBLISH_WITHIN, self.publisher.publish_all(&messages)).await;
        drop(steps);
        let results = results.map_err(|_| Error::Timeout)?;
        let confirmed: Vec<bool> = results.iter().map(Result::is_ok).collect();
        batch.settle(&confirmed).await?;
        self.instruments
            .relayed
            .inc_by(confirmed.iter().map(|confirmed| u64::from(*confirmed)).sum());
        match results.into_iter().find_map(Result::err) {
            Some(error) => Err(error.into()),
            None => Ok(()),
        }
    }
}

#[derive(Debug, thiserror::Error)]
enum RelayError {
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error(transparent)]
    Bus(#[from] Error),
}
