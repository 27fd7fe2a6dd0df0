//! Deletes executions beyond the history limits, beside the looks: deletions wait behind everything else that goes to the API server, and a
//! schedule that is due, or that a person asks for something, must not wait with them.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use crds::{GraphExecution, GraphSchedule};
use kube::api::{Api, DeleteParams, Preconditions};
use kube::{Resource, ResourceExt};

use crate::runtime::events::Events;
use crate::runtime::metrics::{Controller, OperatorMetrics};
use crate::runtime::refusal::refusal;
use crate::runtime::sweep::Sweep;

const LABEL: Controller = Controller { controller: "schedule" };
/// After a failure the schedule is looked at again, and what is still there is tried once more.
const AGAIN: Duration = Duration::from_secs(30);

/// Who deletes.
pub struct Cleaner {
    events: Events,
    metrics: OperatorMetrics,
    sweep: Sweep,
    /// By UID of a schedule.
    busy: Arc<Mutex<HashMap<String, Batch>>>,
}

/// Executions of one schedule that are being deleted.
struct Batch {
    surplus: Vec<Arc<GraphExecution>>,
    /// Whether more are to go since it was begun.
    grew: bool,
}

impl Batch {
    fn has(&self, execution: &GraphExecution) -> bool {
        self.surplus.iter().any(|ours| ours.uid() == execution.uid())
    }
}

impl Cleaner {
    pub fn new(events: Events, metrics: OperatorMetrics, sweep: Sweep) -> Self {
        Self {
            events,
            metrics,
            sweep,
            busy: Arc::default(),
        }
    }

    /// Deletes these, one after the other, while others go on. The schedule hears of each that goes, and a failure brings the next look.
    pub fn delete(&self, schedule: &GraphSchedule, executions: Api<GraphExecution>, surplus: Vec<Arc<GraphExecution>>) {
        let uid = schedule.uid().unwrap_or_default();
        if surplus.is_empty() || !self.begin(&uid, &surplus) {
            return;
        }
        let (events, metrics, sweep, busy) = (self.events.clone(), self.metrics.clone(), self.sweep.clone(), self.busy.clone());
        let schedule = schedule.clone();
        tokio::spawn(async move {
            let outcome = delete_all(&executions, &surplus, &metrics).await;
            if let Err(error) = &outcome {
                metrics.errors.get_or_create(&LABEL).inc();
                tracing::warn!(schedule = %schedule.name_any(), %error, retry_in = ?AGAIN, "an old execution cannot be deleted");
                if let Some(refusal) = refusal(error) {
                    let what = refusal.of("the removal of an execution beyond spec.historyLimit was refused");
                    events.warning(&schedule, refusal.reason, what);
                }
                tokio::time::sleep(AGAIN).await;
            }
            let grew = lock(&busy).remove(&uid).is_some_and(|batch| batch.grew);
            if grew || outcome.is_err() {
                sweep.add(&schedule.name_any());
            }
        });
    }

    /// Whether nothing of the schedule is being deleted so far. What is, notes that there is more.
    fn begin(&self, uid: &str, surplus: &[Arc<GraphExecution>]) -> bool {
        let mut busy = lock(&self.busy);
        if let Some(batch) = busy.get_mut(uid) {
            batch.grew |= surplus.iter().any(|execution| !batch.has(execution));
            return false;
        }
        let surplus = surplus.to_vec();
        busy.insert(uid.to_owned(), Batch { surplus, grew: false });
        true
    }
}

async fn delete_all(api: &Api<GraphExecution>, surplus: &[Arc<GraphExecution>], metrics: &OperatorMetrics) -> kube::Result<()> {
    for child in surplus {
        let parameters = DeleteParams {
            preconditions: Some(Preconditions {
                uid: child.meta().uid.clone(),
                resource_version: None,
            }),
            ..DeleteParams::background()
        };
        metrics.writes.get_or_create(&LABEL).inc();
        match api.delete(&child.name_any(), &parameters).await {
            Ok(_) => {}
            Err(kube::Error::Api(error)) if error.is_not_found() || error.is_conflict() => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
