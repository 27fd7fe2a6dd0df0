//! The words of the contract as types: ids, statuses, graphs, executions, messages and events.
//!
//! Everything that crosses a process boundary is declared here once. The crate knows serde and nothing
//! else: no I/O, no clock, no database.

pub mod api_key;
pub mod catalogue;
pub mod claim;
pub mod credentials;
pub mod credits;
pub mod event;
pub mod execution;
pub mod graph;
pub mod history;
pub mod ids;
pub mod journal;
pub mod library;
pub mod message;
pub mod nested;
pub mod notification;
pub mod onboarding;
pub mod page;
pub mod progress;
pub mod review;
pub mod schedule;
pub mod status;
pub mod time;
pub mod user;
pub mod waiting;
pub mod webhook;

pub use claim::{ClaimedRun, Given, GivenUpRun, HeldRun, NodeExecutionRecord, RenewOutcome};
pub use credentials::CredentialsMetaInput;
pub use credits::{CreditCheck, CreditReservation, ReserveOutcome};
pub use event::ExecutionEvent;
pub use execution::{
    ExecutionContext, ExecutionStats, GraphExecution, GraphExecutionMeta, GraphExecutionWithNodes, NodeExecutionResult, NodeInputMasks, NodeStats,
    Outputs, StoredStats,
};
pub use graph::{Graph, GraphModel, Link, Node, NodeModel};
pub use ids::{BlockId, GraphExecId, GraphId, LinkId, NodeExecId, NodeId, UserId};
pub use journal::{AppendOutcome, JournalBatch, JournalEntry, WrittenBatch, WrittenEntry};
pub use message::{CancelMessage, RunMessage};
pub use nested::{AgentOutcome, AgentRequest, AgentRun};
pub use page::Pagination;
pub use status::ExecutionStatus;
pub use time::Timestamp;
pub use waiting::{DeadRun, PAST_DEADLINE, Waiting, WaitingReason};

/// A JSON object in insertion order: pin values, inputs, metadata.
pub type Map = serde_json::Map<String, serde_json::Value>;
