//! Plans by graph version, compiled once (quality §3.1). A stored version never changes, so nothing is ever invalidated.

use std::sync::Arc;

use engine::block::BlockCatalog;
use engine::plan::Plan;
use model::{GraphId, GraphModel};
use rpc::RpcError;

use crate::ledger::Ledger;

/// Graph versions that are kept.
const CAPACITY: u64 = 512;

/// What a run needs to know about its graph.
pub struct Planned {
    pub plan: Arc<Plan>,
    pub agent_name: String,
}

#[derive(Debug, Clone, thiserror::Error)]
pub enum PlanError {
    /// Nothing can be said about the graph now.
    #[error("the graph cannot be loaded: {0}")]
    Unavailable(Arc<RpcError>),
    #[error("Graph #{id} version {version} does not exist any more")]
    Gone { id: GraphId, version: i32 },
    #[error("Graph #{id} version {version} cannot be run: {reason}")]
    Broken { id: GraphId, version: i32, reason: String },
}

pub struct Plans {
    ledger: Arc<dyn Ledger>,
    catalog: Arc<dyn BlockCatalog>,
    cache: moka::future::Cache<(GraphId, i32), Arc<Planned>>,
}

impl Plans {
    pub fn new(ledger: Arc<dyn Ledger>, catalog: Arc<dyn BlockCatalog>) -> Self {
        Self {
            ledger,
            catalog,
            cache: moka::future::Cache::new(CAPACITY),
        }
    }

    /// Runs that ask for the same version at the same time share one load.
    pub async fn get(&self, id: GraphId, version: i32) -> Result<Arc<Planned>, PlanError> {
        let load = async {
            let graph = self
                .ledger
                .graph(id, version)
                .await
                .map_err(|error| PlanError::Unavailable(Arc::new(error)))?;
            self.compile(&graph.ok_or(PlanError::Gone { id, version })?)
        };
        self.cache.try_get_with((id, version), load).await.map_err(|error| error.as_ref().clone())
    }

    fn compile(&self, graph: &GraphModel) -> Result<Arc<Planned>, PlanError> {
        let plan = Plan::compile(&graph.nodes, &graph.links, self.catalog.as_ref()).map_err(|error| PlanError::Broken {
            id: graph.id,
            version: graph.version,
            reason: error.to_string(),
        })?;
        Ok(Arc::new(Planned {
            plan: Arc::new(plan),
            agent_name: graph.name.clone(),
        }))
    }
}
