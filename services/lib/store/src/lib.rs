//! SQL. The only crate that knows the database; everything it returns are types of the contract.
//!
//! One module an aggregate, all of them methods of [`Store`]. Whether something happened is decided by one row here and
//! nowhere else (design §1), so every rule that must hold under concurrency is a constraint, a row lock or a guarded update
//! in this crate, and not a check in a caller.

mod accounts;
mod alarms;
mod analytics;
mod api_keys;
mod attempts;
mod catalogue;
mod chat;
mod claims;
mod connect;
mod contract_writes;
mod control;
mod credentials;
mod credit_history;
mod credits;
mod dead_runs;
mod error;
mod execution_rows;
mod executions;
mod graphs;
mod journal;
mod journal_credits;
mod journal_plan;
mod journal_rows;
mod kv;
mod ledger;
mod library;
mod listen;
mod listings;
mod looks;
mod media;
mod migrate;
mod node_executions;
mod notifications;
mod oauth;
mod onboarding;
mod outbox;
mod pages;
mod presets;
mod progress;
mod retention;
mod retries;
mod reviews;
pub mod rules;
mod schedules;
mod sharing;
mod slots;
mod storable;
mod submission_rows;
mod submissions;
mod summary;
mod sweep;
mod turns;
mod untold_ends;
mod users;
mod waiting;
mod webhooks;
mod weekly;

pub use accounts::{Account, AccountChange, Challenge, CodePurpose, Refreshed, SessionScope};
pub use alarms::Rung;
pub use api_keys::{ApiKeyHolder, ForeignApiKey, NewApiKey};
pub use catalogue::{AgentFilter, AgentOrder, CreatorFilter, CreatorOrder, Offer};
pub use chat::{ChatMessage, ChatSession, Said};
pub use claims::ClaimLimits;
pub use connect::Store;
pub use contract_writes::NodeExecutionUpdate;
pub use control::CancelRequest;
pub use credentials::Credential;
pub use credit_history::{HistoryFilter, LedgerEntry};
pub use credits::CreditRules;
pub use dead_runs::Grave;
pub use error::{Error, Result};
pub use executions::{ExecutionFilter, ExecutionPage, IoBlocks};
pub use graphs::GraphDeletion;
pub use library::{Access, LibraryFilter};
pub use listen::{OutboxListener, OutboxNotifier};
pub use listings::{ListingFilter, NewSubmission, Verdict};
pub use migrate::SchemaState;
pub use node_executions::NodeExecutionFilter;
pub use oauth::OAuthLogin;
pub use outbox::OutboxBatch;
pub use retries::FormerRun;
pub use reviews::{Decided, ReviewDecision, ReviewQuestion, ReviewTerms};
pub use schedules::{NewSchedule, Schedule};
pub use sharing::SharedRun;
pub use slots::{DecidedSlots, DueRun, DueSlot, SettledSlot, SlotDecision, SlotDecisions};
pub use storable::make_storable;
pub use submission_rows::PackedRun;
pub use submissions::{Accepted, NewRun, StartingNode};
pub use sweep::Swept;
pub use untold_ends::{UntoldEnd, UntoldEnds};
pub use webhooks::Listener;

/// How long an executor's lease lasts without renewal, in database time, unless a store is told otherwise (design §6.3).
pub const LEASE: std::time::Duration = std::time::Duration::from_secs(15);

/// How many attempts in a row without progress a run gets, unless a store is told otherwise.
pub const MAX_ATTEMPTS: u32 = 5;
