//! Stopping a run and waiting until it has stopped (rest.md §2.6).

use std::sync::Arc;
use std::time::Duration;

use http::StatusCode;
use model::{GraphExecId, GraphExecutionMeta, GraphId, UserId};
use rpc::services::Scheduler;
use store::Store;
use tokio::time::Instant;

use crate::wire::{ApiError, ApiResult};

const PATIENCE: Duration = Duration::from_secs(15);
/// Most runs are over a few milliseconds after they were asked to stop; the pause doubles from the first to the longest.
const FIRST_PAUSE: Duration = Duration::from_millis(5);
const LONGEST_PAUSE: Duration = Duration::from_millis(100);

/// Asks the scheduler service to stop runs. The flag in the run's row decides, so asking twice is harmless.
#[derive(Clone)]
pub struct Stopper {
    store: Store,
    scheduler: Arc<dyn Scheduler>,
    patience: Duration,
}

impl Stopper {
    pub fn new(store: Store, scheduler: Arc<dyn Scheduler>) -> Self {
        Self {
            store,
            scheduler,
            patience: PATIENCE,
        }
    }

    /// Waits for the end of the run and of all runs inside it, and returns the run as it was before. `None` when the user has no such run, or it is over.
    pub async fn stop(&self, user_id: UserId, graph_id: GraphId, graph_exec_id: GraphExecId) -> ApiResult<Option<GraphExecutionMeta>> {
        let Some(before) = self.store.get_execution_meta(user_id, graph_exec_id).await? else {
            return Ok(None);
        };
        if before.graph_id != graph_id || before.status.is_terminal() {
            return Ok(None);
        }
        self.scheduler.stop_graph_execution(graph_exec_id).await?;
        let deadline = Instant::now() + self.patience;
        let mut pause = FIRST_PAUSE;
        // The answer promises that no node starts any more, also in the runs inside.
        while self.store.is_tree_open(graph_exec_id).await? {
            if Instant::now() >= deadline {
                let text = format!(
                    "Graph execution #{graph_exec_id} did not stop within {} s; it will as soon as it can",
                    self.patience.as_secs()
                );
                return Err(ApiError::Generic(StatusCode::GATEWAY_TIMEOUT, text));
            }
            tokio::time::sleep(pause).await;
            pause = LONGEST_PAUSE.min(pause * 2);
        }
        Ok(Some(before))
    }
}
