//! Human review for the services behind the RPC (internals §1.5, 32–34).

use std::time::Duration;

use model::review::{RepeatAnswer, ReviewAction, ReviewResult};
use model::{GraphExecId, NodeExecId};
use rpc::RpcError;
use runtime::Settings;
use runtime::settings::ReviewDefault;
use store::{ReviewQuestion, ReviewTerms, Store};

use crate::errors::from_store;

/// Asks on behalf of nodes.
pub struct Reviews {
    store: Store,
    terms: ReviewTerms,
}

impl Reviews {
    pub fn new(store: Store, settings: &Settings) -> Self {
        let seconds = settings.executor.review_deadline_seconds;
        let terms = ReviewTerms {
            deadline: (seconds > 0).then(|| Duration::from_secs(seconds)),
            default_action: match settings.executor.review_default_action {
                ReviewDefault::Approve => ReviewAction::Approve,
                ReviewDefault::Reject => ReviewAction::Reject,
            },
        };
        Self { store, terms }
    }

    /// The decision, once there is one. A node that asks again, after a crash, gets the same answer: nobody has to say that it was followed,
    /// as the node's own end says so.
    pub async fn ask(&self, question: ReviewQuestion) -> Result<Option<ReviewResult>, RpcError> {
        self.store.ask_review(question, self.terms).await.map_err(from_store)
    }

    pub async fn ask_to_repeat(&self, question: ReviewQuestion, epoch: i64) -> Result<RepeatAnswer, RpcError> {
        self.store.ask_to_repeat(question, epoch, self.terms).await.map_err(from_store)
    }

    pub async fn any_waiting(&self, graph_exec_id: GraphExecId) -> Result<bool, RpcError> {
        self.store.has_waiting_reviews(graph_exec_id).await.map_err(from_store)
    }

    pub async fn set_processed(&self, node_exec_id: NodeExecId, processed: bool) -> Result<(), RpcError> {
        self.store.set_review_processed(node_exec_id, processed).await.map_err(from_store)
    }
}
