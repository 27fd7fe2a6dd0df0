//! Leadership by a Lease, on a connection of its own.
//!
//! One process leads at a time. A standby takes over when the Lease has not changed for its whole duration by the
//! standby's own monotonic clock; the leader stops working a second before that moment by its own, and sends no write after
//! it. A Lease cannot fence writes that are already under way, so every write of the controllers is conditional or unique by
//! name besides.
//!
//! A standby is warm: its work runs with filled caches and waits for its leadership.

use std::future::Future;
use std::time::Duration;

use k8s_openapi::api::coordination::v1::{Lease, LeaseSpec};
use k8s_openapi::apimachinery::pkg::apis::meta::v1::MicroTime;
use k8s_openapi::jiff;
use kube::api::{Api, ObjectMeta, PostParams};
use kube::{Client, ResourceExt};
use tokio::time::{Instant, sleep, sleep_until, timeout, timeout_at};

use ::runtime::Shutdown;
use ::runtime::health::Check;
use prometheus_client::metrics::histogram::Histogram;

use crate::runtime::leadership::{self, Grant, Leadership};

/// Name of the Lease.
pub const NAME: &str = "autogpt-operator";
/// A Lease that has not changed for so long may be taken.
const DURATION: Duration = Duration::from_secs(7);
/// The leader stops working so long before that.
const MARGIN: Duration = Duration::from_secs(1);
/// The leader renews so often.
const RENEW: Duration = Duration::from_secs(2);
/// A standby looks so often: that is most of the time in which nobody leads after one has let go.
const LOOK: Duration = Duration::from_millis(300);
/// No request about the Lease may take longer.
const REQUEST: Duration = Duration::from_secs(3);
/// How long the work may take to stop when the process is asked to end.
const STOP: Duration = Duration::from_secs(3);

/// A contender for the Lease.
pub struct Contender {
    api: Api<Lease>,
    identity: String,
    /// Whether the API server answers, for /readyz.
    health: Check,
    /// For how long nobody had been heard of when this process took the Lease over.
    fail_over: Histogram,
    /// The Lease as last seen, and since when it has been so.
    seen: Option<(Lease, Instant)>,
}

impl Contender {
    pub fn new(client: Client, namespace: &str, identity: &str, health: Check, fail_over: Histogram) -> Self {
        Self {
            api: Api::namespaced(client, namespace),
            identity: identity.to_owned(),
            health,
            fail_over,
            seen: None,
        }
    }

    /// Keeps `work` running until the shutdown, and tells it when this process leads. It gets a signal of its own: it is
    /// triggered when leadership is lost, the work is dropped when it does not end by itself, and begins anew as a standby.
    pub async fn run<Work, Fut>(mut self, shutdown: Shutdown, mut work: Work)
    where
        Work: FnMut(Leadership, Shutdown) -> Fut,
        Fut: Future<Output = ()>,
    {
        while !shutdown.is_cancelled() {
            let stop = shutdown.child();
            let (grant, leadership) = leadership::standby();
            let mut running = Box::pin(work(leadership, stop.clone()));
            let acquired = tokio::select! {
                acquired = self.acquire(&shutdown) => acquired,
                // It ends only with the shutdown.
                () = &mut running => return,
            };
            let Some((lease, since)) = acquired else { return };
            tracing::info!(identity = %self.identity, "leading");
            grant.until(end_of(since));
            let grace = tokio::select! {
                () = &mut running => Duration::ZERO,
                () = shutdown.cancelled() => STOP,
                () = self.keep(lease, since, &grant) => MARGIN / 2,
            };
            stop.trigger();
            if !grace.is_zero() && timeout(grace, &mut running).await.is_err() {
                tracing::debug!("work in flight was cut off");
            }
            drop(running);
            // What is still under way elsewhere writes nothing any more.
            grant.until(Instant::now());
            self.release().await;
        }
    }

    /// Renews until leadership is lost.
    async fn keep(&self, mut lease: Lease, mut since: Instant, grant: &Grant) {
        loop {
            let deadline = end_of(since);
            let mut next = since + RENEW;
            loop {
                sleep_until(next.min(deadline)).await;
                if Instant::now() >= deadline {
                    tracing::warn!("the Lease could not be renewed in time: no longer leading");
                    return;
                }
                match timeout_at(deadline, self.renew(&lease)).await {
                    Ok(Renewal::Done(renewed, at)) => {
                        (lease, since) = (*renewed, at);
                        grant.until(end_of(since));
                        break;
                    }
                    Ok(Renewal::Lost) => {
                        tracing::warn!("another process has taken the Lease: no longer leading");
                        return;
                    }
                    Ok(Renewal::Failed) | Err(_) => next = Instant::now() + LOOK,
                }
            }
        }
    }

    /// Waits until the Lease is ours.
    async fn acquire(&mut self, shutdown: &Shutdown) -> Option<(Lease, Instant)> {
        let mut complained = false;
        loop {
            match self.try_acquire().await {
                Ok(acquired) => {
                    self.health.ok();
                    complained = false;
                    if acquired.is_some() {
                        return acquired;
                    }
                }
                Err(error) => {
                    self.health.fail(format!("the Lease cannot be read or written: {error}"));
                    if !complained {
                        tracing::warn!(%error, "the Lease cannot be read or written; trying again");
                        complained = true;
                    }
                }
            }
            let wait = LOOK.mul_f64(rand::random_range(0.8..=1.2));
            tokio::select! {
                () = sleep(wait) => {}
                () = shutdown.cancelled() => return None,
            }
        }
    }

    async fn try_acquire(&mut self) -> Result<Option<(Lease, Instant)>, LeaseError> {
        let Some(live) = within(self.api.get_opt(NAME)).await? else {
            let at = Instant::now();
            let lease = Lease {
                metadata: ObjectMeta {
                    name: Some(NAME.to_owned()),
                    ..ObjectMeta::default()
                },
                spec: Some(self.held(0)),
            };
            return Ok(taken(within(self.api.create(&PostParams::default(), &lease)).await)?.map(|lease| (lease, at)));
        };
        let holder = live.spec.as_ref().and_then(|spec| spec.holder_identity.clone()).unwrap_or_default();
        let unchanged = match &self.seen {
            Some((seen, since)) if seen.resource_version() == live.resource_version() => since.elapsed(),
            _ => {
                self.seen = Some((live.clone(), Instant::now()));
                Duration::ZERO
            }
        };
        if !holder.is_empty() && holder != self.identity && unchanged < DURATION {
            return Ok(None);
        }
        let transitions = live.spec.as_ref().and_then(|spec| spec.lease_transitions).unwrap_or_default();
        let mut lease = live;
        lease.spec = Some(self.held(transitions.saturating_add(1)));
        let at = Instant::now();
        let lease = taken(within(self.api.replace(NAME, &PostParams::default(), &lease)).await)?;
        if lease.is_some() {
            self.fail_over.observe((unchanged + at.elapsed()).as_secs_f64());
        }
        Ok(lease.map(|lease| (lease, at)))
    }

    async fn renew(&self, lease: &Lease) -> Renewal {
        let mut next = lease.clone();
        if let Some(spec) = &mut next.spec {
            spec.renew_time = Some(MicroTime(jiff::Timestamp::now()));
        }
        let at = Instant::now();
        match within(self.api.replace(NAME, &PostParams::default(), &next)).await {
            Ok(lease) => {
                self.health.ok();
                Renewal::Done(Box::new(lease), at)
            }
            Err(LeaseError::Refused(kube::Error::Api(status))) if status.is_conflict() || status.is_not_found() => {
                // Our own renewal whose answer was lost looks like a conflict, too.
                match within(self.api.get_opt(NAME)).await {
                    Ok(Some(live)) if self.holds(&live) => Renewal::Done(Box::new(live), at),
                    Ok(_) => Renewal::Lost,
                    Err(_) => Renewal::Failed,
                }
            }
            Err(error) => {
                self.health.fail(format!("the Lease was not renewed: {error}"));
                tracing::debug!(%error, "the Lease was not renewed");
                Renewal::Failed
            }
        }
    }

    /// Lets the next one lead at once, unless it already does.
    async fn release(&self) {
        let Ok(Some(mut lease)) = within(self.api.get_opt(NAME)).await else {
            return;
        };
        if !self.holds(&lease) {
            return;
        }
        if let Some(spec) = &mut lease.spec {
            spec.holder_identity = Some(String::new());
        }
        match within(self.api.replace(NAME, &PostParams::default(), &lease)).await {
            Ok(_) => tracing::info!("released the Lease"),
            Err(error) => tracing::debug!(%error, "the Lease was not released: it expires"),
        }
    }

    fn holds(&self, lease: &Lease) -> bool {
        lease.spec.as_ref().and_then(|spec| spec.holder_identity.as_deref()) == Some(self.identity.as_str())
    }

    fn held(&self, transitions: i32) -> LeaseSpec {
        let now = MicroTime(jiff::Timestamp::now());
        LeaseSpec {
            holder_identity: Some(self.identity.clone()),
            lease_duration_seconds: i32::try_from(DURATION.as_secs()).ok(),
            lease_transitions: Some(transitions),
            acquire_time: Some(now.clone()),
            renew_time: Some(now),
            ..LeaseSpec::default()
        }
    }
}

/// Until when a process leads that wrote the Lease at that moment.
fn end_of(since: Instant) -> Instant {
    since + DURATION - MARGIN
}

enum Renewal {
    Done(Box<Lease>, Instant),
    Failed,
    Lost,
}

#[derive(Debug, thiserror::Error)]
enum LeaseError {
    #[error("no answer within {} s", REQUEST.as_secs())]
    TimedOut,
    #[error(transparent)]
    Refused(#[from] kube::Error),
}

async fn within<T>(request: impl Future<Output = Result<T, kube::Error>>) -> Result<T, LeaseError> {
    timeout(REQUEST, request)
        .await
        .map_err(|_| LeaseError::TimedOut)?
        .map_err(LeaseError::from)
}

/// Somebody else having been faster is no error.
fn taken(outcome: Result<Lease, LeaseError>) -> Result<Option<Lease>, LeaseError> {
    match outcome {
        Ok(lease) => Ok(Some(lease)),
        Err(LeaseError::Refused(kube::Error::Api(status))) if status.is_conflict() || status.is_already_exists() => Ok(None),
        Err(error) => Err(error),
    }
}
