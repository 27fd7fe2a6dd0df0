//! Fires the schedules that are rows: sleeps until the next slot, claims what is due, starts the runs, moves the schedules on.
//!
//! Any number of schedulers may do so at once. A claim keeps them out of each other's way, the key of the run and the guarded step to the
//! next slot decide: a slot becomes one run, however often it is tried.

use std::sync::Arc;
use std::time::Duration;

use chrono::Utc;
use futures::StreamExt;
use model::{GraphExecId, Timestamp};
use runtime::Shutdown;
use runtime::retry::retry_forever;
use store::{Decision, Schedule, SlotDecision, Store};
use submit::{Origin, SubmitCommand, SubmitError, Submitter};
use tokio::sync::Notify;

use crate::cron::{self, ContractCron};
use crate::error::ScheduleError;
use crate::metrics::SchedulerMetrics;
use crate::reaction::Reaction;
use crate::schedules::{ScheduleStore, parse_zone};

/// Schedules claimed at once, and runs started at the same time.
const BATCH: i64 = 64;
const AT_ONCE: usize = 8;
/// A slot whose run could not be started is tried again after this time, then after twice as long, and so on.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(600);
/// Another scheduler may have added a schedule and gone: so this one looks again at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// Something is due that somebody else is at.
const SHORT: Duration = Duration::from_millis(50);

pub struct Firing {
    pub store: Store,
    pub submitter: Submitter,
    pub schedules: Arc<dyn ScheduleStore>,
    /// Rings when a schedule was added.
    pub changed: Arc<Notify>,
    pub metrics: SchedulerMetrics,
}

impl Firing {
    /// Until the shutdown.
    pub async fn run(self, shutdown: Shutdown) {
        let claim = || self.store.claim_due_schedules(BATCH, FIRST_RETRY, LONGEST_RETRY);
        while let Some(claimed) = retry_forever("PostgreSQL (schedules)", &shutdown, claim).await {
            if !claimed.is_empty() {
                futures::stream::iter(claimed)
                    .for_each_concurrent(AT_ONCE, |schedule| self.fire(schedule))
                    .await;
                continue;
            }
            let look = || self.store.next_schedule_due_in();
            let Some(due_in) = retry_forever("PostgreSQL (schedules)", &shutdown, look).await else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(due_in.unwrap_or(LOOK_AGAIN).clamp(SHORT, LOOK_AGAIN)) => {}
                () = self.changed.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn fire(&self, schedule: Schedule) {
        let Some(slot) = schedule.next_run_at else { return };
        let outcome = self.submitter.submit(command(&schedule, slot)).await;
        let settled = match outcome {
            Ok(run) => {
                self.metrics.fired.inc();
                self.advance(&schedule, slot, Decision::Fired, String::new(), Some(run.id)).await
            }
            Err(error) => {
                self.metrics.failed.inc();
                self.react(&schedule, slot, error).await
            }
        };
        if let Err(error) = settled {
            // The claim runs out, and the same slot comes again; the key of the run keeps it from starting twice.
            tracing::warn!(schedule_id = %schedule.id, %slot, %error, "a fired schedule could not be moved on, it will be tried again");
        }
    }

    async fn react(&self, schedule: &Schedule, slot: Timestamp, error: SubmitError) -> Result<(), ScheduleError> {
        let reaction = Reaction::to(&error);
        tracing::warn!(schedule_id = %schedule.id, graph_id = %schedule.graph_id, %slot, %error, ?reaction, "a schedule could not start its run");
        match reaction {
            Reaction::DeleteAllOfGraph => self.schedules.delete_of_graph(schedule.user_id, schedule.graph_id).await.map(drop),
            Reaction::DeleteThis => self.schedules.delete(schedule.id).await,
            Reaction::GiveUpSlot => self.advance(schedule, slot, Decision::Missed, error.to_string(), None).await,
            Reaction::TryAgain => Ok(()),
        }
    }

    async fn advance(
        &self,
        schedule: &Schedule,
        slot: Timestamp,
        decision: Decision,
        reason: String,
        graph_exec_id: Option<GraphExecId>,
    ) -> Result<(), ScheduleError> {
        let decision = SlotDecision {
            schedule_uid: schedule.id,
            slot,
            decision,
            reason,
            graph_exec_id,
        };
        let moved = self.store.advance_schedule(&decision, slot_after(schedule, slot)).await?;
        tracing::info!(schedule_id = %schedule.id, %slot, ?graph_exec_id, decision = decision.decision.as_str(), moved, "schedule fired");
        Ok(())
    }
}

fn command(schedule: &Schedule, slot: Timestamp) -> SubmitCommand {
    SubmitCommand {
        user_id: schedule.user_id,
        graph_id: schedule.graph_id,
        graph_version: Some(schedule.graph_version),
        inputs: schedule.inputs.clone(),
        credentials: schedule.credentials.clone(),
        idempotency_key: Some(format!("{}/{slot}", schedule.id)),
        origin: Origin::Schedule,
        ..SubmitCommand::default()
    }
}

/// The first slot after this one that is still to come: slots that passed meanwhile are one with it (rest.md §2.7).
fn slot_after(schedule: &Schedule, slot: Timestamp) -> Option<Timestamp> {
    let cron: ContractCron = schedule.cron.parse().ok()?;
    let firing = cron::Firing::new(&cron, parse_zone(&schedule.timezone)?).ok()?;
    firing.next_after(slot.into_inner().max(Utc::now())).map(Timestamp::from)
}
