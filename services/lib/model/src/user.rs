//! Platform users as the contract returns them.

use serde::{Deserialize, Serialize};
use serde_json::Value;

use crate::{Map, Timestamp, UserId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct User {
    pub id: UserId,
    pub email: String,
    pub email_verified: bool,
    pub name: Option<String>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub metadata: Map,
    pub integrations: String,
    pub stripe_customer_id: Option<String>,
    pub top_up_config: Option<Value>,
    pub max_emails_per_day: i32,
    pub notify_on_agent_run: bool,
    pub notify_on_zero_balance: bool,
    pub notify_on_low_balance: bool,
    pub notify_on_block_execution_failed: bool,
    pub notify_on_continuous_agent_error: bool,
    pub notify_on_daily_summary: bool,
    pub notify_on_weekly_summary: bool,
    pub notify_on_monthly_summary: bool,
    /// An IANA zone or `not-set`.
    pub timezone: String,
}

/// What a charge was for (internals §1.5, method 23).
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UsageTransactionMetadata {
    pub graph_exec_id: Option<String>,
    pub graph_id: Option<String>,
    pub node_exec_id: Option<String>,
    pub node_id: Option<String>,
    pub block_id: Option<String>,
    pub block: Option<String>,
    pub input: Option<Map>,
    pub reason: Option<String>,
}
