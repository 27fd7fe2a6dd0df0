//! Live events as a client of Redis sees them, with the time of their arrival. An event leaves after its commit, so the arrival of RUNNING
//! or of an end says that it is durable.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use futures::StreamExt;
use serde::Deserialize;
use tokio::sync::Notify;
use tokio::task::JoinHandle;
use uuid::Uuid;

use crate::Outcome;

/// What was heard of one run.
#[derive(Debug, Clone, Default)]
pub struct Heard {
    /// When the first node execution was RUNNING (or further).
    pub first_node: Option<Instant>,
    /// When the run had ended.
    pub ended: Option<Instant>,
    pub events: u64,
}

/// Listens to every run until it is dropped.
pub struct Listener {
    heard: Arc<Shared>,
    task: JoinHandle<()>,
}

#[derive(Default)]
struct Shared {
    runs: Mutex<HashMap<Uuid, Heard>>,
    changed: Notify,
}

#[derive(Deserialize)]
struct Envelope {
    payload: Payload,
}

#[derive(Deserialize)]
struct Payload {
    event_type: Kind,
    status: String,
    /// Of an event about the run itself.
    id: Option<Uuid>,
    /// Of an event about a node.
    graph_exec_id: Option<Uuid>,
}

#[derive(Deserialize, PartialEq)]
#[serde(rename_all = "snake_case")]
enum Kind {
    NodeExecutionUpdate,
    GraphExecutionUpdate,
}

impl Listener {
    pub async fn start(redis_url: &str) -> Outcome<Self> {
        let mut pubsub = redis::Client::open(redis_url)?.get_async_pubsub().await?;
        // Of every user, graph and run; the channel of a graph has one part less.
        pubsub.psubscribe("execution_event/*/*/*").await?;
        let heard = Arc::new(Shared::default());
        let shared = heard.clone();
        let task = tokio::spawn(async move {
            let mut messages = pubsub.into_on_message();
            while let Some(message) = messages.next().await {
                let at = Instant::now();
                if let Ok(envelope) = serde_json::from_slice::<Envelope>(message.get_payload_bytes()) {
                    shared.note(&envelope.payload, at);
                }
            }
        });
        Ok(Self { heard, task })
    }

    /// What was heard of a run so far.
    pub fn of(&self, run: Uuid) -> Heard {
        self.heard.locked(|runs| runs.get(&run).cloned()).unwrap_or_default()
    }

    /// Waits until all of `runs` have ended.
    pub async fn all_ended(&self, runs: &[Uuid], within: Duration) -> Outcome<()> {
        let missing = |heard: &HashMap<Uuid, Heard>| runs.iter().filter(|run| heard.get(run).is_none_or(|heard| heard.ended.is_none())).count();
        let deadline = Instant::now() + within;
        loop {
            let changed = self.heard.changed.notified();
            let left = self.heard.locked(|heard| missing(heard));
            if left == 0 {
                return Ok(());
            }
            let rest = deadline.saturating_duration_since(Instant::now());
            if tokio::time::timeout(rest, changed).await.is_err() {
                return Err(format!("{left} of {} runs had not ended after {within:?}", runs.len()).into());
            }
        }
    }
}

impl Drop for Listener {
    fn drop(&mut self) {
        self.task.abort();
    }
}

impl Shared {
    fn note(&self, payload: &Payload, at: Instant) {
        let about_node = payload.event_type == Kind::NodeExecutionUpdate;
        let Some(run) = (if about_node { payload.graph_exec_id } else { payload.id }) else {
            return;
        };
        let ended = self.locked(|runs| {
            let heard = runs.entry(run).or_default();
            heard.events += 1;
            if about_node && payload.status != "QUEUED" && payload.status != "INCOMPLETE" {
                heard.first_node.get_or_insert(at);
            }
            let ended = !about_node && matches!(payload.status.as_str(), "COMPLETED" | "FAILED" | "TERMINATED");
            if ended {
                heard.ended.get_or_insert(at);
            }
            ended
        });
        if ended {
            self.changed.notify_waiters();
        }
    }

    fn locked<T>(&self, work: impl FnOnce(&mut HashMap<Uuid, Heard>) -> T) -> T {
        work(&mut self.runs.lock().unwrap_or_else(PoisonError::into_inner))
    }
}
