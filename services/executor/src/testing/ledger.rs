//! A database manager in memory.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Mutex;

use async_trait::async_trait;
use blocks::{BlockContext, Question, StoreSearch};
use model::catalogue::{StoreAgentDetails, StoreAgents};
use model::credentials::OpenCredential;
use model::library::{LibraryAgent, LibraryAgents};
use model::review::{RepeatAnswer, ReviewResult};
use model::{
    AgentRequest, AgentRun, AppendOutcome, ClaimedRun, CreditCheck, CreditReservation, ExecutionStatus, GivenUpRun, GraphExecId, GraphId, GraphModel,
    HeldRun, JournalEntry, Map, NodeExecutionRecord, RenewOutcome, ReserveOutcome, Timestamp, UserId, WrittenBatch,
};
use rpc::{RpcError, RpcErrorKind};
use tokio::sync::Notify;
use uuid::Uuid;

use crate::ledger::Ledger;

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
    owned: Vec<HeldRun>,
    released: Vec<GraphExecId>,
    given_up: Vec<GivenUpRun>,
    refusing: bool,
    absent: bool,
    silent: bool,
    lose_claim_reply: bool,
    forget_reply: bool,
    credits: Credits,
    permission: Option<RepeatAnswer>,
}

/// A user's balance, and what every node execution has paid of it.
#[derive(Default)]
struct Credits {
    balance: i64,
    charges: HashMap<Uuid, i64>,
}

impl MemoryLedger {
    fn with<T>(&self, action: impl FnOnce(&mut State) -> T) -> T {
        action(&mut self.state.lock().unwrap())
    }

    /// Accepts a run of a graph.
    pub fn accept(&self, graph: GraphModel, run: ClaimedRun) {
        self.with(|state| {
            state.queue.push(run.graph_exec_id);
            state.graphs.insert(graph.id, graph);
            state.runs.insert(run.graph_exec_id, run);
        });
    }

    /// Every call fails until this is taken back.
    pub fn set_absent(&self, absent: bool) {
        self.with(|state| state.absent = absent);
    }

    /// What a person says about running nodes again that were cut short.
    pub fn decide(&self, answer: RepeatAnswer) {
        self.with(|state| state.permission = Some(answer));
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

    /// Lets the run be claimed again, as after the end of its lease.
    pub fn requeue(&self, run: GraphExecId) {
        self.with(|state| state.queue.push(run));
    }

    pub fn set_balance(&self, balance: i64) {
        self.with(|state| state.credits.balance = balance);
    }

    pub fn balance(&self) -> i64 {
        self.with(|state| state.credits.balance)
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

    pub fn given_up(&self) -> Vec<GivenUpRun> {
        self.with(|state| state.given_up.clone())
    }

    /// Every append is refused for good, as one that is too large is.
    pub fn refuse_appends(&self) {
        self.with(|state| state.refusing = true);
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
            let mut claimed = Vec::new();
            for id in &ids {
                if let Some(run) = state.runs.get_mut(id) {
                    run.epoch += 1;
                    state.owned.push(run.held());
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

    async fn append(&self, _owner: Uuid, batches: &[WrittenBatch]) -> Result<Vec<AppendOutcome>, RpcError> {
        self.hear().await;
        let outcome = self.answer(|state| {
            if state.refusing {
                return Err(RpcError::new(RpcErrorKind::Value, "too large"));
            }
            let outcomes = batches.iter().map(|batch| state.append(batch)).collect();
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
                news: Vec::new(),
                owned: state.owned.clone(),
            })
        })
    }

    async fn release_runs(&self, _owner: Uuid, runs: Vec<HeldRun>) -> Result<(), RpcError> {
        self.hear().await;
        self.answer(|state| {
            state.owned.retain(|held| !runs.contains(held));
            state.queue.extend(runs.iter().map(|held| held.graph_exec_id));
            state.released.extend(runs.iter().map(|held| held.graph_exec_id));
            Ok(())
        })
    }

    async fn give_up_runs(&self, _owner: Uuid, runs: Vec<GivenUpRun>) -> Result<(), RpcError> {
        self.hear().await;
        self.answer(|state| {
            state.owned.retain(|held| !runs.iter().any(|run| run.held == *held));
            state.given_up.extend(runs);
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

    async fn run_agent(&self, _request: AgentRequest) -> Result<AgentRun, RpcError> {
        Err(RpcError::value("no agents here"))
    }

    async fn check_credits(&self, _user_id: UserId) -> Result<CreditCheck, RpcError> {
        self.answer(|state| {
            Ok(CreditCheck {
                balance: state.credits.balance,
                low_balance: false,
            })
        })
    }

    async fn reserve_credits(&self, reservation: CreditReservation) -> Result<ReserveOutcome, RpcError> {
        self.answer(|state| Ok(state.reserve(&reservation)))
    }

    async fn review(&self, _context: &BlockContext, _question: Question) -> Result<Option<ReviewResult>, RpcError> {
        Err(RpcError::value("no people here"))
    }

    async fn open_credential(&self, _context: &BlockContext, id: String) -> Result<OpenCredential, RpcError> {
        self.hear().await;
        self.answer(|_| Err(RpcError::value(format!("Unknown credentials #{id}"))))
    }

    async fn library(&self, _: &BlockContext, _: Option<String>, _: i64, _: i64) -> Result<LibraryAgents, RpcError> {
        Err(RpcError::value("nobody has a library here"))
    }

    async fn add_to_library(&self, _: &BlockContext, _: String) -> Result<LibraryAgent, RpcError> {
        Err(RpcError::value("nobody has a library here"))
    }

    async fn search_store(&self, _: StoreSearch) -> Result<StoreAgents, RpcError> {
        Err(RpcError::value("there is no catalogue here"))
    }

    async fn store_agent(&self, _: String, _: String) -> Result<StoreAgentDetails, RpcError> {
        Err(RpcError::value("there is no catalogue here"))
    }

    async fn recall(&self, _context: &BlockContext, _key: String) -> Result<Option<serde_json::Value>, RpcError> {
        Ok(None)
    }

    async fn keep(&self, _context: &BlockContext, _key: String, value: serde_json::Value) -> Result<Option<serde_json::Value>, RpcError> {
        Ok(Some(value))
    }

    async fn ask_to_repeat(&self, _context: &BlockContext, _epoch: i64, _input: Map, _instructions: String) -> Result<RepeatAnswer, RpcError> {
        self.answer(|state| Ok(state.permission.clone().unwrap_or(RepeatAnswer::Waiting)))
    }
}

impl State {
    fn reserve(&mut self, reservation: &CreditReservation) -> ReserveOutcome {
        let running = self.runs.get(&reservation.graph_exec_id).is_some_and(|run| {
            let mut nodes = run.node_executions.iter();
            run.epoch == reservation.epoch
                && nodes.any(|node| node.node_exec_id == reservation.node_exec_id && node.status == ExecutionStatus::Running)
        });
        if !running {
            return ReserveOutcome::Stale;
        }
        let Credits { balance, charges } = &mut self.credits;
        if let Entry::Vacant(charge) = charges.entry(reservation.node_exec_id) {
            if *balance < reservation.amount {
                return ReserveOutcome::Refused {
                    balance: *balance,
                    shortfall: reservation.amount - *balance,
                    tell: true,
                };
            }
            *balance -= reservation.amount;
            charge.insert(reservation.amount);
        }
        ReserveOutcome::Granted {
            charged: reservation.amount,
            balance: *balance,
            low_balance: false,
        }
    }

    fn append(&mut self, batch: &WrittenBatch) -> AppendOutcome {
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
            let entries = batch.entries.iter().skip(known);
            entries.for_each(|entry| apply(run, serde_json::from_str(entry.text()).unwrap()));
            run.next_seq = end;
        }
        if run.status.is_terminal() {
            self.owned.retain(|held| held.graph_exec_id != run.graph_exec_id);
        }
        AppendOutcome::Applied {
            next_seq: run.next_seq,
            cancel_requested: run.cancel_requested,
            news: run.news,
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
        JournalEntry::Suspended { stats, .. } => run.stats = stats,
        JournalEntry::Progressed => {}
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
            stats,
            at,
        } => {
            let position = find(run, node_exec_id);
            let record = &mut run.node_executions[position];
            assert!(record.status.can_become(status), "{} -> {status}", record.status);
            record.status = status;
            record.cost = stats.map_or(record.cost, |stats| stats.cost + stats.extra_cost);
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

pub(super) fn record(node_exec_id: Uuid, node_id: Uuid, status: ExecutionStatus, inputs: Map, at: Timestamp) -> NodeExecutionRecord {
    let queued = status == ExecutionStatus::Queued;
    NodeExecutionRecord {
        node_exec_id,
        node_id,
        status,
        execution_data: queued.then(|| inputs.clone()),
        inputs,
        outputs: Default::default(),
        cost: 0,
        add_time: at,
        queue_time: queued.then_some(at),
        start_time: None,
        end_time: None,
    }
}
