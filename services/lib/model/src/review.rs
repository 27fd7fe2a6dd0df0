//! Reviews: what a person decides before a node goes on (internals §2.14, rest.md §2.8).

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{GraphExecId, GraphId, NodeExecId, Timestamp, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum ReviewStatus {
    Waiting,
    Approved,
    Rejected,
}

impl ReviewStatus {
    /// The contract's word, as stored and sent.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Waiting => "WAITING",
            Self::Approved => "APPROVED",
            Self::Rejected => "REJECTED",
        }
    }
}

impl std::str::FromStr for ReviewStatus {
    type Err = UnknownReviewStatus;
    fn from_str(text: &str) -> Result<Self, UnknownReviewStatus> {
        [Self::Waiting, Self::Approved, Self::Rejected]
            .into_iter()
            .find(|status| status.as_str() == text)
            .ok_or_else(|| UnknownReviewStatus(text.to_owned()))
    }
}

#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("unknown review status {0:?}")]
pub struct UnknownReviewStatus(String);

/// What is decided when the deadline passes without a decision.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ReviewAction {
    Approve,
    Reject,
}

impl ReviewAction {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Approve => "approve",
            Self::Reject => "reject",
        }
    }
}

/// A review as REST shows it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct HumanReview {
    pub node_exec_id: NodeExecId,
    pub user_id: UserId,
    pub graph_exec_id: GraphExecId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    /// What is to be reviewed; after a decision that changed it, what became of it.
    pub payload: Value,
    pub instructions: Option<String>,
    pub editable: bool,
    pub status: ReviewStatus,
    pub review_message: Option<String>,
    pub was_edited: Option<bool>,
    /// The node has gone on with the decision.
    pub processed: bool,
    pub created_at: Timestamp,
    pub updated_at: Option<Timestamp>,
    pub reviewed_at: Option<Timestamp>,
}

/// A decision as a node gets it (internals §1.5, method 32).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ReviewResult {
    /// The reviewed data; null when it was rejected.
    pub data: Option<Value>,
    pub status: ReviewStatus,
    /// Empty when the person said nothing.
    #[serde(default)]
    pub message: String,
    pub processed: bool,
    pub node_exec_id: NodeExecId,
}

/// Whether a node that was cut short may be run again.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "answer", rename_all = "lowercase")]
pub enum RepeatAnswer {
    /// Nobody has decided yet.
    Waiting,
    /// Once, by the claim that asked.
    Granted,
    /// Never.
    Refused { message: String },
}
