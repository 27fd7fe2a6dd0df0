//! One run from its claim to its end or hand-over: plan, restore, work, tell.

use std::sync::Arc;
use std::time::Duration;

use engine::run::Run;
use model::notification::NotificationEvent;
use model::{ClaimedRun, ExecutionStatus, Timestamp};
use runtime::retry::Backoff;
use tokio::sync::mpsc;
use tokio::time::Instant;
use uuid::Uuid;

use crate::charge::{Cashier, NO_CREDITS, Till};
use crate::notice;
use crate::plans::{PlanError, Planned, Plans};
use crate::task::{Control, Deps, Outcome, RunTask};

/// What every run of this process is worked on with.
pub struct Shift {
    pub deps: Arc<Deps>,
    pub plans: Plans,
    /// Present while credits are enabled.
    pub cashier: Option<Cashier>,
    /// Notifications on their way to RabbitMQ.
    pub notices: mpsc::Sender<NotificationEvent>,
}

/// How the work on a run ended, for the bookkeeping of the process.
#[derive(Debug, Clone, PartialEq)]
pub enum Shifted {
    Finished {
        seconds: f64,
    },
    Released,
    Lost,
    /// Still ours, and it cannot get on here.
    Stuck {
        reason: String,
    },
}

impl Shift {
    pub async fn work(&self, claimed: ClaimedRun, control: Control) -> Shifted {
        let started = Instant::now();
        let graph_exec_id = claimed.graph_exec_id;
        if claimed.cancel_requested {
            control.cancel.cancel();
        }
        let planned = match self.plan(&claimed, &control).await {
            Ok(planned) => planned,
            Err(Unplanned::Released) => return Shifted::Released,
            Err(Unplanned::Lost) => return Shifted::Lost,
            // Another executor may know more blocks than this one: the run is tried there, and set aside in the end, where it can be driven again.
            Err(Unplanned::Hopeless(reason)) => {
                tracing::error!(%graph_exec_id, reason, "a run is given up before it starts");
                return Shifted::Stuck { reason };
            }
        };
        let admitted = match self.admit(&claimed, &control).await {
            Ok(admitted) => admitted,
            Err(shifted) => return shifted,
        };
        let expires = claimed.seconds_left.map(expiry);
        let mut run = Run::restore(planned.plan.clone(), claimed, Uuid::now_v7);
        if !admitted {
            run.fail(NO_CREDITS.to_owned(), Timestamp::now());
        }
        let till = self.cashier.as_ref().map(|cashier| Till {
            cashier: cashier.clone(),
            agent_name: planned.agent_name.clone(),
        });
        match Box::pin(RunTask::new(self.deps.clone(), control, run, expires).charging(till).work()).await {
            Outcome::Finished(run) => {
                let seconds = started.elapsed().as_secs_f64();
                // The one line of an ordinary run: there may be thousands a second. RUNNING waits for other runs, REVIEW for a person.
                tracing::info!(%graph_exec_id, status = %run.status(), seconds, "done with a run");
                if run.status().is_terminal() {
                    self.deps.outside.files().forget(graph_exec_id).await;
                }
                // Suspended: the end is still to come.
                if run.status() != ExecutionStatus::Running && self.notices.try_send(notice::agent_run(&run, &planned.agent_name)).is_err() {
                    tracing::warn!(%graph_exec_id, "the notification about this run is dropped: too many are waiting");
                }
                Shifted::Finished { seconds }
            }
            Outcome::Released => {
                tracing::info!(%graph_exec_id, "a run is handed over to another executor");
                Shifted::Released
            }
            Outcome::Lost => Shifted::Lost,
            Outcome::Stuck { reason } => Shifted::Stuck { reason },
        }
    }

    /// Waits for the plan as long as the database manager is away.
    async fn plan(&self, claimed: &ClaimedRun, control: &Control) -> Result<Arc<Planned>, Unplanned> {
        let mut backoff = Backoff::default();
        loop {
            let error = tokio::select! {
                planned = self.plans.get(claimed.graph_id, claimed.graph_version) => match planned {
                    Ok(planned) => return Ok(planned),
                    Err(PlanError::Unavailable(error)) => error,
                    Err(hopeless) => return Err(Unplanned::Hopeless(hopeless.to_string())),
                },
                () = control.lost.cancelled() => return Err(Unplanned::Lost),
                () = control.release.cancelled() => return Err(Unplanned::Released),
            };
            if backoff.attempts() == 0 {
                tracing::warn!(%error, graph_exec_id = %claimed.graph_exec_id, "waiting for the graph of a run");
            }
            tokio::select! {
                () = tokio::time::sleep(backoff.next_delay()) => {}
                () = control.lost.cancelled() => return Err(Unplanned::Lost),
                () = control.release.cancelled() => return Err(Unplanned::Released),
            }
        }
    }

    /// Whether the run may start. One that has started goes on, whatever is left: so a crash changes nothing about how it ends.
    async fn admit(&self, claimed: &ClaimedRun, control: &Control) -> Result<bool, Shifted> {
        let Some(cashier) = self.cashier.as_ref().filter(|_| claimed.started_at.is_none()) else {
            return Ok(true);
        };
        tokio::select! {
            admitted = cashier.admits(claimed.user_id) => Ok(admitted),
            () = control.lost.cancelled() => Err(Shifted::Lost),
            () = control.release.cancelled() => Err(Shifted::Released),
        }
    }
}

/// A deadline that has passed is now, one far away is never reached.
fn expiry(seconds_left: f64) -> Instant {
    const FAR_AWAY: f64 = 10.0 * 365.0 * 86_400.0;
    Instant::now() + Duration::from_secs_f64(seconds_left.clamp(0.0, FAR_AWAY))
}

enum Unplanned {
    Released,
    Lost,
    Hopeless(String),
}
