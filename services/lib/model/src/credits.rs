//! Charging for node executions (internals §2.12). Amounts in credits, which are cents.

use serde::{Deserialize, Serialize};

use crate::user::UsageTransactionMetadata;
use crate::{GraphExecId, GraphId, NodeExecId, UserId};

/// The [`CreditReservation::kind`] of a block's price.
pub const BLOCK_CHARGE: &str = "run";

/// What a node costs, to be held back before it starts. One charge per `node_exec_id` and `kind`, however often it is asked for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreditReservation {
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_exec_id: GraphExecId,
    /// Fencing token of the claim.
    pub epoch: i64,
    /// Durably RUNNING: a node execution that a crash could forget would be charged a second time under its next id.
    pub node_exec_id: NodeExecId,
    pub kind: String,
    /// More than zero.
    pub amount: i64,
    pub metadata: UsageTransactionMetadata,
}

/// The answer to a [`CreditReservation`].
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum ReserveOutcome {
    /// Booked now, or already before. `charged` is what was booked then. `low_balance`: the user is to be told that little is left.
    Granted { charged: i64, balance: i64, low_balance: bool },
    /// There is not enough, and nothing is booked. `tell`: the user is to be told, having not been since the last top-up.
    Refused { balance: i64, shortfall: i64, tell: bool },
    /// The node is not RUNNING under this epoch: nothing is booked.
    Stale,
}

/// What a user may start a run with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct CreditCheck {
    pub balance: i64,
    /// The user is to be told that little is left.
    pub low_balance: bool,
}

/// What a user reads when there is not enough for a charge. The frontend looks for the first two words.
pub fn insufficient_balance(balance: i64, cost: i64) -> String {
    let dollars = |credits: i64| credits as f64 / 100.0;
    format!(
        "Insufficient balance of ${:.2}, where this will cost ${:.2}",
        dollars(balance),
        dollars(cost)
    )
}
