//! What RabbitMQ delivers: that there is work, and that somebody wants a run to end. Both are hints (design §1).

use std::sync::Arc;

use bus::amqp::{Consumed, Source, Verdict, run_consumer};
use model::{CancelMessage, GraphExecId, RunMessage};
use runtime::health::Check;
use runtime::spans::{About, Kind};
use runtime::{Settings, Shutdown, Trace};
use tokio::sync::{Notify, mpsc, watch};

/// Messages held while there is no free slot: the rest goes to executors that have one.
const RUNS_HELD: u16 = 8;
const CANCELS_HELD: u16 = 64;

/// Rings `bell` for every run message. A message is acknowledged once there is a slot for what it announces.
pub async fn runs(settings: Settings, bell: Arc<Notify>, vacant: watch::Receiver<bool>, broker: Check, shutdown: Shutdown) {
    let status = |state: Result<(), String>| match state {
        Ok(()) => broker.ok(),
        Err(reason) => broker.fail(reason),
    };
    let vacant = &vacant;
    let (bell, shutdown_of_handler) = (&bell, &shutdown);
    let handler = |consumed: Consumed<RunMessage>| async move {
        let mut vacant = vacant.clone();
        // From the arrival until there is a slot.
        let _waiting = consumed
            .trace
            .map(|trace| trace.step(|| About::new(Kind::Consumer, "wake-up").with("messaging.system", "rabbitmq")));
        tracing::debug!(graph_exec_id = %consumed.message.graph_exec_id, trace_id = consumed.trace.map(Trace::id), "a run is announced");
        tokio::select! {
            _ = vacant.wait_for(|vacant| *vacant) => {
                bell.notify_one();
                Verdict::Ack
            }
            () = shutdown_of_handler.cancelled() => Verdict::Requeue,
        }
    };
    run_consumer(&settings, Source::Runs, RUNS_HELD, status, shutdown.clone(), handler).await;
}

/// Passes on which runs somebody wants to end. Each executor hears all of them.
pub async fn cancels(settings: Settings, cancels: mpsc::Sender<GraphExecId>, shutdown: Shutdown) {
    let cancels = &cancels;
    let handler = |consumed: Consumed<CancelMessage>| async move {
        // Nobody takes it any more: the process is ending, and the flag in the row remains.
        let _ = cancels.send(consumed.message.graph_exec_id).await;
        Verdict::Ack
    };
    run_consumer(&settings, Source::Cancels, CANCELS_HELD, |_| {}, shutdown.clone(), handler).await;
}
