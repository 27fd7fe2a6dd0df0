//! Nudges to executors that a run of theirs is to stop. Only hints: the flag in the run's row decides, and an executor sees it with its
//! next write or renewal at the latest. So a full queue or an absent broker loses a hint and nothing else.

use std::time::Duration;

use bus::amqp::Publisher;
use model::{CancelMessage, GraphExecId};
use runtime::{Settings, Shutdown};
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Hints that may wait for the broker.
const WAITING: usize = 1024;
/// A hint that takes longer comes too late to help.
const PATIENCE: Duration = Duration::from_secs(5);

/// Hands hints to the task that publishes them. Never waits.
#[derive(Clone)]
pub struct CancelHints(mpsc::Sender<GraphExecId>);

impl CancelHints {
    pub fn start(settings: &Settings, shutdown: &Shutdown) -> Self {
        let (sender, receiver) = mpsc::channel(WAITING);
        let publisher = Publisher::new(settings, "scheduler", &[]);
        tokio::spawn(publish(publisher, receiver, shutdown.clone()));
        Self(sender)
    }

    pub fn send(&self, graph_exec_id: GraphExecId) {
        if self.0.try_send(graph_exec_id).is_err() {
            tracing::debug!(%graph_exec_id, "a cancel hint was dropped");
        }
    }
}

async fn publish(publisher: Publisher, mut hints: mpsc::Receiver<GraphExecId>, shutdown: Shutdown) {
    let mut failing = false;
    loop {
        let hint = tokio::select! {
            hint = hints.recv() => hint,
            () = shutdown.cancelled() => None,
        };
        let Some(graph_exec_id) = hint else { return };
        let outcome = match timeout(PATIENCE, publisher.cancel(&CancelMessage { graph_exec_id })).await {
            Ok(outcome) => outcome.map_err(|error| error.to_string()),
            Err(_) => Err(format!("no answer within {} s", PATIENCE.as_secs())),
        };
        match &outcome {
            Ok(()) if failing => tracing::info!("RabbitMQ recovered: cancel hints flow again"),
            Err(error) if !failing => {
                tracing::warn!(
                    error,
                    "RabbitMQ is unavailable: cancel hints are lost, executors see the flag at their next renewal"
                );
            }
            _ => {}
        }
        failing = outcome.is_err();
    }
}
