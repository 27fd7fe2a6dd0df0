//! One node execution behind a panic and time boundary: whatever a block does, its run hears how it ended.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use blocks::{Block, BlockContext, Done, Emitted, Executed, Wait};
use engine::run::NodeResult;
use model::{Map, NodeExecId, NodeStats};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::Instant;
use tokio_util::task::AbortOnDropHandle;

use crate::size;

/// Values that a block may be ahead of its run.
const BLOCK_AHEAD: usize = 16;
/// The largest single value that a block may emit, in bytes of JSON: it must fit into one append call with room to spare.
const LARGEST_OUTPUT: usize = 24 << 20;

/// What is needed to run a node.
pub struct Job {
    pub node_exec_id: NodeExecId,
    pub block: Arc<dyn Block>,
    pub input: Map,
    pub context: BlockContext,
    pub timeout: Duration,
    /// Its share of the process, given back when the node has ended.
    pub permit: OwnedSemaphorePermit,
}

/// A value that a node emitted.
pub struct Output {
    pub node_exec_id: NodeExecId,
    pub name: String,
    pub value: Value,
}

/// How a node ended. All its outputs were sent before.
pub struct Ended {
    pub node_exec_id: NodeExecId,
    pub result: NodeResult,
    pub stats: NodeStats,
}

/// Runs the block in a task of its own and forwards what it emits, in order. Dropping the future stops the block.
pub async fn run(job: Job, outputs: mpsc::Sender<Output>) -> Ended {
    let Job {
        node_exec_id,
        block,
        input,
        context,
        timeout,
        permit,
    } = job;
    let started = Instant::now();
    let mut stats = NodeStats {
        input_size: bytes(size::of_map(&input)),
        ..NodeStats::default()
    };
    let name = block.descriptor().name;
    let block_id = block.descriptor().id;

    let (sink, mut emitted) = mpsc::channel(BLOCK_AHEAD);
    let work = async move { blocks::execute(block.as_ref(), input, &context, &sink).await };
    let mut task = AbortOnDropHandle::new(tokio::spawn(measured(work)));
    let deadline = tokio::time::sleep(timeout);
    tokio::pin!(deadline);

    let ended = loop {
        tokio::select! {
            biased;
            Some(output) = emitted.recv() => {
                if let Err(error) = forward(&outputs, &mut stats, node_exec_id, output).await {
                    task.abort();
                    break Err(error);
                }
            }
            joined = &mut task => break match joined {
                Ok((Executed { ended, stats: told }, busy)) => {
                    stats.cputime = busy.as_secs_f64();
                    stats.add_usage(&told);
                    ended.map_err(|error| error.to_string())
                }
                Err(error) if error.is_panic() => Err(message(name, block_id, &format!("the block panicked: {}", panic_text(error.into_panic())))),
                Err(_) => Err(message(name, block_id, "the block was stopped")),
            },
            () = &mut deadline => {
                task.abort();
                break Err(message(name, block_id, &format!("no end after {} s, the time limit of a node", timeout.as_secs())));
            }
        }
    };
    // What the block emitted before it ended counts, however it ended.
    let mut ended = ended;
    while let Ok(output) = emitted.try_recv() {
        if let Err(error) = forward(&outputs, &mut stats, node_exec_id, output).await {
            ended = Err(error);
            break;
        }
    }
    drop(permit);
    stats.walltime = started.elapsed().as_secs_f64();
    let result = match ended {
        Ok(Done::Completed) => NodeResult::Completed,
        Ok(Done::Waiting(Wait::Agent)) => NodeResult::Waiting,
        Ok(Done::Waiting(Wait::Person)) => NodeResult::Review,
        Err(error) => NodeResult::Failed { error },
    };
    Ended { node_exec_id, result, stats }
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
    let _ = outputs.send(Output { node_exec_id, name, value }).await;
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

/// Runs a future and tells how long its polls took: the processor time of a block that awaits its I/O.
async fn measured<F: Future>(work: F) -> (F::Output, Duration) {
    let mut work: Pin<Box<F>> = Box::pin(work);
    let mut busy = Duration::ZERO;
    let output = std::future::poll_fn(|cx| {
        let started = std::time::Instant::now();
        let poll = work.as_mut().poll(cx);
        busy += started.elapsed();
        match poll {
            Poll::Ready(output) => Poll::Ready(output),
            Poll::Pending => Poll::Pending,
        }
    })
    .await;
    (output, busy)
}
