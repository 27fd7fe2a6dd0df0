//! User schedules as the scheduler service reports them (internals §4.3).

use indexmap::IndexMap;
use serde::{Deserialize, Serialize};

use crate::{CredentialsMetaInput, GraphId, Map, UserId};

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct GraphExecutionJobInfo {
    pub schedule_id: Option<String>,
    pub user_id: UserId,
    pub graph_id: GraphId,
    pub graph_version: i32,
    pub agent_name: Option<String>,
    /// The contract's dialect: five fields, 0 = Monday (internals §4.4).
    pub cron: String,
    pub input_data: Map,
    #[serde(default)]
    pub input_credentials: IndexMap<String, CredentialsMetaInput>,
    pub id: String,
    pub name: String,
    /// ISO 8601 with an offset, never `Z` (rest.md trap 2).
    pub next_run_time: String,
    pub timezone: String,
}
