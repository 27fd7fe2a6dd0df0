//! Notifications: what is put on the queues and which queue it takes (internals §5).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{Map, Timestamp, UserId};

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub enum NotificationType {
    AgentRun,
    ZeroBalance,
    LowBalance,
    BlockExecutionFailed,
    ContinuousAgentError,
    DailySummary,
    WeeklySummary,
    MonthlySummary,
    RefundRequest,
    RefundProcessed,
    AgentApproved,
    AgentRejected,
    /// Ours: a link to somebody who forgot the password. Sent to `data.to`, whatever the user has switched off.
    PasswordRecovery,
    /// Ours: somebody changed the address of the account. Sent to the former one, `data.to`.
    EmailChanged,
}

/// How a notification is delivered; the middle word of its routing key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Strategy {
    Immediate,
    Batch,
    Summary,
    Admin,
    /// The contract has no queue for it: such a message is dropped.
    Backoff,
}

impl NotificationType {
    pub fn strategy(self) -> Strategy {
        match self {
            Self::AgentRun => Strategy::Batch,
            Self::ZeroBalance | Self::LowBalance | Self::AgentApproved | Self::AgentRejected | Self::PasswordRecovery | Self::EmailChanged => {
                Strategy::Immediate
            }
            Self::BlockExecutionFailed | Self::ContinuousAgentError => Strategy::Backoff,
            Self::DailySummary | Self::WeeklySummary | Self::MonthlySummary => Strategy::Summary,
            Self::RefundRequest | Self::RefundProcessed => Strategy::Admin,
        }
    }

    /// Whether it is about the account itself: then nobody can switch it off.
    pub fn is_account_mail(self) -> bool {
        matches!(self, Self::PasswordRecovery | Self::EmailChanged)
    }

    pub fn as_str(self) -> &'static str {
        match self {
            Self::AgentRun => "AGENT_RUN",
            Self::ZeroBalance => "ZERO_BALANCE",
            Self::LowBalance => "LOW_BALANCE",
            Self::BlockExecutionFailed => "BLOCK_EXECUTION_FAILED",
            Self::ContinuousAgentError => "CONTINUOUS_AGENT_ERROR",
            Self::DailySummary => "DAILY_SUMMARY",
            Self::WeeklySummary => "WEEKLY_SUMMARY",
            Self::MonthlySummary => "MONTHLY_SUMMARY",
            Self::RefundRequest => "REFUND_REQUEST",
            Self::RefundProcessed => "REFUND_PROCESSED",
            Self::AgentApproved => "AGENT_APPROVED",
            Self::AgentRejected => "AGENT_REJECTED",
            Self::PasswordRecovery => "PASSWORD_RECOVERY",
            Self::EmailChanged => "EMAIL_CHANGED",
        }
    }

    /// `notification.{strategy}.{TYPE}` (internals §5.1).
    pub fn routing_key(self) -> String {
        format!("notification.{}.{}", self.strategy().as_str(), self.as_str())
    }
}

impl Strategy {
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Immediate => "immediate",
            Self::Batch => "batch",
            Self::Summary => "summary",
            Self::Admin => "admin",
            Self::Backoff => "backoff",
        }
    }
}

/// The message on a notification queue. `data` depends on the type (internals §5.2).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotificationEvent {
    #[serde(rename = "type")]
    pub kind: NotificationType,
    pub user_id: UserId,
    pub created_at: Timestamp,
    #[serde(default)]
    pub id: Option<String>,
    pub data: Map,
}

/// Which mails a user wants (internals §5.4).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotificationPreference {
    pub user_id: UserId,
    pub email: String,
    /// A type that is absent counts as wanted.
    #[serde(default)]
    pub preferences: IndexMap<NotificationType, bool>,
    #[serde(default)]
    pub daily_limit: i32,
    #[serde(default)]
    pub emails_sent_today: i32,
    #[serde(default = "Timestamp::now")]
    pub last_reset_date: Timestamp,
}

/// One event waiting in a user's batch.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserNotificationEvent {
    pub id: String,
    #[serde(rename = "type")]
    pub kind: NotificationType,
    pub data: Map,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// Events of one type that wait to be sent to a user together, oldest first.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct UserNotificationBatch {
    pub user_id: UserId,
    #[serde(rename = "type")]
    pub kind: NotificationType,
    pub notifications: Vec<UserNotificationEvent>,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
}

/// A user who is to get a summary of the runs of that time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct DueSummary {
    pub user_id: UserId,
    pub start_time: Timestamp,
    pub end_time: Timestamp,
}

/// What a user's runs amounted to in a window of time (internals §1.5, method 47). Times in seconds, costs in cents.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct UserExecutionSummary {
    pub total_credits_used: f64,
    pub total_executions: i64,
    pub successful_runs: i64,
    pub failed_runs: i64,
    pub most_used_agent: String,
    pub total_execution_time: f64,
    pub average_execution_time: f64,
    pub cost_breakdown: IndexMap<String, f64>,
}
