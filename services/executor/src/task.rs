//! One task a run: the loop that starts what is ready, feeds results to the engine and carries its journal away.
//!
//! Everything that decides is in `engine::run::Run`. This loop waits for what happens next and never polls.

use std::collections::{HashMap, VecDeque};
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use blocks::{BlockContext, BlockDescriptor, Outside, Platform, Registry};
use engine::block::Effects;
use engine::run::{NodeResult, NodeStart, OutputError, Run};
use model::credits::BLOCK_CHARGE;
use model::user::UsageTransactionMetadata;
use model::{
    AppendOutcome, CreditReservation, ExecutionEvent, GraphExecId, JournalEntry, NodeExecId, NodeId, NodeStats, PAST_DEADLINE, Timestamp,
    WrittenBatch, WrittenEntry,
};
use runtime::spans::{About, Kind};
use runtime::trace::Step;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, mpsc, watch};
use tokio::task::{AbortHandle, JoinSet};
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use crate::backlog::Backlog;
use crate::charge::{self, Bill, Charge, Till};
use crate::events::{Placed, Tell, Untold};
use crate::journal::{self, Journal, NotWritten};
use crate::lease::Lease;
use crate::ledger::Ledger;
use crate::metrics::WorkMetrics;
use crate::node::{Again, Ended, Job, Output};
use crate::parking;
use crate::platform::RunPlatform;
use crate::size;

/// Values that the nodes of a run may be ahead of it.
const OUTPUTS_AHEAD: usize = 64;
/// Most bytes that are saved in one piece: they have to fit into one call.
pub const LARGEST_STEP: usize = rpc::BODY_LIMIT - (4 << 20);
/// About what a journal entry takes beside its value, in bytes.
const ENTRY: usize = 300;
/// How long nodes without outside effects may take after the run was asked to stop working: they can be run again elsewhere.
const PURE_GRACE: Duration = Duration::from_secs(1);

/// So long a batch waits at most for nodes that are nearly done, and so often the run lets other tasks go first without hearing of a node.
/// A turn costs about a microsecond, a batch a hundred times as much.
const GATHER: Duration = Duration::from_millis(1);
const TURNS_WITHOUT_NEWS: u32 = 8;
/// How long the last batch may take when this process is ending.
const LAST_WRITE: Duration = Duration::from_secs(4);

/// What the runs of one process share.
pub struct Deps {
    pub registry: Arc<Registry>,
    /// What blocks reach beyond the platform.
    pub outside: Outside,
    pub ledger: Arc<dyn Ledger>,
    pub journal: Journal,
    pub tell: Tell,
    /// Bounds the nodes of the whole process.
    pub nodes: Arc<Semaphore>,
    pub lease: Lease,
    pub limits: Limits,
    pub metrics: WorkMetrics,
}

#[derive(Debug, Clone, Copy)]
pub struct Limits {
    pub nodes_per_run: usize,
    pub node_timeout: Duration,
    /// How long nodes with outside effects may take after the run was asked to stop working.
    pub drain: Duration,
    /// Most bytes that are saved in one piece: an output with what its receivers get of it is durable altogether or not at all. Beyond a
    /// quarter of it that is not durable a run takes no outputs and starts no nodes until the database has caught up.
    pub step: usize,
}

/// How the rest of the process reaches a run.
#[derive(Debug, Clone)]
pub struct Control {
    /// The user wants the run to end.
    pub cancel: CancellationToken,
    /// This process is ending: hand the run over.
    pub release: CancellationToken,
    /// The run belongs to somebody else: stop without writing.
    pub lost: CancellationToken,
    /// The run's count of what waiting nodes may be waiting for.
    pub news: watch::Sender<i64>,
}

impl Control {
    /// Of a run claimed with this `news`.
    pub fn new(news: i64) -> Self {
        Self {
            cancel: CancellationToken::new(),
            release: CancellationToken::new(),
            lost: CancellationToken::new(),
            news: watch::Sender::new(news),
        }
    }
}

/// How the work of this process on a run ended.
pub enum Outcome {
    /// The run is over, or waits for people or other runs without anybody's help, and that is durable.
    Finished(Box<Run>),
    /// Everything so far is durable and nothing is in flight: another executor may go on.
    Released,
    /// The run is no longer ours. What was not durable is forgotten.
    Lost,
    /// The run is still ours and cannot get on here. What was not durable is forgotten.
    Stuck { reason: String },
}

type Append = Pin<Box<dyn Future<Output = Result<AppendOutcome, NotWritten>> + Send>>;
type Acquire = Pin<Box<dyn Future<Output = Option<OwnedSemaphorePermit>> + Send>>;

pub struct RunTask {
    deps: Arc<Deps>,
    control: Control,
    run: Run,
    platform: Arc<dyn Platform>,
    news: watch::Receiver<i64>,
    /// The news that the waiting nodes have been asked about.
    news_seen: i64,
    backlog: Backlog,
    untold: Untold,
    /// About how many bytes the engine has written that are not in the backlog.
    uncollected: usize,
    /// Position of the last event that was told.
    told: i64,
    /// The run's deadline, until it has been followed.
    expires: Option<Instant>,
    /// Present while credits are enabled.
    till: Option<Arc<Till>>,
    lease: Lease,
    /// When this run was asked to be handed over: no node is started any more, those in flight may end for a while.
    released: Option<Instant>,
    /// The last entry is written; only the journal remains.
    ended: bool,
    nodes: JoinSet<Ended>,
    /// When the last node in flight ended.
    last_ended: Option<Instant>,
    in_flight: HashMap<NodeExecId, InFlight>,
    /// Nodes with outside effects that wait until their RUNNING is durable.
    held: VecDeque<Held>,
    outputs: (mpsc::Sender<Output>, mpsc::Receiver<Output>),
    gathering: Gathering,
    append: Option<Append>,
    acquire: Option<Acquire>,
}

/// A node that was started or is held.
struct InFlight {
    effects: Effects,
    bill: Bill,
    /// The news that was known when it started.
    news_seen: i64,
    /// Stops its task, once it has one.
    abort: Option<AbortHandle>,
}

/// How long the next batch has been held back.
#[derive(Default)]
struct Gathering {
    since: Option<Instant>,
    turns_without_news: u32,
}

/// A job that may start when every entry before `durable_from` is durable.
struct Held {
    durable_from: i64,
    job: Job,
}

impl RunTask {
    /// `expires`: the run's deadline by this process's clock.
    pub fn new(deps: Arc<Deps>, control: Control, run: Run, expires: Option<Instant>) -> Self {
        let next_seq = run.next_seq();
        let news_seen = *control.news.borrow();
        Self {
            platform: Arc::new(RunPlatform {
                ledger: deps.ledger.clone(),
                epoch: run.facts().epoch,
            }),
            news_seen,
            news: control.news.subscribe(),
            lease: deps.lease.clone(),
            deps,
            control,
            run,
            backlog: Backlog::new(next_seq),
            untold: Untold::default(),
            uncollected: 0,
            told: next_seq - 1,
            expires,
            till: None,
            released: None,
            ended: false,
            nodes: JoinSet::new(),
            last_ended: None,
            in_flight: HashMap::new(),
            held: VecDeque::new(),
            outputs: mpsc::channel(OUTPUTS_AHEAD),
            gathering: Gathering::default(),
            append: None,
            acquire: None,
        }
    }

    /// Charges what its nodes cost.
    pub fn charging(self, till: Option<Till>) -> Self {
        Self {
            till: till.map(Arc::new),
            ..self
        }
    }

    /// Works until the run is over, handed over or lost.
    pub async fn work(mut self) -> Outcome {
        self.run.begin(Timestamp::now());
        self.describe();
        let mut cancelled = false;
        loop {
            self.start_ready();
            self.start_held();
            if !self.ended && self.run.is_idle() {
                self.end();
            }
            self.collect();
            let gathers = self.gathers();
            if !gathers && let Err(stuck) = self.flush() {
                return stuck;
            }
            if self.append.is_none() {
                if self.ended {
                    return Outcome::Finished(Box::new(self.run));
                }
                if self.released.is_some() && self.in_flight.is_empty() {
                    return Outcome::Released;
                }
            }
            let room = self.has_room();
            let deadline = self.release_deadline();
            tokio::select! {
                biased;
                () = self.control.lost.cancelled() => return Outcome::Lost,
                answer = pending(&mut self.append) => match self.settle(answer) {
                    Ok(cancel_requested) if cancel_requested => self.control.cancel.cancel(),
                    Ok(_) => {}
                    Err(outcome) => return outcome,
                },
                () = self.control.cancel.cancelled(), if !cancelled => {
                    cancelled = true;
                    self.cancel();
                }
                () = self.control.release.cancelled(), if self.released.is_none() => {
                    self.released = Some(Instant::now());
                    self.acquire = None;
                }
                () = until(self.expires) => {
                    self.expires = None;
                    if !self.ended && !self.run.is_cancelled() {
                        self.run.fail(PAST_DEADLINE.to_owned(), Timestamp::now());
                    }
                    self.control.cancel.cancel();
                }
                () = until(deadline) => {
                    if self.in_flight.is_empty() {
                        // The database does not answer, and this process has to end.
                        return Outcome::Lost;
                    }
                    self.abandon_nodes();
                }
                Some(output) = self.outputs.1.recv(), if room => {
                    self.gathering.turns_without_news = 0;
                    self.take(output);
                }
                Some(joined) = self.nodes.join_next() => {
                    self.gathering.turns_without_news = 0;
                    self.join(joined);
                }
                permit = pending(&mut self.acquire) => {
                    self.start_with(permit);
                }
                Ok(()) = self.news.changed(), if !self.ended => {
                    self.news_seen = *self.news.borrow_and_update();
                    self.run.recheck();
                }
                () = self.lease.changed(), if !self.held.is_empty() => {}
                () = tokio::task::yield_now(), if gathers => self.gathering.turns_without_news += 1,
            }
        }
    }

    /// Whether the next batch waits for nodes under way. A node that has given its last output ends at once, and a quick one ends right after
    /// it began: then one batch tells all of it, where a second one would have to wait for the first. A node that takes its time is not
    /// waited for.
    fn gathers(&mut self) -> bool {
        let may = self.append.is_none()
            && self.released.is_none()
            && self.in_flight.len() > self.held.len()
            && self.gathering.turns_without_news < TURNS_WITHOUT_NEWS
            && self.gathering.since.get_or_insert_with(Instant::now).elapsed() < GATHER;
        if !may {
            self.gathering = Gathering::default();
        }
        may
    }

    /// Moves what the engine wrote into the backlog.
    fn collect(&mut self) {
        self.uncollected = 0;
        let entries = self.run.take_journal();
        if !entries.is_empty() {
            self.push(&entries);
        }
    }

    fn push(&mut self, entries: &[JournalEntry]) {
        self.untold.note(entries, self.backlog.next_seq());
        self.backlog.push(entries);
    }

    /// Shows what has changed since the last time, to be told when it is durable. No event may show the nodes of one status of the run with
    /// the run of another.
    fn describe(&mut self) {
        self.collect();
        if self.untold.lacks_place_for_run() {
            self.push(&[JournalEntry::Progressed]);
        }
        let events = self.untold.describe(&self.run);
        self.backlog.announce(events);
    }

    /// Starts ready nodes as far as the limits allow.
    fn start_ready(&mut self) {
        while self.may_start() {
            match self.deps.nodes.clone().try_acquire_owned() {
                Ok(permit) => {
                    if !self.start_with(Some(permit)) {
                        return;
                    }
                }
                Err(_) => {
                    let nodes = self.deps.nodes.clone();
                    self.acquire
                        .get_or_insert_with(|| Box::pin(async move { nodes.acquire_owned().await.ok() }));
                    return;
                }
            }
        }
    }

    fn may_start(&self) -> bool {
        self.working() && self.run.has_ready() && self.acquire.is_none() && self.in_flight.len() < self.deps.limits.nodes_per_run && self.has_room()
    }

    /// Starts the next ready node. False when there is none.
    fn start_with(&mut self, permit: Option<OwnedSemaphorePermit>) -> bool {
        let (true, Some(permit)) = (self.working(), permit) else { return false };
        let Some(start) = self.run.next_ready(Timestamp::now()) else {
            return false;
        };
        let NodeStart {
            node_exec_id,
            node_id,
            block_id,
            input,
            effects: _,
            policy,
            repeated,
        } = start;
        let Some(block) = self.deps.registry.get(block_id) else {
            let error = format!("Block {block_id} is not known to this executor");
            self.run
                .finish(node_exec_id, NodeResult::Failed { error }, NodeStats::default(), Timestamp::now());
            return true;
        };
        let context = self.block_context(node_id, node_exec_id);
        let effects = block.effects(&input);
        let cost = self.deps.registry.charge(block_id, &input);
        let charge = Charge::new(cost, self.till.as_ref(), || {
            self.reservation(cost, node_exec_id, node_id, block.descriptor())
        });
        let bill = charge.as_ref().map(Charge::bill).unwrap_or_default();
        let at_once = effects == Effects::Pure && !charge.as_ref().is_some_and(Charge::needs_durable_start);
        let job = Job {
            node_exec_id,
            block: parking::guarded(block, &input, repeated),
            input,
            context,
            retry: policy.retry,
            timeout: policy
                .timeout
                .map_or(self.deps.limits.node_timeout, |own| own.min(self.deps.limits.node_timeout)),
            permit,
            again: Again {
                nodes: self.deps.nodes.clone(),
                lease: self.lease.clone(),
                retries: self.deps.metrics.node_retries.clone(),
                release: self.control.release.clone(),
            },
            charge,
        };
        let in_flight = InFlight {
            effects,
            bill,
            news_seen: self.news_seen,
            abort: None,
        };
        self.in_flight.insert(node_exec_id, in_flight);
        if at_once {
            self.spawn(job);
        } else {
            self.collect();
            self.held.push_back(Held {
                durable_from: self.backlog.next_seq(),
                job,
            });
        }
        true
    }

    /// Starts nodes with outside effects whose RUNNING is durable, while the lease can be relied on.
    fn start_held(&mut self) {
        while self.held.front().is_some_and(|held| self.backlog.durable() >= held.durable_from)
            && self.lease.trusted()
            && !self.control.lost.is_cancelled()
        {
            if let Some(held) = self.held.pop_front() {
                self.spawn(held.job);
            }
        }
    }

    fn spawn(&mut self, job: Job) {
        let node_exec_id = job.node_exec_id;
        let about = || {
            About::new(Kind::Internal, job.block.descriptor().name)
                .with("node_id", job.context.node_id)
                .with("node_exec_id", node_exec_id)
        };
        let step = runtime::trace::current().map(|trace| trace.step(about));
        let abort = self.nodes.spawn(follow(step, charge::run(job, self.outputs.0.clone())));
        if let Some(node) = self.in_flight.get_mut(&node_exec_id) {
            node.abort = Some(abort);
        }
    }

    fn take(&mut self, output: Output) {
        let now = Timestamp::now();
        let node_exec_id = output.node_exec_id;
        let Err(error) = self.pass_on(output, now) else { return };
        let mut stats = NodeStats::default();
        if let Some(node) = self.in_flight.remove(&node_exec_id) {
            stats = node.bill.stats();
            node.abort.iter().for_each(AbortHandle::abort);
        }
        self.run.finish(node_exec_id, NodeResult::Failed { error }, stats, now);
    }

    /// An error is what the node fails with.
    fn pass_on(&mut self, output: Output, now: Timestamp) -> Result<(), String> {
        let Output {
            node_exec_id,
            name,
            value,
            size,
        } = output;
        let most = self.deps.limits.step;
        let weight = (size + ENTRY).saturating_mul(1 + 3 * self.run.links_from(node_exec_id));
        // Few come near. Escapes may double what was estimated.
        if weight.saturating_mul(2) > most {
            let shares = self.run.shares(node_exec_id, &name, &value);
            // Each of them is saved as what arrived and as a part of the node's input.
            let bytes = size::written(&value) + shares.iter().map(|share| 2 * size::written(share)).sum::<usize>();
            if bytes > most {
                let receivers = shares.len();
                return Err(format!(
                    "Output `{name}` takes {bytes} bytes together with what {receivers} nodes get of it; at most {most} can be passed on at once. \
                     Store it and pass a reference."
                ));
            }
        }
        // What many outputs come to together need not be saved in one piece.
        if self.uncollected + weight > most / 8 {
            self.collect();
        }
        self.uncollected += weight;
        match self.run.output(node_exec_id, &name, value, now) {
            // A node that was stopped had values on the way.
            Ok(()) | Err(OutputError::NotRunning) => Ok(()),
            Err(OutputError::Storage(error)) => Err(error.to_string()),
        }
    }

    fn join(&mut self, joined: Result<Ended, tokio::task::JoinError>) {
        // Everything that the node emitted is in the channel by now and comes before its end.
        while let Ok(output) = self.outputs.1.try_recv() {
            self.take(output);
        }
        self.last_ended = Some(Instant::now());
        match joined {
            Ok(ended) => {
                if let Some(node) = self.in_flight.remove(&ended.node_exec_id) {
                    let Some(result) = ended.result else { return };
                    let now = Timestamp::now();
                    self.deps.metrics.node_seconds.observe(ended.stats.walltime);
                    if let Some(refusal) = node.bill.refusal() {
                        // First the run, so that the error of the node leads nowhere any more.
                        self.run.fail(refusal.to_owned(), now);
                    }
                    let stats = NodeStats {
                        cost: node.bill.cost(),
                        ..ended.stats
                    };
                    self.run.add_cputime(stats.cputime);
                    self.run.finish(ended.node_exec_id, result, stats, now);
                    if node.bill.refusal().is_some() {
                        self.stop_nodes(now);
                    }
                    if node.news_seen < self.news_seen {
                        // A node that waits now may have looked before that news came.
                        self.run.recheck();
                    }
                }
            }
            // Only tasks that were stopped end like this: the boundary inside catches what blocks do.
            Err(error) => tracing::debug!(%error, graph_exec_id = %self.id(), "a node task was stopped"),
        }
    }

    fn cancel(&mut self) {
        if self.ended {
            return;
        }
        let now = Timestamp::now();
        self.run.cancel(now);
        self.stop_nodes(now);
    }

    /// The run is ending: what is in flight ends TERMINATED.
    fn stop_nodes(&mut self, now: Timestamp) {
        self.nodes = JoinSet::new();
        self.held.clear();
        self.acquire = None;
        for (node_exec_id, node) in self.in_flight.drain() {
            self.run.finish(node_exec_id, NodeResult::Terminated, node.bill.stats(), now);
        }
    }

    fn end(&mut self) {
        self.describe();
        self.run.end(Timestamp::now());
        self.ended = true;
    }

    /// Sends what is not durable unless a batch is already on its way.
    fn flush(&mut self) -> Result<(), Outcome> {
        if self.append.is_some() {
            return Ok(());
        }
        self.describe();
        if let Some((first_seq, entries)) = self.backlog.batch(journal::BYTES_PER_CALL.min(self.deps.limits.step)) {
            let bytes: usize = entries.iter().map(WrittenEntry::size).sum();
            if bytes > self.deps.limits.step {
                // Sending it would keep the journals of other runs waiting for a refusal.
                let reason = format!(
                    "its nodes passed on {bytes} bytes at once, of which at most {} can be saved: let them store large values and pass references",
                    self.deps.limits.step
                );
                return Err(Outcome::Stuck { reason });
            }
            let batch = WrittenBatch {
                graph_exec_id: self.id(),
                epoch: self.run.facts().epoch,
                first_seq,
                news_seen: self.news_seen,
                entries,
            };
            let journal = self.deps.journal.clone();
            self.append = Some(Box::pin(async move { journal.append(batch).await }));
        }
        Ok(())
    }

    /// Follows the answer to a batch. True when the row's cancel flag is set.
    fn settle(&mut self, answer: Result<AppendOutcome, NotWritten>) -> Result<bool, Outcome> {
        let graph_exec_id = self.id();
        let (position, cancel_requested) = match answer {
            Ok(AppendOutcome::Applied {
                next_seq,
                cancel_requested,
                news,
            }) => {
                self.control
                    .news
                    .send_if_modified(|known| std::mem::replace(known, news.max(*known)) < news);
                (next_seq, cancel_requested)
            }
            Ok(AppendOutcome::Retry { expected_seq }) => (expected_seq, false),
            Ok(AppendOutcome::Stale) => {
                tracing::info!(%graph_exec_id, epoch = self.run.facts().epoch, "another executor has this run, or it is over");
                return Err(Outcome::Lost);
            }
            Ok(AppendOutcome::Rejected { reason }) => {
                tracing::error!(%graph_exec_id, reason, "the database failed this run");
                return Err(Outcome::Lost);
            }
            Err(NotWritten::Closed) => return Err(Outcome::Lost),
            Err(refused @ NotWritten::Refused(_)) => return Err(Outcome::Stuck { reason: refused.to_string() }),
        };
        match self.backlog.applied(position) {
            Ok(events) => {
                self.tell(events);
                Ok(cancel_requested)
            }
            Err(gap) => {
                tracing::error!(%graph_exec_id, %gap, "this run cannot go on here");
                Err(Outcome::Stuck { reason: gap.to_string() })
            }
        }
    }

    fn tell(&mut self, events: Vec<(i64, ExecutionEvent)>) {
        for (seq, event) in events {
            (self.deps.tell)(Placed { event, seq, prev: self.told });
            self.told = seq;
        }
    }

    fn working(&self) -> bool {
        self.released.is_none() && !self.ended
    }

    /// Until when a run that is handed over may take: nodes with outside effects longest, because they cannot simply be run
    /// again; then the others; then what is left to write.
    fn release_deadline(&self) -> Option<Instant> {
        let since = self.released?;
        let effectful = self.in_flight.values().any(|node| node.effects != Effects::Pure);
        Some(match (effectful, self.in_flight.is_empty()) {
            (true, _) => since + self.deps.limits.drain,
            (false, false) => since + PURE_GRACE,
            (false, true) => self.last_ended.unwrap_or(since).max(since) + LAST_WRITE,
        })
    }

    /// They stay RUNNING in the journal: whoever goes on starts them again.
    fn abandon_nodes(&mut self) {
        self.nodes = JoinSet::new();
        self.held.clear();
        self.in_flight.clear();
    }

    fn has_room(&self) -> bool {
        self.backlog.bytes() < self.deps.limits.step / 4
    }

    fn block_context(&self, node_id: NodeId, node_exec_id: NodeExecId) -> BlockContext {
        let facts = self.run.facts();
        BlockContext {
            user_id: facts.user_id,
            graph_id: facts.graph_id,
            graph_version: facts.graph_version,
            graph_exec_id: facts.graph_exec_id,
            node_id,
            node_exec_id,
            execution: facts.context.clone(),
            platform: self.platform.clone(),
            outside: self.deps.outside.clone(),
        }
    }

    fn reservation(&self, amount: i64, node_exec_id: NodeExecId, node_id: NodeId, block: &BlockDescriptor) -> CreditReservation {
        let facts = self.run.facts();
        CreditReservation {
            user_id: facts.user_id,
            graph_id: facts.graph_id,
            graph_exec_id: facts.graph_exec_id,
            epoch: facts.epoch,
            node_exec_id,
            kind: BLOCK_CHARGE.to_owned(),
            amount,
            metadata: UsageTransactionMetadata {
                graph_exec_id: Some(facts.graph_exec_id.to_string()),
                graph_id: Some(facts.graph_id.to_string()),
                node_exec_id: Some(node_exec_id.to_string()),
                node_id: Some(node_id.to_string()),
                block_id: Some(block.id.to_string()),
                block: Some(block.name.to_owned()),
                ..UsageTransactionMetadata::default()
            },
        }
    }

    fn id(&self) -> GraphExecId {
        self.run.facts().graph_exec_id
    }
}

/// Works on a node as a step of the run's trace.
async fn follow(step: Option<Step>, work: impl Future<Output = Ended>) -> Ended {
    let Some(mut step) = step else { return work.await };
    let ended = runtime::trace::within(step.trace(), work).await;
    if let Some(NodeResult::Failed { error }) = &ended.result {
        step.fail(error);
    }
    ended
}

/// Waits for what is under way in `slot` and empties it; for ever when there is nothing.
async fn pending<T>(slot: &mut Option<Pin<Box<dyn Future<Output = T> + Send>>>) -> T {
    let Some(future) = slot else { return std::future::pending().await };
    let output = future.await;
    *slot = None;
    output
}

async fn until(deadline: Option<Instant>) {
    match deadline {
        Some(deadline) => tokio::time::sleep_until(deadline).await,
        None => std::future::pending().await,
    }
}
