//! The row is the schedule: for a platform without Kubernetes.

use std::sync::Arc;

use async_trait::async_trait;
use chrono::Utc;
use chrono_tz::Tz;
use model::{GraphId, UserId};
use store::{NewSchedule, Schedule, Store};
use tokio::sync::Notify;
use uuid::Uuid;

use super::{Removal, ScheduleStore};
use crate::cron::{ContractCron, Firing};
use crate::error::ScheduleError;

pub struct PostgresSchedules {
    store: Store,
    /// Rings when there is a new schedule, which may be the next one that is due.
    changed: Arc<Notify>,
}

impl PostgresSchedules {
    pub fn new(store: Store, changed: Arc<Notify>) -> Self {
        Self { store, changed }
    }
}

#[async_trait]
impl ScheduleStore for PostgresSchedules {
    async fn add(&self, mut schedule: NewSchedule, cron: &ContractCron, zone: Tz) -> Result<Schedule, ScheduleError> {
        let next = Firing::new(cron, zone)?.next_after(Utc::now());
        schedule.next_run_at = Some(next.ok_or_else(|| ScheduleError::NeverDue(schedule.cron.clone()))?.into());
        let schedule = self.store.insert_schedule(schedule).await?;
        self.changed.notify_one();
        Ok(schedule)
    }

    async fn get(&self, id: Uuid) -> Result<Option<Schedule>, ScheduleError> {
        Ok(self.store.get_schedule(id).await?)
    }

    async fn list(&self, user_id: Option<UserId>, graph_id: Option<GraphId>) -> Result<Vec<Schedule>, ScheduleError> {
        let mut schedules = self.store.list_schedules(user_id, graph_id).await?;
        schedules.retain(|schedule| schedule.next_run_at.is_some());
        Ok(schedules)
    }

    async fn delete(&self, id: Uuid, _why: Option<&Removal>) -> Result<(), ScheduleError> {
        self.store.delete_schedule(id).await?;
        Ok(())
    }

    async fn delete_of_graph(&self, user_id: UserId, graph_id: GraphId, _why: &Removal) -> Result<usize, ScheduleError> {
        let deleted = self.store.delete_schedules_of_graph(user_id, graph_id).await?;
        Ok(usize::try_from(deleted).unwrap_or(usize::MAX))
    }
}
