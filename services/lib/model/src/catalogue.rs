//! The catalogue of agents that everybody may add to his library: profiles, listings, submissions (rest.md §2.8).

use serde::{Deserialize, Serialize};
use uuid::Uuid;

use crate::{GraphId, Pagination, Timestamp, UserId};

/// A user's public face, as he reads it himself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ProfileDetails {
    pub name: String,
    pub username: String,
    pub description: String,
    pub links: Vec<String>,
    pub avatar_url: Option<String>,
}

/// The same as others see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct CreatorDetails {
    pub name: String,
    pub username: String,
    pub description: String,
    pub links: Vec<String>,
    /// Empty when there is none.
    pub avatar_url: String,
    pub agent_rating: f64,
    pub agent_runs: i64,
    pub top_categories: Vec<String>,
}

/// An entry of the list of creators.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Creator {
    pub name: String,
    pub username: String,
    pub description: String,
    pub avatar_url: String,
    pub num_agents: i64,
    pub agent_rating: f64,
    pub agent_runs: i64,
    pub is_featured: bool,
}

/// An entry of the list of agents.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreAgent {
    pub slug: String,
    pub agent_name: String,
    /// The first image; empty when there is none.
    pub agent_image: String,
    /// The user name.
    pub creator: String,
    pub creator_avatar: String,
    pub sub_heading: String,
    pub description: String,
    pub runs: i64,
    /// Average score, 0 when nobody has given one.
    pub rating: f64,
}

/// A page of the catalogue.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreAgents {
    pub agents: Vec<StoreAgent>,
    pub pagination: Pagination,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreAgentDetails {
    pub store_listing_version_id: Uuid,
    pub slug: String,
    pub agent_name: String,
    pub agent_video: String,
    pub agent_image: Vec<String>,
    pub creator: String,
    pub creator_avatar: String,
    pub sub_heading: String,
    pub description: String,
    pub instructions: Option<String>,
    pub categories: Vec<String>,
    pub runs: i64,
    pub rating: f64,
    /// Approved versions, oldest first.
    pub versions: Vec<String>,
    pub last_updated: Timestamp,
    pub recommended_schedule_cron: Option<String>,
    pub active_version_id: Option<Uuid>,
    pub has_approved_version: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "UPPERCASE")]
pub enum SubmissionStatus {
    Draft,
    Pending,
    Approved,
    Rejected,
}

impl SubmissionStatus {
    /// The contract's words.
    pub const WORDS: [&str; 4] = ["DRAFT", "PENDING", "APPROVED", "REJECTED"];

    pub fn from_word(word: &str) -> Option<Self> {
        match word {
            "DRAFT" => Some(Self::Draft),
            "PENDING" => Some(Self::Pending),
            "APPROVED" => Some(Self::Approved),
            "REJECTED" => Some(Self::Rejected),
            _ => None,
        }
    }
}

/// A version of a listing as its author and administrators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreSubmission {
    pub agent_id: GraphId,
    pub agent_version: i32,
    pub name: String,
    pub sub_heading: String,
    pub slug: String,
    pub description: String,
    pub instructions: Option<String>,
    pub image_urls: Vec<String>,
    pub date_submitted: Timestamp,
    pub status: SubmissionStatus,
    pub runs: i64,
    pub rating: f64,
    pub store_listing_version_id: Option<Uuid>,
    pub version: Option<i32>,
    pub reviewer_id: Option<UserId>,
    pub review_comments: Option<String>,
    /// For administrators; none for the author.
    pub internal_comments: Option<String>,
    pub reviewed_at: Option<Timestamp>,
    pub changes_summary: Option<String>,
    pub video_url: Option<String>,
    pub categories: Vec<String>,
}

/// What an author says about an agent that he offers.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct ListingContent {
    pub name: String,
    pub sub_heading: String,
    #[serde(default)]
    pub video_url: Option<String>,
    #[serde(default)]
    pub image_urls: Vec<String>,
    #[serde(default)]
    pub description: String,
    #[serde(default)]
    pub instructions: Option<String>,
    #[serde(default)]
    pub categories: Vec<String>,
    #[serde(default)]
    pub changes_summary: Option<String>,
    #[serde(default)]
    pub recommended_schedule_cron: Option<String>,
}

/// A listing with its versions, newest first, as administrators see it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct StoreListingWithVersions {
    pub listing_id: Uuid,
    pub slug: String,
    pub agent_id: GraphId,
    pub agent_version: i32,
    pub active_version_id: Option<Uuid>,
    pub has_approved_version: bool,
    pub creator_email: Option<String>,
    pub latest_version: Option<StoreSubmission>,
    pub versions: Vec<StoreSubmission>,
}

/// A graph that could be offered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MyAgent {
    pub agent_id: GraphId,
    pub agent_version: i32,
    pub agent_name: String,
    pub agent_image: Option<String>,
    pub description: String,
    pub last_edited: Timestamp,
    pub recommended_schedule_cron: Option<String>,
}

/// Somebody's opinion about an agent.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct StoreReview {
    /// 1 to 5.
    pub score: i32,
    pub comments: Option<String>,
}
