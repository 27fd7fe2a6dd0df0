//! Fires the schedules that are rows, in two steps that go on side by side: what is due is decided, many slots in one transaction, and what
//! was decided to run is submitted.
//!
//! Any number of schedulers may do so at once (`store::slots`). A slot is decided once, and becomes one run, however often it is submitted.

use std::sync::Arc;
use std::time::Duration;

use futures::StreamExt;
use model::Timestamp;
use model::schedule::SlotOutcome;
use runtime::Shutdown;
use runtime::retry::retry_forever;
use store::{DecidedSlots, DueRun, Schedule, SettledSlot, Store};
use submit::{Origin, SubmitCommand, SubmitError, Submitter};
use tokio::sync::{Notify, watch};

use crate::decide::Decider;
use crate::metrics::SchedulerMetrics;
use crate::reaction::Reaction;
use crate::schedules::ScheduleStore;

/// Slots decided in one transaction.
const DECIDED: usize = 500;
/// Slots claimed for submission at once, how many of them are submitted at the same time, and by how many that claim.
const CLAIMED: i64 = 64;
const AT_ONCE: usize = 8;
const SUBMITTERS: usize = 2;
/// Submission waits while decisions are so late, but not longer than this: what is due is decided first, and still everything runs.
const BEHIND: Duration = Duration::from_millis(40);
const LONGEST_WAIT: Duration = Duration::from_secs(2);
/// A slot whose run could not be started is tried again after this time, then after twice as long, and so on. As long a scheduler that died
/// holds what it was at.
const FIRST_RETRY: Duration = Duration::from_secs(10);
const LONGEST_RETRY: Duration = Duration::from_secs(600);
/// Another scheduler may have added a schedule and gone: so this one looks again at least this often.
const LOOK_AGAIN: Duration = Duration::from_secs(60);
/// What another scheduler decided and did not submit is looked for at least this often.
const LOOK_FOR_RUNS: Duration = Duration::from_secs(10);
/// Something is due that somebody else is at, or will be in a moment.
const SHORT: Duration = Duration::from_millis(5);
const DATABASE: &str = "PostgreSQL (schedules)";

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
        let decided = Notify::new();
        let (behind, caught_up) = watch::channel(false);
        let submitters = (0..SUBMITTERS).map(|_| self.submit(&decided, caught_up.clone(), &shutdown));
        tokio::join!(self.decide(&decided, behind, &shutdown), futures::future::join_all(submitters));
    }

    /// Decides what is due, as soon as it is. `behind` says that it is not soon enough.
    async fn decide(&self, decided: &Notify, behind: watch::Sender<bool>, shutdown: &Shutdown) {
        let limit = i64::try_from(DECIDED).unwrap_or(i64::MAX);
        let decide = || {
            let mut decider = Decider::default();
            self.store.decide_due_slots(limit, move |due, now| decider.decide(due, now))
        };
        while let Some(DecidedSlots { slots, late }) = retry_forever(DATABASE, shutdown, decide).await {
            if slots > 0 {
                tracing::info!(slots, ?late, "slots decided");
                decided.notify_waiters();
            }
            if slots == DECIDED {
                behind.send_replace(late > BEHIND);
                continue;
            }
            let look = || self.store.next_slot_due_in();
            let Some(due_in) = retry_forever(DATABASE, shutdown, look).await else {
                return;
            };
            behind.send_replace(late > BEHIND && due_in == Some(Duration::ZERO));
            tokio::select! {
                () = tokio::time::sleep(due_in.unwrap_or(LOOK_AGAIN).clamp(SHORT, LOOK_AGAIN)) => {}
                () = self.changed.notified() => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    /// Submits what was decided to run.
    async fn submit(&self, decided: &Notify, mut caught_up: watch::Receiver<bool>, shutdown: &Shutdown) {
        let claim = || self.store.claim_due_runs(CLAIMED, FIRST_RETRY, LONGEST_RETRY);
        loop {
            let _ = tokio::time::timeout(LONGEST_WAIT, caught_up.wait_for(|behind| !behind)).await;
            // From here on a decision is not missed.
            let news = decided.notified();
            let Some(claimed) = retry_forever(DATABASE, shutdown, claim).await else {
                return;
            };
            if !claimed.is_empty() {
                self.submit_all(claimed).await;
                continue;
            }
            let look = || self.store.next_run_due_in();
            let Some(due_in) = retry_forever(DATABASE, shutdown, look).await else {
                return;
            };
            tokio::select! {
                () = tokio::time::sleep(due_in.unwrap_or(LOOK_FOR_RUNS).clamp(SHORT, LOOK_FOR_RUNS)) => {}
                () = news => {}
                () = shutdown.cancelled() => return,
            }
        }
    }

    async fn submit_all(&self, claimed: Vec<DueRun>) {
        let submitted = futures::stream::iter(claimed).map(|due| self.fire(due)).buffer_unordered(AT_ONCE);
        let outcomes: Vec<SettledSlot> = submitted.filter_map(std::future::ready).collect().await;
        if !outcomes.is_empty()
            && let Err(error) = self.store.settle_due_runs(&outcomes).await
        {
            // The claims run out, and the same slots come again; the keys of the runs keep them from starting twice.
            let count = outcomes.len();
            tracing::warn!(count, %error, "what became of fired schedules could not be written, they will be tried again");
        }
    }

    /// None when the slot is to be tried again.
    async fn fire(&self, due: DueRun) -> Option<SettledSlot> {
        let (schedule_id, slot) = (due.schedule_id, due.slot);
        let settled = |outcome, reason: Option<String>, graph_exec_id| SettledSlot {
            schedule_id,
            slot,
            outcome,
            reason,
            graph_exec_id,
        };
        let Some(schedule) = due.schedule else {
            return Some(settled(
                SlotOutcome::Skipped,
                Some("the schedule was deleted before its run started".to_owned()),
                None,
            ));
        };
        match self.submitter.submit(command(&schedule, slot)).await {
            Ok(run) => {
                self.metrics.fired.inc();
                tracing::debug!(schedule_id = %schedule.id, %slot, graph_exec_id = %run.id, "schedule fired");
                Some(settled(SlotOutcome::Fired, None, Some(run.id)))
            }
            Err(error) => {
                self.metrics.failed.inc();
                let done = self.react(&schedule, slot, &error).await;
                done.then(|| settled(SlotOutcome::Missed, Some(error.to_string()), None))
            }
        }
    }

    /// False when the slot is to be tried again.
    async fn react(&self, schedule: &Schedule, slot: Timestamp, error: &SubmitError) -> bool {
        let reaction = Reaction::to(error);
        tracing::warn!(schedule_id = %schedule.id, graph_id = %schedule.graph_id, %slot, %error, ?reaction, "a schedule could not start its run");
        let done = match &reaction {
            Reaction::DeleteAllOfGraph(why) => self.schedules.delete_of_graph(schedule.user_id, schedule.graph_id, why).await.map(drop),
            Reaction::DeleteThis(why) => self.schedules.delete(schedule.id, Some(why)).await,
            Reaction::GiveUpSlot => Ok(()),
            Reaction::TryAgain => return false,
        };
        if let Err(error) = &done {
            tracing::warn!(schedule_id = %schedule.id, %error, "a schedule that cannot run could not be deleted, it will be tried again");
        }
        done.is_ok()
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
