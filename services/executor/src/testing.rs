//! A database manager in memory, blocks that do as they are told, and a world to run them in.

use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use blocks::{Block, BlockContext, Emitter, Failure, Registry};
use engine::block::{BlockDescriptor, BlockKind, Effects, Pin};
use engine::types::PinType;
use model::{
    AppendOutcome, BlockId, ClaimedRun, ExecutionContext, ExecutionStatus, GraphExecId, GraphId, GraphModel, JournalBatch, JournalEntry, Link, Map,
    NodeExecutionRecord, NodeModel, RenewOutcome, StoredStats, Timestamp,
};
use rpc::{RpcError, RpcErrorKind};
use runtime::{Health, Metrics, Shutdown};
use serde_json::{Value, json};
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::events::{Placed, Tell};
use crate::intake::Intake;
use crate::journal::Journal;
use crate::lease::{self, LeaseClock, Terms};
use crate::ledger::Ledger;
use crate::metrics::ExecutorMetrics;
use crate::plans::Plans;
use crate::shift::Shift;
use crate::task::{Deps, Limits};

const LEASE: Duration = Duration::from_secs(15);

pub const ECHO: BlockId = Uuid::from_u128(1);
pub const EFFECT: BlockId = Uuid::from_u128(2);
pub const PANIC: BlockId = Uuid::from_u128(3);
pub const FOREVER: BlockId = Uuid::from_u128(4);
pub const COUNT: BlockId = Uuid::from_u128(5);

/// What the blocks of a test saw.
#[derive(Default)]
pub struct Seen {
    pub effects: AtomicUsize,
    /// An effect happened before the RUNNING of its node was durable.
    pub too_early: AtomicBool,
}

struct TestBlock {
    descriptor: BlockDescriptor,
    seen: Arc<Seen>,
    ledger: Arc<MemoryLedger>,
}

impl TestBlock {
    fn make(id: BlockId, effects: Effects, seen: &Arc<Seen>, ledger: &Arc<MemoryLedger>) -> Arc<dyn Block> {
        let pin = |name, required| Pin {
            name,
            ty: PinType::Any,
            required,
            own: true,
            depends_on: &[],
            schema: json!({}),
        };
        Arc::new(Self {
            descriptor: BlockDescriptor {
                id,
                name: "TestBlock",
                description: "",
                categories: &[],
                kind: BlockKind::Standard,
                effects,
                static_output: false,
                disabled: false,
                inputs: vec![pin("value", true)],
                outputs: vec![pin("value", false)],
            },
            seen: seen.clone(),
            ledger: ledger.clone(),
        })
    }
}

#[async_trait]
impl Block for TestBlock {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.descriptor
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let value = input.get("value").cloned().unwrap_or_default();
        match self.descriptor.id {
            EFFECT => {
                if self.ledger.node_status(context.node_exec_id) != Some(ExecutionStatus::Running) {
                    self.seen.too_early.store(true, Ordering::SeqCst);
                }
                self.seen.effects.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(3)).await;
                out.emit("value", value).await
            }
            PANIC => panic!("as told"),
            FOREVER => {
                out.emit("value", value).await?;
                std::future::pending().await
            }
            COUNT => {
                for number in 0..value.as_u64().unwrap_or_default() {
                    out.emit("value", Value::from(number)).await?;
                }
                Ok(())
            }
            _ => out.emit("value", value).await,
        }
    }
}

/// Keeps runs as the database would: an append needs the epoch and the next position.
#[derive(Default)]
pub struct MemoryLedger {
    state: Mutex<State>,
    /// Rung after every append.
    pub appended: Notify,
}

#[derive(Default)]
struct State {
    graphs: HashMap<GraphId, GraphModel>,
    runs: HashMap<GraphExecId, ClaimedRun>,
    queue: Vec<GraphExecId>,
    owned: Vec<GraphExecId>,
    released: Vec<GraphExecId>,
    absent: bool,
    silent: bool,
    lose_claim_reply: bool,
    forget_reply: bool,
}

impl MemoryLedger {
    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.state.lock().unwrap())
    }

    /// Every call fails until this is taken back.
    pub fn set_absent(&self, absent: bool) {
        self.with(|state| state.absent = absent);
    }

    /// No call is ever answered again.
    pub fn fall_silent(&self) {
        self.with(|state| state.silent = true);
    }

    async fn hear(&self) {
        if self.with(|state| state.silent) {
            std::future::pending::<()>().await;
        }
    }

    /// The next claim takes effect, but its answer is lost.
    pub fn lose_next_claim_reply(&self) {
        self.with(|state| state.lose_claim_reply = true);
    }

    /// The next append takes effect, but its answer is lost.
    pub fn lose_next_append_reply(&self) {
        self.with(|state| state.forget_reply = true);
    }

    /// Somebody else takes the run.
    pub fn take_away(&self, run: GraphExecId) {
        self.with(|state| {
            if let Some(run) = state.runs.get_mut(&run) {
                run.epoch += 1;
            }
        });
    }

    pub fn request_cancel(&self, run: GraphExecId) {
        self.with(|state| {
            if let Some(run) = state.runs.get_mut(&run) {
                run.cancel_requested = true;
            }
        });
    }

    pub fn run(&self, run: GraphExecId) -> ClaimedRun {
        self.with(|state| state.runs[&run].clone())
    }

    pub fn released(&self) -> Vec<GraphExecId> {
        self.with(|state| state.released.clone())
    }

    pub fn node_status(&self, id: Uuid) -> Option<ExecutionStatus> {
        self.with(|state| {
            let mut records = state.runs.values().flat_map(|run| &run.node_executions);
            records.find(|record| record.node_exec_id == id).map(|record| record.status)
        })
    }

    /// Waits until the run is stored as ended.
    pub async fn ended(&self, run: GraphExecId) -> ClaimedRun {
        loop {
            let appended = self.appended.notified();
            let present = self.run(run);
            if present.status.is_terminal() {
                return present;
            }
            appended.await;
        }
    }

    fn answer<T>(&self, action: impl FnOnce(&mut State) -> Result<T, RpcError>) -> Result<T, RpcError> {
        self.with(|state| if state.absent { Err(absent()) } else { action(state) })
    }
}

fn absent() -> RpcError {
    RpcError::new(RpcErrorKind::Connection, "absent")
}

#[async_trait]
impl Ledger for MemoryLedger {
    async fn claim(&self, _owner: Uuid, _owner_name: String, free_slots: u32) -> Result<Vec<ClaimedRun>, RpcError> {
        self.hear().await;
        self.answer(|state| {
            let count = state.queue.len().min(free_slots as usize);
            let ids: Vec<GraphExecId> = state.queue.drain(..count).collect();
            state.owned.extend(&ids);
            let mut claimed = Vec::new();
            for id in &ids {
                if let Some(run) = state.runs.get_mut(id) {
                    run.epoch += 1;
                    claimed.push(run.clone());
                }
            }
            if std::mem::take(&mut state.lose_claim_reply) {
                Err(absent())
            } else {
                Ok(claimed)
            }
        })
    }

    async fn append(&self, _owner: Uuid, batches: Vec<JournalBatch>) -> Result<Vec<AppendOutcome>, RpcError> {
        self.hear().await;
        let outcome = self.answer(|state| {
            let outcomes = batches.into_iter().map(|batch| state.append(batch)).collect();
            if std::mem::take(&mut state.forget_reply) {
                Err(absent())
            } else {
                Ok(outcomes)
            }
        });
        self.appended.notify_waiters();
        outcome
    }

    async fn renew(&self, _owner: Uuid) -> Result<RenewOutcome, RpcError> {
        self.hear().await;
        self.answer(|state| {
            let cancelled = state
                .runs
                .values()
                .filter(|run| run.cancel_requested)
                .map(|run| run.graph_exec_id)
                .collect();
            Ok(RenewOutcome {
                alive: true,
                cancelled,
                owned: state.owned.clone(),
            })
        })
    }

    async fn release_runs(&self, _owner: Uuid, runs: Vec<GraphExecId>) -> Result<(), RpcError> {
        self.hear().await;
        self.answer(|state| {
            state.owned.retain(|id| !runs.contains(id));
            state.queue.extend(&runs);
            state.released.extend(runs);
            Ok(())
        })
    }

    async fn release_lease(&self, _owner: Uuid) -> Result<(), RpcError> {
        self.hear().await;
        self.answer(|_| Ok(()))
    }

    async fn graph(&self, id: GraphId, _version: i32) -> Result<Option<GraphModel>, RpcError> {
        self.answer(|state| Ok(state.graphs.get(&id).cloned()))
    }
}

impl State {
    fn append(&mut self, batch: JournalBatch) -> AppendOutcome {
        let Some(run) = self.runs.get_mut(&batch.graph_exec_id).filter(|run| run.epoch == batch.epoch) else {
            return AppendOutcome::Stale;
        };
        let end = batch.first_seq + batch.entries.len() as i64;
        if batch.first_seq > run.next_seq {
            return AppendOutcome::Retry { expected_seq: run.next_seq };
        }
        if end > run.next_seq {
            if run.status.is_terminal() {
                return AppendOutcome::Stale;
            }
            let known = (run.next_seq - batch.first_seq) as usize;
            batch.entries.into_iter().skip(known).for_each(|entry| apply(run, entry));
            run.next_seq = end;
        }
        if run.status.is_terminal() {
            self.owned.retain(|id| *id != run.graph_exec_id);
        }
        AppendOutcome::Applied {
            next_seq: run.next_seq,
            cancel_requested: run.cancel_requested,
        }
    }
}

fn apply(run: &mut ClaimedRun, entry: JournalEntry) {
    let find = |run: &'_ mut ClaimedRun, id: Uuid| {
        run.node_executions
            .iter()
            .position(|record| record.node_exec_id == id)
            .expect("a known node execution")
    };
    match entry {
        JournalEntry::RunStatus { status, stats, at } => {
            assert!(status.is_terminal() || status == ExecutionStatus::Running || status == ExecutionStatus::Review);
            run.status = status;
            run.started_at = run.started_at.or(Some(at));
            run.stats = stats.unwrap_or_else(|| run.stats.clone());
        }
        JournalEntry::NodeCreated { node_exec_id, node_id, at } => {
            run.node_executions
                .push(record(node_exec_id, node_id, ExecutionStatus::Incomplete, Map::new(), at));
        }
        JournalEntry::NodeInput {
            node_exec_id, name, value, ..
        } => {
            let position = find(run, node_exec_id);
            run.node_executions[position].inputs.insert(name, value);
        }
        JournalEntry::NodeStatus {
            node_exec_id,
            status,
            execution_data,
            at,
            ..
        } => {
            let position = find(run, node_exec_id);
            let record = &mut run.node_executions[position];
            assert!(record.status.can_become(status), "{} -> {status}", record.status);
            record.status = status;
            record.execution_data = execution_data.or(record.execution_data.take());
            match status {
                ExecutionStatus::Queued => record.queue_time = Some(at),
                ExecutionStatus::Running => record.start_time = Some(at),
                _ => record.end_time = Some(at),
            }
        }
        JournalEntry::NodeOutput {
            node_exec_id, name, value, ..
        } => {
            let position = find(run, node_exec_id);
            run.node_executions[position].outputs.entry(name).or_default().push(value);
        }
    }
}

fn record(node_exec_id: Uuid, node_id: Uuid, status: ExecutionStatus, inputs: Map, at: Timestamp) -> NodeExecutionRecord {
    let queued = status == ExecutionStatus::Queued;
    NodeExecutionRecord {
        node_exec_id,
        node_id,
        status,
        execution_data: queued.then(|| inputs.clone()),
        inputs,
        outputs: Default::default(),
        add_time: at,
        queue_time: queued.then_some(at),
        start_time: None,
        end_time: None,
    }
}

pub struct Executor {
    pub bell: Arc<Notify>,
    pub cancels: mpsc::Sender<GraphExecId>,
    pub shutdown: Shutdown,
    pub task: tokio::task::JoinHandle<()>,
}

/// A process without its servers.
pub struct World {
    pub ledger: Arc<MemoryLedger>,
    pub shift: Arc<Shift>,
    pub seen: Arc<Seen>,
    pub clock: LeaseClock,
    pub events: mpsc::Receiver<Placed>,
    pub notices: mpsc::Receiver<model::notification::NotificationEvent>,
    /// Ends the journal writer.
    pub abandon: Shutdown,
}

impl World {
    pub fn new() -> Self {
        Self::with_limits(Limits {
            nodes_per_run: 8,
            node_timeout: Duration::from_secs(600),
            drain: Duration::from_secs(60),
        })
    }

    pub fn with_limits(limits: Limits) -> Self {
        let ledger = Arc::new(MemoryLedger::default());
        let seen = Arc::new(Seen::default());
        let block = |id, effects| TestBlock::make(id, effects, &seen, &ledger);
        let registry = Arc::new(Registry::new(vec![
            block(ECHO, Effects::Pure),
            block(EFFECT, Effects::Once),
            block(PANIC, Effects::Pure),
            block(FOREVER, Effects::Pure),
            block(COUNT, Effects::Pure),
        ]));
        let abandon = Shutdown::new();
        let journal = Journal::start(ledger.clone(), Uuid::nil(), abandon.clone());
        let (told, events) = mpsc::channel(1024);
        let tell: Tell = Arc::new(move |placed| told.try_send(placed).unwrap());
        let (notices_sender, notices) = mpsc::channel(16);
        let (clock, lease) = lease::lease(Terms::of(LEASE));
        clock.confirmed(Instant::now());
        let deps = Deps {
            registry: registry.clone(),
            journal,
            tell,
            nodes: Arc::new(Semaphore::new(16)),
            lease,
            limits,
        };
        let plans = Plans::new(ledger.clone(), registry);
        let shift = Arc::new(Shift {
            deps: Arc::new(deps),
            plans,
            notices: notices_sender,
        });
        Self {
            ledger,
            shift,
            seen,
            clock,
            events,
            notices,
            abandon,
        }
    }

    /// A queued run of a chain of blocks, the first of which gets `value`.
    pub fn submit(&self, chain: &[BlockId], value: Value) -> GraphExecId {
        let graph_id = Uuid::now_v7();
        let nodes: Vec<NodeModel> = chain.iter().map(|block| node(graph_id, *block)).collect();
        let link = |pair: &[NodeModel]| Link {
            id: Uuid::now_v7().to_string(),
            source_id: pair[0].id.to_string(),
            sink_id: pair[1].id.to_string(),
            source_name: "value".to_owned(),
            sink_name: "value".to_owned(),
            is_static: false,
        };
        let links = nodes.windows(2).map(link).collect();
        let now = Timestamp::now();
        let run = ClaimedRun {
            graph_exec_id: Uuid::now_v7(),
            user_id: Uuid::nil(),
            graph_id,
            graph_version: 1,
            epoch: 0,
            next_seq: 1,
            status: ExecutionStatus::Queued,
            created_at: now,
            started_at: None,
            inputs: Map::new(),
            nodes_input_masks: Default::default(),
            context: ExecutionContext::default(),
            stats: StoredStats::default(),
            cancel_requested: false,
            node_executions: vec![record(
                Uuid::now_v7(),
                nodes[0].id,
                ExecutionStatus::Queued,
                Map::from_iter([("value".to_owned(), value)]),
                now,
            )],
        };
        let id = run.graph_exec_id;
        self.ledger.with(|state| {
            state.graphs.insert(graph_id, graph(graph_id, nodes, links));
            state.runs.insert(id, run);
            state.queue.push(id);
        });
        id
    }

    pub async fn claim(&self) -> ClaimedRun {
        self.ledger.claim(Uuid::nil(), String::new(), 1).await.unwrap().remove(0)
    }

    /// An executor of this world, working until its shutdown.
    pub fn executor(&self, slots: usize) -> Executor {
        let shutdown = Shutdown::new();
        let (renewals_sender, renewals) = mpsc::channel(16);
        let (cancels, cancelled) = mpsc::channel(16);
        let bell = Arc::new(Notify::new());
        let ledger: Arc<dyn Ledger> = self.ledger.clone();
        tokio::spawn(lease::keep(
            Terms::of(LEASE),
            ledger.clone(),
            Uuid::nil(),
            self.clock.clone(),
            renewals_sender,
            self.abandon.clone(),
        ));
        let intake = Intake {
            ledger,
            owner: Uuid::nil(),
            owner_name: "test".to_owned(),
            slots,
            shift: self.shift.clone(),
            clock: self.clock.clone(),
            metrics: ExecutorMetrics::new(&Metrics::new()),
            database: Health::default().check("database_manager"),
            bell: bell.clone(),
            vacancy: watch::Sender::new(false),
            cancels: cancelled,
            renewals,
        };
        let task = tokio::spawn(intake.run(shutdown.clone()));
        Executor {
            bell,
            cancels,
            shutdown,
            task,
        }
    }

    /// The events told so far.
    pub fn told(&mut self) -> Vec<Placed> {
        std::iter::from_fn(|| self.events.try_recv().ok()).collect()
    }
}

fn node(graph_id: GraphId, block_id: BlockId) -> NodeModel {
    NodeModel {
        id: Uuid::now_v7(),
        block_id,
        input_default: Map::new(),
        metadata: Map::new(),
        input_links: Vec::new(),
        output_links: Vec::new(),
        graph_id,
        graph_version: 1,
        webhook_id: None,
        webhook: None,
    }
}

fn graph(id: GraphId, nodes: Vec<NodeModel>, links: Vec<Link>) -> GraphModel {
    GraphModel {
        id,
        version: 1,
        is_active: true,
        name: "test agent".to_owned(),
        description: String::new(),
        instructions: None,
        recommended_schedule_cron: None,
        nodes,
        links,
        forked_from_id: None,
        forked_from_version: None,
        sub_graphs: Vec::new(),
        user_id: Uuid::nil(),
        created_at: Timestamp::now(),
        input_schema: Value::Null,
        output_schema: Value::Null,
        has_external_trigger: false,
        has_human_in_the_loop: false,
        trigger_setup_info: None,
        credentials_input_schema: Value::Null,
    }
}
