//! The four queues (internals §5.1), one consumer each.

use std::sync::Arc;
use std::time::Duration;

use bus::amqp::{Consumed, Source, Verdict, run_consumer};
use model::notification::{NotificationEvent, Strategy};
use runtime::health::Check;
use runtime::{Settings, Shutdown};

use crate::delivery::{Delivery, DeliveryError};
use crate::instruments::Instruments;

/// The contract's prefetch.
const PREFETCH: u16 = 10;
/// How long a message rests before it goes back to its queue after a passing failure.
const REST: Duration = Duration::from_secs(5);

/// Name of the readiness check of a queue.
pub fn check_name(strategy: Strategy) -> &'static str {
    match strategy {
        Strategy::Immediate => "immediate_notifications",
        Strategy::Admin => "admin_notifications",
        Strategy::Summary => "summary_notifications",
        Strategy::Batch => "batch_notifications",
        Strategy::Backoff => "backoff_notifications",
    }
}

/// Consumes one queue until the shutdown.
pub async fn consume(settings: Settings, strategy: Strategy, delivery: Arc<Delivery>, instruments: Instruments, check: Check, shutdown: Shutdown) {
    let stopping = shutdown.clone();
    let report = move |state: Result<(), String>| match state {
        Ok(()) => check.ok(),
        Err(reason) => check.fail(reason),
    };
    run_consumer(
        &settings,
        Source::Notifications(strategy),
        PREFETCH,
        report,
        shutdown,
        move |consumed: Consumed<NotificationEvent>| {
            let (delivery, instruments, stopping) = (Arc::clone(&delivery), instruments.clone(), stopping.clone());
            async move {
                let (user, kind) = (consumed.message.user_id, consumed.message.kind);
                match delivery.handle(consumed.message).await {
                    Ok(()) => {
                        instruments.handled.inc();
                        Verdict::Ack
                    }
                    Err(error) => {
                        tracing::warn!(%user, kind = kind.as_str(), %error, "not delivered");
                        after(&error, &instruments, &stopping).await
                    }
                }
            }
        },
    )
    .await;
}

async fn after(error: &DeliveryError, instruments: &Instruments, stopping: &Shutdown) -> Verdict {
    if !error.is_transient() {
        instruments.refused.inc();
        return Verdict::Reject;
    }
    instruments.put_off.inc();
    tokio::select! {
        () = tokio::time::sleep(REST) => {}
        () = stopping.cancelled() => {}
    }
    Verdict::Requeue
}
