//! Submission: validate → one transaction → the run is accepted (design §6.1). Used by the REST server, the scheduler and the database
//! manager; nothing else creates runs or graphs.

mod command;
mod credentials;
mod credits;
mod error;
mod graphs;
mod hash;
mod intake;
mod interfaces;
mod library;
mod masks;
mod presets;
mod redrive;
mod retry;
mod runs;
mod webhooks;

use std::sync::Arc;
use std::time::Duration;

use engine::block::BlockCatalog;
use engine::plan::Plan;
use model::{GraphId, GraphModel};
use moka::future::Cache;
use store::Store;

use crate::intake::Intake;

pub use command::{Origin, SubmitCommand};
pub use credits::credit_rules;
pub use error::SubmitError;
pub use hash::graph_hash;
pub use interfaces::{GraphInterface, InterfaceJson, ListedGraph};
pub use redrive::Redriven;
pub use retry::RetryCommand;
pub use webhooks::Delivery;

/// Nodes of compiled graphs that are kept ready, over all graphs.
const CACHED_NODES: u64 = 50_000;

/// Graph versions of which it is remembered what they take and give.
const CACHED_INTERFACES: u64 = 20_000;

/// Accepts graphs and runs. Clones share caches and transactions.
#[derive(Clone)]
pub struct Submitter {
    store: Store,
    catalog: Arc<dyn BlockCatalog>,
    intake: Intake,
    /// Versions of graphs never change, so nothing here is ever out of date. One whose agents could not all be read is not kept.
    ready: Cache<(GraphId, i32), Arc<ReadyGraph>>,
    /// What the same versions take and give, for lists.
    interfaces: Cache<(GraphId, i32), Arc<GraphInterface>>,
    /// How long a run that names no deadline may take.
    run_deadline: Option<Duration>,
    /// Where the outside reaches the REST service; empty while nobody has said.
    public_url: Arc<str>,
}

/// Entries of the caches of a [`Submitter`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Remembered {
    /// Versions that are ready to be run.
    pub plans: u64,
    /// Versions of which it is known what lists show of them.
    pub interfaces: u64,
}

/// A graph version with what every submission needs of it.
struct ReadyGraph {
    graph: GraphModel,
    plan: Arc<Plan>,
}

impl Submitter {
    /// Needs a tokio runtime: tasks wait for runs, write them and wake the relay.
    pub fn new(store: Store, catalog: Arc<dyn BlockCatalog>) -> Self {
        let weight = |_: &(GraphId, i32), ready: &Arc<ReadyGraph>| u32::try_from(ready.graph.nodes.len()).unwrap_or(u32::MAX).saturating_add(1);
        Self {
            intake: Intake::start(store.clone()),
            store,
            catalog,
            ready: Cache::builder().max_capacity(CACHED_NODES).weigher(weight).build(),
            interfaces: Cache::new(CACHED_INTERFACES),
            run_deadline: None,
            public_url: Arc::default(),
        }
    }

    /// The same submitter, which gives runs that name no deadline so much time.
    pub fn with_run_deadline(self, run_deadline: Option<Duration>) -> Self {
        Self { run_deadline, ..self }
    }

    /// The same submitter, which shows webhooks with their full addresses.
    pub fn with_public_url(self, public_url: &str) -> Self {
        Self {
            public_url: public_url.into(),
            ..self
        }
    }

    pub fn store(&self) -> &Store {
        &self.store
    }

    pub fn catalog(&self) -> &dyn BlockCatalog {
        self.catalog.as_ref()
    }

    /// How much is remembered of graphs.
    pub async fn remembered(&self) -> Remembered {
        self.ready.run_pending_tasks().await;
        self.interfaces.run_pending_tasks().await;
        Remembered {
            plans: self.ready.entry_count(),
            interfaces: self.interfaces.entry_count(),
        }
    }
}
