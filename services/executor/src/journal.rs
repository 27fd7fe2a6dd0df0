//! The journal writer: carries the batches of all runs to the database manager (design §6.5).
//!
//! Each run has at most one batch on the way, so its order is kept whatever the writers do; while calls are out, the batches of the other
//! runs gather and go together in the next one. That is the whole of group commit, so there is no linger.

use std::sync::Arc;
use std::time::Duration;

use model::{AppendOutcome, WrittenBatch, WrittenEntry};
use rpc::RpcError;
use runtime::Shutdown;
use tokio::sync::{Mutex, mpsc, oneshot};
use uuid::Uuid;

use crate::ledger::Ledger;
use crate::metrics::WorkMetrics;

/// Runs that may wait for the writer before their tasks wait for room.
const QUEUE: usize = 1024;
/// Calls on the way at the same time. With one, executor, database manager and PostgreSQL work in turns and wait for each other; with two, one
/// call is committed while the next is made.
const LANES: usize = 2;
/// Most batches of one call.
const BATCHES_PER_CALL: usize = 256;
/// Most bytes of the entries of one call, well below the body limit of the database manager. One batch always goes.
pub const BYTES_PER_CALL: usize = 16 << 20;

/// The way to the writers.
#[derive(Clone)]
pub struct Journal {
    requests: mpsc::Sender<Request>,
}

struct Request {
    batch: WrittenBatch,
    reply: Reply,
}

type Reply = oneshot::Sender<Result<AppendOutcome, NotWritten>>;

/// What goes together: a reply for each batch.
#[derive(Default)]
struct Call {
    batches: Vec<WrittenBatch>,
    replies: Vec<Reply>,
}

impl Call {
    fn push(&mut self, Request { batch, reply }: Request) {
        self.batches.push(batch);
        self.replies.push(reply);
    }

    fn with(request: Request) -> Self {
        let mut call = Self::default();
        call.push(request);
        call
    }
}

/// Why there is no outcome of a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NotWritten {
    /// The writer has ended: the process is on its way out and the batch may or may not be durable.
    #[error("the journal writer has ended")]
    Closed,
    /// The database manager does not take this batch however often it is sent: the run cannot get on here.
    #[error("the database manager refuses the run's journal: {0}")]
    Refused(String),
}

/// The writer ends.
struct Closed;

impl Journal {
    /// Starts the writers. They end when every `Journal` is gone, or at `abandon`, which gives up what is not written yet.
    pub fn start(ledger: Arc<dyn Ledger>, owner: Uuid, metrics: WorkMetrics, abandon: Shutdown) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        for _ in 0..LANES {
            let writer = Writer {
                ledger: ledger.clone(),
                owner,
                metrics: metrics.clone(),
                abandon: abandon.clone(),
            };
            tokio::spawn(writer.run(queue.clone()));
        }
        Self { requests }
    }

    /// Waits until the database has answered for `batch`, however long it is away.
    pub async fn append(&self, batch: WrittenBatch) -> Result<AppendOutcome, NotWritten> {
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { batch, reply }).await.map_err(|_| NotWritten::Closed)?;
        answer.await.map_err(|_| NotWritten::Closed)?
    }
}

struct Writer {
    ledger: Arc<dyn Ledger>,
    owner: Uuid,
    metrics: WorkMetrics,
    abandon: Shutdown,
}

impl Writer {
    async fn run(self, queue: Arc<Mutex<mpsc::Receiver<Request>>>) {
        let mut waiting = Vec::with_capacity(BATCHES_PER_CALL);
        while queue.lock().await.recv_many(&mut waiting, BATCHES_PER_CALL).await > 0 {
            for call in split_by_size(waiting.drain(..)) {
                let entries: usize = call.batches.iter().map(|batch| batch.entries.len()).sum();
                self.metrics.journal_entries.observe(entries as f64);
                self.metrics.journal_runs.observe(call.batches.len() as f64);
                if self.write(call).await.is_err() {
                    return;
                }
            }
        }
    }

    /// Repeats one call until it is answered: the same range sent twice is applied once.
    async fn write(&self, call: Call) -> Result<(), Closed> {
        let mut backoff = runtime::retry::Backoff::new(Duration::from_millis(50), Duration::from_secs(2));
        let mut failing = false;
        loop {
            let result = tokio::select! {
                result = self.ledger.append(self.owner, &call.batches) => result,
                () = self.abandon.cancelled() => return Err(Closed),
            };
            match result {
                Ok(outcomes) if outcomes.len() == call.batches.len() => {
                    if failing {
                        tracing::info!("the journal is written again");
                    }
                    for (reply, outcome) in call.replies.into_iter().zip(outcomes) {
                        // A run that was dropped meanwhile no longer waits.
                        let _ = reply.send(Ok(outcome));
                    }
                    return Ok(());
                }
                Ok(outcomes) => {
                    tracing::error!(
                        sent = call.batches.len(),
                        answered = outcomes.len(),
                        "the database manager answered for another number of batches"
                    );
                }
                Err(error) if refuses(&error) => {
                    self.isolate(call, &error).await?;
                    return Ok(());
                }
                Err(error) => {
                    if !failing {
                        tracing::warn!(%error, "the journal cannot be written; runs go on in memory until the database manager is back");
                    }
                }
            }
            failing = true;
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = self.abandon.cancelled() => return Err(Closed),
            }
        }
    }

    /// A refused call is sent batch by batch, so that only the run that causes the refusal is stopped.
    async fn isolate(&self, call: Call, error: &RpcError) -> Result<(), Closed> {
        let only_one = call.batches.len() == 1;
        for (batch, reply) in call.batches.into_iter().zip(call.replies) {
            if only_one {
                tracing::error!(%error, graph_exec_id = %batch.graph_exec_id, "the database manager refuses the journal of this run");
                let _ = reply.send(Err(NotWritten::Refused(error.to_string())));
            } else {
                Box::pin(self.write(Call::with(Request { batch, reply }))).await?;
            }
        }
        Ok(())
    }
}

/// True when repeating the same call cannot help.
fn refuses(error: &RpcError) -> bool {
    !error.is_transient()
}

fn split_by_size(requests: impl Iterator<Item = Request>) -> Vec<Call> {
    let mut calls: Vec<Call> = Vec::new();
    let mut bytes = 0;
    for request in requests {
        let size: usize = request.batch.entries.iter().map(WrittenEntry::size).sum();
        match calls.last_mut() {
            Some(call) if bytes + size <= BYTES_PER_CALL => {
                bytes += size;
                call.push(request);
            }
            _ => {
                bytes = size;
                calls.push(Call::with(request));
            }
        }
    }
    calls
}
