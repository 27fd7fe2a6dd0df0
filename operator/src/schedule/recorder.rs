//! Sends decisions that stand to the ledgers of their platforms, many at a time, until they have arrived.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::runtime::Shutdown;
use ::runtime::retry::Backoff;
use crds::{AutoGPTPlatform, GraphSchedule};
use futures::future::join_all;
use kube::ResourceExt;
use kube::runtime::reflector::ObjectRef;
use model::schedule::ScheduleDecision;
use rpc::services::{Scheduler, SchedulerClient};
use rpc::{RpcError, RpcErrorKind};
use tokio::sync::Notify;
use tokio::time::Instant;

use crate::execution::scheduler::Ways;
use crate::runtime::cache::Cache;
use crate::schedule::ledger::{self, Print};

/// Decisions wait so long for others: what is due goes before the ledger.
const LINGER: Duration = Duration::from_millis(250);
/// Decisions in one call.
const BATCH: usize = 500;
/// Decisions that wait for all platforms of a namespace; more wait in the statuses, and are offered again with the next look.
const QUEUE: usize = 20_000;
/// Decisions whose arrival is remembered until a status says so; what is forgotten is sent again.
const KNOWN: usize = 50_000;
/// A call that takes longer is lost, and repeated.
const TIMEOUT: Duration = Duration::from_secs(10);
const FIRST_RETRY: Duration = Duration::from_millis(500);
const LONGEST_RETRY: Duration = Duration::from_secs(30);

/// What is to be recorded, and what is. Cheap to clone.
#[derive(Clone, Default)]
pub struct Recorder {
    state: Arc<Mutex<State>>,
    news: Arc<Notify>,
}

#[derive(Default)]
struct State {
    /// By name of the platform, oldest first.
    queues: HashMap<String, VecDeque<Line>>,
    /// True for what has arrived, false for what is on its way.
    known: HashMap<Print, bool>,
}

type Line = (Print, ScheduleDecision);

impl Recorder {
    /// Takes what a stored status says is not recorded, as far as it is not on its way.
    pub fn offer(&self, schedule: &GraphSchedule) {
        let lines = ledger::unrecorded(schedule);
        if lines.is_empty() {
            return;
        }
        let taken = self.locked(|state| {
            let waiting: usize = state.queues.values().map(VecDeque::len).sum();
            let new: Vec<Line> = lines.into_iter().filter(|(print, _)| !state.known.contains_key(print)).collect();
            if new.is_empty() || waiting + new.len() > QUEUE {
                return false;
            }
            if state.known.len() > KNOWN {
                state.known.retain(|_, arrived| !*arrived);
            }
            state.known.extend(new.iter().map(|(print, _)| (*print, false)));
            state.queues.entry(schedule.spec.platform_ref.name.clone()).or_default().extend(new);
            true
        });
        if taken {
            self.news.notify_one();
        }
    }

    /// Whether the ledger is known to have it.
    pub fn is_recorded(&self, print: Print) -> bool {
        self.locked(|state| state.known.get(&print).copied().unwrap_or_default())
    }

    /// Sends until the shutdown.
    pub async fn run(self, namespace: String, ways: Ways, platforms: Cache<AutoGPTPlatform>, stop: Shutdown) {
        let mut roads: HashMap<String, Road> = HashMap::new();
        loop {
            tokio::select! {
                () = self.news.notified() => tokio::time::sleep(LINGER).await,
                () = sleep_until(roads.values().filter_map(|road| road.closed_until).min()) => {}
                () = stop.cancelled() => return,
            }
            let names: Vec<String> = self.locked(|state| {
                state.queues.retain(|_, queue| !queue.is_empty());
                state.queues.keys().cloned().collect()
            });
            roads.retain(|name, road| road.client.is_some() || names.contains(name));
            for name in &names {
                roads.entry(name.clone()).or_default();
            }
            let wanted = roads.iter_mut().filter(|(name, _)| names.contains(name));
            let sent = wanted.map(|(name, road)| {
                let platform = platforms.get(&ObjectRef::new(name).within(&namespace));
                self.send(name, platform, road, &ways)
            });
            join_all(sent).await;
        }
    }

    /// Sends what waits for one platform, until there is nothing or it fails.
    async fn send(&self, name: &str, platform: Option<Arc<AutoGPTPlatform>>, road: &mut Road, ways: &Ways) {
        if road.closed_until.is_some_and(|until| Instant::now() < until) {
            return;
        }
        let Some(platform) = platform else {
            // Its decisions wait for it.
            road.closed_until = Some(Instant::now() + LONGEST_RETRY);
            return;
        };
        let mut size = BATCH;
        loop {
            let batch: Vec<Line> = self.locked(|state| match state.queues.get(name) {
                None => Vec::new(),
                Some(queue) => queue.iter().take(size).cloned().collect(),
            });
            if batch.is_empty() {
                break;
            }
            match road.record(&platform, &batch, ways).await {
                Ok(()) => self.arrived(name, &batch),
                // One of them cannot be written. It must not hold up the others.
                Err(Failure::Refused(_)) if batch.len() > 1 => size = batch.len() / 2,
                Err(Failure::Refused(why)) => {
                    tracing::error!(platform = name, decision = ?batch, why, "the ledger refuses a decision: it is left out");
                    self.arrived(name, &batch);
                    size = BATCH;
                }
                Err(Failure::Away(why)) => {
                    if road.backoff.attempts() == 0 {
                        tracing::warn!(platform = name, why, "decisions cannot be recorded; trying again");
                    }
                    road.client = None;
                    road.closed_until = Some(Instant::now() + road.backoff.next_delay());
                    return;
                }
            }
        }
        if road.backoff.attempts() > 0 {
            tracing::info!(platform = name, "decisions are recorded again");
        }
        road.backoff.reset();
        road.closed_until = None;
    }

    /// The ledger has these, which are the first in the queue.
    fn arrived(&self, platform: &str, batch: &[Line]) {
        self.locked(|state| {
            if let Some(queue) = state.queues.get_mut(platform) {
                queue.drain(..batch.len().min(queue.len()));
            }
            state.known.extend(batch.iter().map(|(print, _)| (*print, true)));
        });
    }

    fn locked<T>(&self, use_state: impl FnOnce(&mut State) -> T) -> T {
        use_state(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// The way to one platform's ledger.
struct Road {
    client: Option<(Option<String>, SchedulerClient)>,
    backoff: Backoff,
    /// After a failure it is left alone so long.
    closed_until: Option<Instant>,
}

impl Default for Road {
    fn default() -> Self {
        Self {
            client: None,
            backoff: Backoff::new(FIRST_RETRY, LONGEST_RETRY),
            closed_until: None,
        }
    }
}

enum Failure {
    /// Later, the same may succeed.
    Away(String),
    /// It never will.
    Refused(String),
}

impl Road {
    async fn record(&mut self, platform: &AutoGPTPlatform, batch: &[Line], ways: &Ways) -> Result<(), Failure> {
        let known = self.client.take().filter(|(uid, _)| *uid == platform.uid());
        let (_, client) = self.client.insert(match known {
            Some(known) => known,
            None => {
                let client = ways.to(platform).await.map_err(|error| Failure::Away(error.to_string()))?;
                (platform.uid(), client)
            }
        });
        let decisions = batch.iter().map(|(_, decision)| decision.clone()).collect();
        match tokio::time::timeout(TIMEOUT, client.record_decisions(decisions)).await {
            Ok(Ok(_)) => Ok(()),
            Ok(Err(error)) if is_about_the_decisions(&error) => Err(Failure::Refused(error.to_string())),
            Ok(Err(error)) => Err(Failure::Away(error.to_string())),
            Err(_) => Err(Failure::Away(format!("no answer within {} s", TIMEOUT.as_secs()))),
        }
    }
}

/// A platform of an older release refuses the method, which is not about the decisions.
fn is_about_the_decisions(error: &RpcError) -> bool {
    matches!(error.kind, RpcErrorKind::Value | RpcErrorKind::Data)
}

async fn sleep_until(instant: Option<Instant>) {
    match instant {
        Some(instant) => tokio::time::sleep_until(instant).await,
        None => std::future::pending().await,
    }
}
