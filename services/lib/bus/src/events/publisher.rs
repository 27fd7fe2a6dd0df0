//! Publishing without waiting: events go through a bounded queue to one task. When Redis is slow or absent they are
//! dropped and counted; the caller never notices.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use model::ExecutionEvent;
use redis::aio::MultiplexedConnection;
use runtime::Settings;
use runtime::retry::Backoff;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout};

use super::Channels;

/// Events that wait; beyond it the newest are dropped.
const WAITING_EVENTS: usize = 8192;
const WAITING_BYTES: usize = 64 << 20;
/// Events sent in one round trip.
const BATCH: usize = 256;
/// The shortest time between two round trips. An event after a pause leaves at once; in a stream of them many share the system calls.
const PACE: Duration = Duration::from_millis(4);
const CONNECT: Duration = Duration::from_secs(3);
const SEND: Duration = Duration::from_secs(3);
const FLUSH: Duration = Duration::from_secs(2);

/// A handle on the publishing task, which ends with its last handle. Cheap to clone.
#[derive(Clone)]
pub struct EventBus {
    queue: mpsc::Sender<Item>,
    waiting_bytes: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    channels: Channels,
    limit: usize,
}

enum Item {
    Event {
        channel: String,
        body: Vec<u8>,
    },
    /// Answered when everything before it has been sent or dropped.
    Flush(oneshot::Sender<()>),
}

impl EventBus {
    pub fn start(settings: &Settings) -> Self {
        let (queue, waiting) = mpsc::channel(WAITING_EVENTS);
        let bus = Self {
            queue,
            waiting_bytes: Arc::default(),
            dropped: Arc::default(),
            channels: Channels::new(settings),
            limit: settings.max_message_size_limit,
        };
        let task = Task {
            url: settings.redis.url(),
            waiting,
            waiting_bytes: bus.waiting_bytes.clone(),
            dropped: bus.dropped.clone(),
            connection: None,
        };
        tokio::spawn(task.run());
        bus
    }

    /// `seq` is the run's journal position, `prev` that of the event before: a reader sees a loss.
    pub fn publish(&self, event: &ExecutionEvent, seq: Option<i64>, prev: Option<i64>) {
        let (graph_channel, channel) = match event {
            ExecutionEvent::NodeExecutionUpdate(node) => (None, self.channels.run(node.user_id, node.graph_id, node.graph_exec_id)),
            ExecutionEvent::GraphExecutionUpdate(graph) => {
                let meta = &graph.meta;
                (
                    Some(self.channels.graph(meta.user_id, meta.graph_id)),
                    self.channels.run(meta.user_id, meta.graph_id, meta.id),
                )
            }
        };
        let body = super::message(event, seq, prev, self.limit);
        if let Some(graph_channel) = graph_channel {
            self.publish_bytes(graph_channel, body.clone());
            self.publish_bytes(self.channels.progress(), Vec::new());
        }
        self.publish_bytes(channel, body);
    }

    /// Any message on any channel.
    pub fn publish_bytes(&self, channel: String, body: Vec<u8>) {
        let size = body.len();
        let waiting = self.waiting_bytes.fetch_add(size, Ordering::Relaxed);
        if waiting + size > WAITING_BYTES || self.queue.try_send(Item::Event { channel, body }).is_err() {
            self.waiting_bytes.fetch_sub(size, Ordering::Relaxed);
            self.dropped.fetch_add(1, Ordering::Relaxed);
        }
    }

    /// Waits until what was published so far has left, at most 2 s. For the end of a process.
    pub async fn flush(&self) {
        let (answer, answered) = oneshot::channel();
        let flushed = async {
            if self.queue.send(Item::Flush(answer)).await.is_ok() {
                let _ = answered.await;
            }
        };
        let _ = timeout(FLUSH, flushed).await;
    }

    /// Events lost so far because Redis was slow or absent.
    pub fn dropped(&self) -> u64 {
        self.dropped.load(Ordering::Relaxed)
    }
}

struct Task {
    url: String,
    waiting: mpsc::Receiver<Item>,
    waiting_bytes: Arc<AtomicUsize>,
    dropped: Arc<AtomicU64>,
    connection: Option<MultiplexedConnection>,
}

impl Task {
    async fn run(mut self) {
        let mut backoff = Backoff::default();
        let mut items = Vec::with_capacity(BATCH);
        let mut next = Instant::now();
        while self.waiting.recv_many(&mut items, BATCH).await > 0 {
            if items.len() < BATCH && Instant::now() < next {
                tokio::time::sleep_until(next).await;
                while items.len() < BATCH
                    && let Ok(item) = self.waiting.try_recv()
                {
                    items.push(item);
                }
            }
            next = Instant::now() + PACE;
            let (mut events, mut flushes) = (Vec::new(), Vec::new());
            for item in items.drain(..) {
                match item {
                    Item::Event { channel, body } => events.push((channel, body)),
                    Item::Flush(answer) => flushes.push(answer),
                }
            }
            let bytes: usize = events.iter().map(|(_, body)| body.len()).sum();
            self.waiting_bytes.fetch_sub(bytes, Ordering::Relaxed);
            let outcome = self.deliver(&events).await;
            for answer in flushes {
                let _ = answer.send(());
            }
            match outcome {
                Ok(()) if backoff.attempts() > 0 => {
                    tracing::info!(dropped = self.dropped.load(Ordering::Relaxed), "Redis recovered: live events flow again");
                    backoff.reset();
                }
                Ok(()) => {}
                Err(error) => {
                    self.connection = None;
                    self.dropped.fetch_add(events.len() as u64, Ordering::Relaxed);
                    if backoff.attempts() == 0 {
                        tracing::warn!(error, "Redis is unavailable: live events are dropped");
                    }
                    tokio::time::sleep(backoff.next_delay()).await;
                }
            }
        }
    }

    async fn deliver(&mut self, events: &[(String, Vec<u8>)]) -> Result<(), String> {
        if events.is_empty() {
            return Ok(());
        }
        let connection = match &mut self.connection {
            Some(connection) => connection,
            None => {
                let client = redis::Client::open(self.url.as_str()).map_err(|error| error.to_string())?;
                let opened = timeout(CONNECT, client.get_multiplexed_async_connection()).await;
                let opened = opened.map_err(|_| "no connection in time".to_owned())?;
                self.connection.insert(opened.map_err(|error| error.to_string())?)
            }
        };
        let mut pipeline = redis::pipe();
        for (channel, body) in events {
            pipeline.publish(channel, body).ignore();
        }
        let sent = timeout(SEND, pipeline.query_async::<()>(connection)).await;
        sent.map_err(|_| "no answer in time".to_owned())?.map_err(|error| error.to_string())
    }
}
