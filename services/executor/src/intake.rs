//! Intake: claims runs while there are free slots, and holds the threads of all that are being worked on.
//!
//! A message, a freed slot and the clock all mean the same: ask the database for work (design §6.2).

use std::collections::HashSet;
use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use futures::FutureExt;
use model::{ClaimedRun, GivenUpRun, GraphExecId, HeldRun, Timestamp};
use rpc::RpcError;
use runtime::health::Check;
use runtime::retry::Backoff;
use runtime::spans::{About, Kind};
use runtime::trace::Step;
use runtime::{Shutdown, Trace, trace};
use tokio::sync::{Notify, mpsc, watch};
use tokio::time::Instant;
use tracing::Instrument;
use uuid::Uuid;

use crate::floor::Floor;
use crate::lease::{LeaseClock, Renewal};
use crate::ledger::Ledger;
use crate::metrics::ExecutorMetrics;
use crate::shift::{Shift, Shifted};
use crate::task::Control;

/// Work is looked for this often although nothing said that there is any: messages may be lost.
const SAFETY_NET: Duration = Duration::from_secs(3);
/// The shortest rest between two claims: in a stream of messages and ends of runs one claim serves many of them. After a pause a claim is
/// asked for at once.
const REST: Duration = Duration::from_millis(2);
/// Calls that only speed up what the lease's expiry brings about anyway.
const FAREWELL: Duration = Duration::from_secs(2);

pub struct Intake {
    pub ledger: Arc<dyn Ledger>,
    pub owner: Uuid,
    pub owner_name: String,
    pub slots: usize,
    pub shift: Arc<Shift>,
    pub clock: LeaseClock,
    pub metrics: ExecutorMetrics,
    pub database: Check,
    /// Rung when there may be work.
    pub bell: Arc<Notify>,
    /// Says whether there is a slot for more.
    pub vacancy: watch::Sender<bool>,
    /// Runs that somebody asked to cancel.
    pub cancels: mpsc::Receiver<GraphExecId>,
    pub renewals: mpsc::Receiver<Renewal>,
}

/// A claim that was asked for at an instant, and what came of it.
struct Claimed {
    asked: Instant,
    slots: usize,
    runs: Result<Vec<ClaimedRun>, RpcError>,
}

type Claim = Pin<Box<dyn Future<Output = Claimed> + Send>>;

impl Intake {
    /// Claims and works until the shutdown, then hands everything over.
    pub async fn run(mut self, shutdown: Shutdown) {
        let mut floor = Floor::default();
        let mut claim: Option<Claim> = None;
        let mut claims: u64 = 0;
        let mut look = true;
        let mut backoff = Backoff::new(Duration::from_millis(100), SAFETY_NET);
        let mut net = tokio::time::interval(SAFETY_NET);
        net.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
        let mut held = Held::default();
        let mut rested = Instant::now();
        while !shutdown.is_cancelled() {
            self.metrics.show(floor.len(), self.slots, false);
            let free = self.slots.saturating_sub(floor.len());
            self.vacancy.send_replace(free > 0);
            let wanted = look && claim.is_none() && free > 0;
            if wanted && Instant::now() >= rested {
                look = false;
                claims += 1;
                claim = Some(self.claim(free));
            }
            tokio::select! {
                () = shutdown.cancelled() => {}
                Claimed { asked, slots, runs } = under_way(&mut claim) => {
                    claim = None;
                    match runs {
                        Ok(runs) => {
                            // One that took nothing shared nothing: the next is not kept waiting.
                            rested = Instant::now() + if runs.is_empty() { Duration::ZERO } else { REST };
                            if backoff.attempts() > 0 {
                                tracing::info!("runs are claimed again");
                            }
                            backoff.reset();
                            self.database.ok();
                            // A claim renews the lease, or opens a new one, under which nothing is held that was claimed before.
                            if floor.len() == 0 || self.shift.deps.lease.trusted() {
                                self.clock.confirmed(asked);
                            }
                            held.claimed = Some(Instant::now());
                            // As many as asked for: there may be more.
                            look |= runs.len() >= slots;
                            self.start(&mut floor, runs);
                        }
                        Err(error) => {
                            if backoff.attempts() == 0 {
                                tracing::warn!(%error, "runs cannot be claimed");
                            }
                            self.database.fail(format!("runs cannot be claimed: {error}"));
                            net.reset_after(backoff.next_delay());
                        }
                    }
                }
                () = self.bell.notified() => look = true,
                _ = net.tick() => look = true,
                () = tokio::time::sleep_until(rested), if wanted && claim.is_none() => {}
                Some(ended) = floor.ended() => {
                    look = true;
                    let mut back = Back::default();
                    self.count(ended, &mut back);
                    self.give_back(back).await;
                }
                Some(id) = self.cancels.recv() => floor.cancel(id),
                Some(renewal) = self.renewals.recv() => self.renewed(&floor, renewal, claim.is_some().then_some(claims), &mut held).await,
            }
        }
        self.leave(floor, claim).await;
    }

    fn claim(&self, slots: usize) -> Claim {
        let (ledger, owner, name) = (self.ledger.clone(), self.owner, self.owner_name.clone());
        Box::pin(async move {
            let asked = Instant::now();
            let runs = ledger.claim(owner, name, u32::try_from(slots).unwrap_or(u32::MAX)).await;
            Claimed { asked, slots, runs }
        })
    }

    fn start(&self, floor: &mut Floor, runs: Vec<ClaimedRun>) {
        for run in runs {
            self.metrics.claimed.inc();
            let control = Control::new(run.news);
            let (held, for_floor) = (run.held(), control.clone());
            let shift = self.shift.clone();
            let about = || {
                About::new(Kind::Internal, "run")
                    .with("graph_exec_id", run.graph_exec_id)
                    .with("epoch", run.epoch)
            };
            let step = run.traceparent.as_deref().and_then(Trace::parse).map(|trace| trace.step(about));
            let trace = step.as_ref().map(Step::trace);
            if run.epoch == 1 {
                self.metrics
                    .queue_seconds
                    .observe(Timestamp::now().seconds_since(run.created_at).max(0.0));
            }
            let span = tracing::info_span!("run", graph_exec_id = %run.graph_exec_id, trace_id = trace.map(Trace::id));
            let work = async move {
                let _step = step;
                shift.work(run, control).await
            };
            floor.add(held, for_floor, trace::within_some(trace, work).instrument(span));
        }
    }

    /// Notes how the work on a run ended, and in `back` when the database has to hear of it.
    fn count(&self, (held, shifted): (HeldRun, Option<Shifted>), back: &mut Back) {
        let reason = match shifted {
            Some(Shifted::Finished { seconds }) => {
                self.metrics.run_seconds.observe(seconds);
                return;
            }
            Some(Shifted::Lost) => {
                self.metrics.lost.inc();
                return;
            }
            Some(Shifted::Released) => {
                back.free.push(held);
                return;
            }
            Some(Shifted::Stuck { reason }) => reason,
            // The journal says how far it came.
            None => "the executor's loop for this run panicked".to_owned(),
        };
        back.given_up.push(GivenUpRun { held, reason });
    }

    /// Follows what the database said about the lease. `claim` is the number of the claim that is under way.
    async fn renewed(&self, floor: &Floor, renewal: Renewal, claim: Option<u64>, held: &mut Held) {
        if !renewal.alive {
            if held.claimed.is_some_and(|claimed| claimed >= renewal.asked) {
                // A claim has opened the lease since the question was asked.
                return;
            }
            if floor.len() > 0 {
                tracing::warn!(runs = floor.len(), "the lease was lost; these runs go on elsewhere");
            }
            self.clock.lost();
            floor.each(|control| control.lost.cancel());
            // The next claim opens a new lease.
            self.bell.notify_one();
            return;
        }
        if !self.shift.deps.lease.trusted() {
            // This process was out of touch, and perhaps a claim of its own has opened a new lease: what it does not hold under that is lost.
            let owned: HashSet<HeldRun> = renewal.owned.iter().copied().collect();
            floor.lose_others(&owned, renewal.asked);
            self.clock.confirmed(renewal.asked);
        }
        renewal.cancelled.into_iter().for_each(|id| floor.cancel(id));
        renewal.news.into_iter().for_each(|(id, news)| floor.tell_news(id, news));
        // A run that is held twice in a row without anybody working on it: the reply to its claim was lost. Unless that claim is the one that
        // is still under way: its reply may come, and work that begins then must not be taken away by a release that is on its way.
        if claim.is_some() && claim == held.claim_then {
            return;
        }
        let unknown: HashSet<HeldRun> = renewal.owned.into_iter().filter(|held| !floor.has(*held)).collect();
        let stranded: Vec<HeldRun> = unknown.intersection(&held.unknown).copied().collect();
        held.unknown = unknown;
        held.claim_then = claim;
        if !stranded.is_empty() {
            tracing::warn!(
                runs = stranded.len(),
                "runs were held here without anybody working on them; they are put back in the queue"
            );
            self.give_back(Back {
                free: stranded,
                ..Back::default()
            })
            .await;
        }
    }

    /// Stops, hands over what can be handed over and waits for what cannot.
    async fn leave(mut self, mut floor: Floor, claim: Option<Claim>) {
        self.metrics.show(floor.len(), self.slots, true);
        floor.each(|control| control.release.cancel());
        let mut back = Back::default();
        if let Some(claim) = claim
            && let Ok(Claimed { runs: Ok(runs), .. }) = tokio::time::timeout(FAREWELL, claim).await
        {
            back.free.extend(runs.iter().map(ClaimedRun::held));
        }
        let mut held = Held::default();
        // Once the database was too slow, the lease's end does the rest.
        let mut answering = true;
        while floor.len() > 0 || !back.is_empty() {
            // What has ended by now goes in one call.
            while let Some(ended) = floor.ended().now_or_never().flatten() {
                self.count(ended, &mut back);
            }
            if !back.is_empty() {
                let batch = std::mem::take(&mut back);
                answering = answering && self.give_back(batch).await;
                continue;
            }
            tokio::select! {
                Some(ended) = floor.ended() => self.count(ended, &mut back),
                Some(id) = self.cancels.recv() => floor.cancel(id),
                Some(renewal) = self.renewals.recv() => self.renewed(&floor, renewal, None, &mut held).await,
            }
            self.metrics.show(floor.len(), self.slots, true);
        }
        if tokio::time::timeout(FAREWELL, self.ledger.release_lease(self.owner)).await.is_err() {
            tracing::warn!("the lease could not be given up; it expires by itself");
        }
    }

    /// Tells the database which runs are no longer worked on. When that fails the lease's expiry does it later. False when nobody answered.
    async fn give_back(&self, Back { free, given_up }: Back) -> bool {
        let told = async {
            if !free.is_empty() {
                self.ledger.release_runs(self.owner, free).await?;
            }
            if !given_up.is_empty() {
                self.ledger.give_up_runs(self.owner, given_up).await?;
            }
            Ok::<(), RpcError>(())
        };
        match tokio::time::timeout(FAREWELL, told).await {
            Ok(Ok(())) => true,
            Ok(Err(error)) => {
                tracing::warn!(%error, "runs could not be put back in the queue");
                true
            }
            Err(_) => {
                tracing::warn!("runs could not be put back in the queue: no answer in time");
                false
            }
        }
    }
}

/// Runs that are no longer worked on here and not over.
#[derive(Default)]
struct Back {
    /// Handed over.
    free: Vec<HeldRun>,
    /// Nobody here could get on with them.
    given_up: Vec<GivenUpRun>,
}

impl Back {
    fn is_empty(&self) -> bool {
        self.free.is_empty() && self.given_up.is_empty()
    }
}

/// What the intake remembers of what the database said.
#[derive(Default)]
struct Held {
    /// When the last claim was answered.
    claimed: Option<Instant>,
    /// Runs that the last renewal named although nobody here works on them.
    unknown: HashSet<HeldRun>,
    /// The claim that was under way then.
    claim_then: Option<u64>,
}

async fn under_way(claim: &mut Option<Claim>) -> Claimed {
    match claim {
        Some(claim) => claim.await,
        None => std::future::pending().await,
    }
}
