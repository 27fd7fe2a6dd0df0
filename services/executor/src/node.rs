//! One node execution behind a panic and time boundary: whatever a block does, its run hears how it ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use blocks::{Block, BlockContext, BlockError, Done, Emitted, Executed, Wait};
use engine::block::Effects;
use engine::policy::RetryPolicy;
use engine::run::NodeResult;
use model::{Map, NodeExecId, NodeStats};
use prometheus_client::metrics::counter::Counter;
use runtime::trace;
use serde_json::Value;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, mpsc};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;
use tokio_util::task::AbortOnDropHandle;

use crate::charge::Charge;
use crate::lease::Lease;
use crate::retry::{self, Failed, Fault};
use crate::size;

/// Values that a block may be ahead of its run.
const BLOCK_AHEAD: usize = 16;
/// The largest single value that a block may emit, in bytes of JSON. How many nodes may get it is for the run to say, which saves it with
/// what they get.
const LARGEST_OUTPUT: usize = 24 << 20;

/// What is needed to run a node.
pub struct Job {
    pub node_exec_id: NodeExecId,
    pub block: Arc<dyn Block>,
    pub input: Map,
    pub context: BlockContext,
    pub retry: RetryPolicy,
    /// Of one attempt.
    pub timeout: Duration,
    /// Its share of the process, given back when the node has ended or waits for its next attempt.
    pub permit: OwnedSemaphorePermit,
    /// To be paid before; [`crate::charge::run`] does.
    pub charge: Option<Charge>,
    pub again: Again,
}

/// What another attempt needs.
#[derive(Clone)]
pub struct Again {
    pub nodes: Arc<Semaphore>,
    pub lease: Lease,
    pub retries: Counter,
    /// The run is handed over: no further attempt here.
    pub release: CancellationToken,
}

/// A value that a node emitted.
pub struct Output {
    pub node_exec_id: NodeExecId,
    pub name: String,
    pub value: Value,
    /// About how many bytes the value has as JSON.
    pub size: usize,
}

/// How a node ended. All its outputs were sent before.
pub struct Ended {
    pub node_exec_id: NodeExecId,
    /// None: the run is handed over while the node waits for its next attempt. Whoever goes on starts it again.
    pub result: Option<NodeResult>,
    pub stats: NodeStats,
}

/// Why an attempt failed.
struct Failure {
    fault: Fault,
    error: String,
}

impl Failure {
    fn foreseen(error: String) -> Self {
        let fault = Fault::Foreseen;
        Self { fault, error }
    }

    fn unforeseen(error: String) -> Self {
        let fault = Fault::Unforeseen;
        Self { fault, error }
    }
}

impl From<BlockError> for Failure {
    fn from(error: BlockError) -> Self {
        Self {
            fault: error.kind.into(),
            error: error.to_string(),
        }
    }
}

/// Tries the block as often as its policy allows and forwards what it emits, in order. Each attempt has the same idempotency key, the id
/// of the node execution. Dropping the future stops the block.
pub async fn run(job: Job, outputs: mpsc::Sender<Output>) -> Ended {
    let Job {
        node_exec_id,
        block,
        mut input,
        context,
        retry,
        timeout,
        mut permit,
        mut again,
        charge: _,
    } = job;
    let mut stats = NodeStats {
        input_size: bytes(size::of_map(&input)),
        ..NodeStats::default()
    };
    let effects = block.effects(&input);
    let mut attempt = 1;
    let result = loop {
        // The last attempt needs no copy.
        let copy = if attempt < retry.max_attempts {
            input.clone()
        } else {
            std::mem::take(&mut input)
        };
        let tried = try_once(node_exec_id, &block, copy, &context, timeout, &outputs, &mut stats).await;
        drop(permit);
        let Failure { fault, error } = match tried {
            Ok(Done::Completed) => break Some(NodeResult::Completed),
            Ok(Done::Waiting(Wait::Agent)) => break Some(NodeResult::Waiting),
            Ok(Done::Waiting(Wait::Person)) => break Some(NodeResult::Review),
            Err(failure) => failure,
        };
        let failed = Failed {
            attempt,
            fault,
            effects,
            emitted: stats.output_size > 0,
        };
        let Some(delay) = retry::next_delay(&retry, failed, rand::random_range(0.0..=1.0)) else {
            break Some(NodeResult::Failed { error });
        };
        tracing::debug!(%node_exec_id, attempt, ?delay, error, "a node is tried again");
        match again.wait(delay, effects).await {
            Some(next) => permit = next,
            None => break None,
        }
        again.retries.inc();
        attempt += 1;
        stats.retry_count += 1;
    };
    Ended { node_exec_id, result, stats }
}

impl Again {
    /// Waits without a share of the process. None when the run is handed over.
    async fn wait(&mut self, delay: Duration, effects: Effects) -> Option<OwnedSemaphorePermit> {
        let (lease, nodes) = (&mut self.lease, self.nodes.clone());
        let next = async move {
            tokio::time::sleep(delay).await;
            // As for a first attempt: outside effects only while this process can count on its lease.
            while effects != Effects::Pure && !lease.trusted() {
                lease.changed().await;
            }
            nodes.acquire_owned().await.ok()
        };
        tokio::select! {
            permit = next => permit,
            () = self.release.cancelled() => None,
        }
    }
}

/// Runs the block once, in a task of its own.
async fn try_once(
    node_exec_id: NodeExecId,
    block: &Arc<dyn Block>,
    input: Map,
    context: &BlockContext,
    timeout: Duration,
    outputs: &mpsc::Sender<Output>,
    stats: &mut NodeStats,
) -> Result<Done, Failure> {
    let started = Instant::now();
    let name = block.descriptor().name;
    let block_id = block.descriptor().id;

    let (sink, mut emitted) = mpsc::channel(BLOCK_AHEAD);
    let paused = Arc::new(Notify::new());
    let pauses = Pauses(sink.clone(), paused.clone());
    let (running, context) = (block.clone(), context.clone());
    let work = async move { blocks::execute(running.as_ref(), input, &context, &sink).await };
    // What the block asks of the platform belongs to the node's step.
    let work = trace::within_some(trace::current(), measured(work, pauses));
    let mut task = AbortOnDropHandle::new(tokio::spawn(work));
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);

    let mut ended = loop {
        if let Err(error) = forward_all(&mut emitted, outputs, stats, node_exec_id).await {
            task.abort();
            break Err(Failure::foreseen(error));
        }
        tokio::select! {
            biased;
            () = &mut deadline => {
                task.abort();
                let text = format!("no end after {} s, the time limit of a node", timeout.as_secs_f64());
                break Err(Failure::unforeseen(message(name, block_id, &text)));
            }
            () = paused.notified() => {}
            joined = &mut task => break match joined {
                Ok((Executed { ended, stats: told }, busy)) => {
                    stats.cputime += busy.as_secs_f64();
                    stats.add_usage(&told);
                    ended.map_err(Failure::from)
                }
                Err(error) if error.is_panic() => {
                    let text = format!("the block panicked: {}", panic_text(error.into_panic()));
                    Err(Failure::unforeseen(message(name, block_id, &text)))
                }
                Err(_) => Err(Failure::foreseen(message(name, block_id, "the block was stopped"))),
            },
        }
    };
    // What the block emitted before it ended counts, however it ended.
    if let Err(error) = forward_all(&mut emitted, outputs, stats, node_exec_id).await {
        ended = Err(Failure::foreseen(error));
    }
    stats.walltime += started.elapsed().as_secs_f64();
    ended
}

/// Everything that a block may have left when it paused, and no more: one that never stops emitting must not keep its time limit from being
/// looked at.
async fn forward_all(
    emitted: &mut mpsc::Receiver<Emitted>,
    outputs: &mpsc::Sender<Output>,
    stats: &mut NodeStats,
    node_exec_id: NodeExecId,
) -> Result<(), String> {
    for _ in 0..BLOCK_AHEAD {
        let Ok(output) = emitted.try_recv() else { break };
        forward(outputs, stats, node_exec_id, output).await?;
    }
    Ok(())
}

async fn forward(outputs: &mpsc::Sender<Output>, stats: &mut NodeStats, node_exec_id: NodeExecId, emitted: Emitted) -> Result<(), String> {
    let Emitted { pin: name, value } = emitted;
    // Infinity and not-a-number end the node (finding 9).
    let value = value.into_json().map_err(|error| error.to_string())?;
    let length = size::of_value(&value);
    if length > LARGEST_OUTPUT {
        return Err(format!(
            "Output `{name}` has {length} bytes; a single value may have at most {LARGEST_OUTPUT}. Store it and pass a reference."
        ));
    }
    stats.output_size += bytes(length);
    // Nobody listens any more when the run was dropped; then this task is about to be dropped as well.
    let size = length;
    let _ = outputs
        .send(Output {
            node_exec_id,
            name,
            value,
            size,
        })
        .await;
    Ok(())
}

/// The contract's shape of a block's message (internals §2.10).
fn message(block: &str, block_id: model::BlockId, text: &str) -> String {
    format!("raised by {block} with message: {text}. block_id: {block_id}")
}

fn panic_text(panic: Box<dyn std::any::Any + Send>) -> String {
    panic
        .downcast_ref::<&str>()
        .map(|text| (*text).to_owned())
        .or_else(|| panic.downcast_ref::<String>().cloned())
        .unwrap_or_else(|| "no message".to_owned())
}

fn bytes(length: usize) -> i64 {
    i64::try_from(length).unwrap_or(i64::MAX)
}

/// Tells that a block has paused and left outputs.
struct Pauses(mpsc::Sender<Emitted>, Arc<Notify>);

impl Pauses {
    fn tell(&self) {
        let Self(sink, paused) = self;
        if sink.capacity() < sink.max_capacity() {
            paused.notify_one();
        }
    }
}

/// Runs a future and tells how long its polls took: the processor time of a block that awaits its I/O.
///
/// Whoever takes its outputs is told when it pauses, not before: a task that is woken by a block which goes on computing waits behind it, on
/// its thread, and could not even end it.
async fn measured<F: Future>(work: F, pauses: Pauses) -> (F::Output, Duration) {
    let mut work: Pin<Box<F>> = Box::pin(work);
    let mut busy = Duration::ZERO;
    let output = std::future::poll_fn(|cx| {
        let started = std::time::Instant::now();
        let poll = work.as_mut().poll(cx);
        busy += started.elapsed();
        match poll {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => {
                pauses.tell();
                Poll::Pending
            }
        }
    })
    .await;
    (output, busy)
}
