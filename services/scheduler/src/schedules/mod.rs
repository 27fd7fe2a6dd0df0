//! Schedules of users: where they are kept, and what fires them.
//!
//! Standalone, a row in Postgres is the schedule and [`crate::fire`] fires it. In a cluster a `GraphSchedule` object is, the operator fires
//! it, and the row keeps only what the object refers to: name, inputs and credentials.

mod info;
mod kubernetes;
mod postgres;

use async_trait::async_trait;
use chrono_tz::Tz;
use model::{GraphId, UserId};
use store::{NewSchedule, Schedule};
use uuid::Uuid;

pub use info::{job_info, parse_zone};
pub use kubernetes::{KubernetesSchedules, object_name};
pub use postgres::PostgresSchedules;

use crate::cron::ContractCron;
use crate::error::ScheduleError;

/// One of the two places. A schedule that `list` shows will fire.
#[async_trait]
pub trait ScheduleStore: Send + Sync {
    /// Durable and armed when this returns. `schedule.next_run_at` is the store's to set.
    async fn add(&self, schedule: NewSchedule, cron: &ContractCron, zone: Tz) -> Result<Schedule, ScheduleError>;

    async fn get(&self, id: Uuid) -> Result<Option<Schedule>, ScheduleError>;

    /// Those that will fire again, oldest first.
    async fn list(&self, user_id: Option<UserId>, graph_id: Option<GraphId>) -> Result<Vec<Schedule>, ScheduleError>;

    /// Removing one that is gone already is fine. What its user does not ask for has a reason, which is told where people look.
    async fn delete(&self, id: Uuid, why: Option<&Removal>) -> Result<(), ScheduleError>;

    /// When a run finds its graph gone (internals §4.3). Returns how many there were.
    async fn delete_of_graph(&self, user_id: UserId, graph_id: GraphId, why: &Removal) -> Result<usize, ScheduleError>;
}

/// Why a schedule goes that nobody asked to go.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Removal {
    /// A word in CamelCase.
    pub reason: &'static str,
    /// What and why, for people.
    pub note: String,
}

impl Removal {
    /// No run can come of the schedule.
    pub fn hopeless(reason: &'static str, why: &str) -> Self {
        Self {
            reason,
            note: format!(
                "deleted, as no run can come of this schedule any more: {}. Make it anew over REST when that is mended",
                why.trim_end_matches('.')
            ),
        }
    }
}
