//! How far a user has come with getting to know the platform (rest.md §2.8). Spelled as the reference's row is.

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{Map, Timestamp, UserId};

/// The steps that there are.
pub const ONBOARDING_STEPS: [&str; 21] = [
    "WELCOME",
    "USAGE_REASON",
    "INTEGRATIONS",
    "AGENT_CHOICE",
    "AGENT_NEW_RUN",
    "AGENT_INPUT",
    "CONGRATS",
    "GET_RESULTS",
    "MARKETPLACE_VISIT",
    "MARKETPLACE_ADD_AGENT",
    "MARKETPLACE_RUN_AGENT",
    "BUILDER_SAVE_AGENT",
    "RE_RUN_AGENT",
    "SCHEDULE_AGENT",
    "RUN_AGENTS",
    "RUN_3_DAYS",
    "TRIGGER_WEBHOOK",
    "RUN_14_DAYS",
    "RUN_AGENTS_100",
    "BUILDER_OPEN",
    "BUILDER_RUN_AGENT",
];

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Onboarding {
    pub id: Uuid,
    pub created_at: Timestamp,
    pub updated_at: Timestamp,
    pub completed_steps: Vec<String>,
    pub wallet_shown: bool,
    pub notified: Vec<String>,
    pub rewarded_for: Vec<String>,
    pub usage_reason: Option<String>,
    pub integrations: Vec<String>,
    pub other_integrations: Option<String>,
    pub selected_store_listing_version_id: Option<String>,
    pub agent_input: Option<Map>,
    pub onboarding_agent_execution_id: Option<String>,
    pub agent_runs: i32,
    pub last_run_at: Option<Timestamp>,
    pub consecutive_run_days: i32,
    pub user_id: UserId,
}

/// A step forward; what is none stays. Steps are added, runs only grow, and what was shown stays shown.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, rename_all = "camelCase")]
pub struct OnboardingUpdate {
    pub completed_steps: Option<Vec<String>>,
    pub wallet_shown: Option<bool>,
    pub notified: Option<Vec<String>>,
    pub usage_reason: Option<String>,
    pub integrations: Option<Vec<String>>,
    pub other_integrations: Option<String>,
    pub selected_store_listing_version_id: Option<String>,
    pub agent_input: Option<Map>,
    pub onboarding_agent_execution_id: Option<String>,
    pub agent_runs: Option<i32>,
    pub last_run_at: Option<Timestamp>,
    pub consecutive_run_days: Option<i32>,
}
