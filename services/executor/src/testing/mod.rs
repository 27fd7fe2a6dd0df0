//! A process without its servers: the database manager is memory, the blocks do as they are told, the clock is the test's.

mod blocks;
mod ledger;

use std::sync::Arc;
use std::time::Duration;

use model::{BlockId, ClaimedRun, ExecutionContext, ExecutionStatus, GraphExecId, GraphId, GraphModel, Link, Map, NodeModel, StoredStats, Timestamp};
use runtime::{Health, Metrics, Shutdown};
use serde_json::Value;
use tokio::sync::{Notify, Semaphore, mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::charge::Cashier;
use crate::events::{Placed, Tell};
use crate::intake::Intake;
use crate::journal::Journal;
use crate::lease::{self, LeaseClock, Terms};
use crate::ledger::Ledger;
use crate::metrics::{ExecutorMetrics, WorkMetrics};
use crate::plans::Plans;
use crate::shift::Shift;
use crate::task::{Deps, LARGEST_STEP, Limits};

pub use self::blocks::{AWAIT, BURST, COUNT, ECHO, EFFECT, FLAKY, FLOOD, FOREVER, PANIC, PRICE, REPORT, SPIN, Seen, TRICKLE};
pub use self::ledger::MemoryLedger;
use self::ledger::record;

const LEASE: Duration = Duration::from_secs(15);

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
        Self::with_limits(Self::limits())
    }

    pub fn limits() -> Limits {
        Limits {
            nodes_per_run: 8,
            node_timeout: Duration::from_secs(600),
            drain: Duration::from_secs(60),
            step: LARGEST_STEP,
        }
    }

    /// A world with credits enabled, whose only user has `balance`.
    pub fn charging(balance: i64) -> Self {
        let mut world = Self::new();
        world.ledger.set_balance(balance);
        let shift = Arc::get_mut(&mut world.shift).unwrap();
        shift.cashier = Some(Cashier {
            ledger: world.ledger.clone(),
            notices: shift.notices.clone(),
            billing_page: "http://front/credits".into(),
        });
        world
    }

    pub fn with_limits(limits: Limits) -> Self {
        let ledger = Arc::new(MemoryLedger::default());
        let seen = Arc::new(Seen::default());
        let registry = blocks::registry(&seen, &ledger);
        let abandon = Shutdown::new();
        let metrics = WorkMetrics::new(&Metrics::new());
        let journal = Journal::start(ledger.clone(), Uuid::nil(), metrics.clone(), abandon.clone());
        let (told, events) = mpsc::channel(1024);
        let tell: Tell = Arc::new(move |placed| told.try_send(placed).unwrap());
        let (notices_sender, notices) = mpsc::channel(16);
        let (clock, lease) = lease::lease(Terms::of(LEASE));
        clock.confirmed(Instant::now());
        let deps = Deps {
            outside: ::blocks::Outside::new(&runtime::Settings::for_test()).unwrap(),
            registry: registry.clone(),
            ledger: ledger.clone(),
            journal,
            tell,
            nodes: Arc::new(Semaphore::new(16)),
            lease,
            limits,
            metrics,
        };
        let plans = Plans::new(ledger.clone(), registry);
        let shift = Arc::new(Shift {
            deps: Arc::new(deps),
            plans,
            cashier: None,
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
        self.submit_with(chain, value, &Map::new(), None)
    }

    /// As [`World::submit`]; every node has `metadata`, and the run has so many seconds.
    pub fn submit_with(&self, chain: &[BlockId], value: Value, metadata: &Map, seconds_left: Option<f64>) -> GraphExecId {
        let graph_id = Uuid::now_v7();
        let nodes = chain.iter().map(|block| NodeModel {
            metadata: metadata.clone(),
            ..node(graph_id, *block)
        });
        let nodes: Vec<NodeModel> = nodes.collect();
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
            given: Default::default(),
            context: ExecutionContext::default(),
            stats: StoredStats::default(),
            cancel_requested: false,
            news: 0,
            traceparent: None,
            seconds_left,
            node_executions: vec![record(
                Uuid::now_v7(),
                nodes[0].id,
                ExecutionStatus::Queued,
                Map::from_iter([("value".to_owned(), value)]),
                now,
            )],
        };
        let id = run.graph_exec_id;
        self.ledger.accept(graph(graph_id, nodes, links), run);
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
