//! The lease of this process on its runs (design §6.3).
//!
//! The database decides who owns a run. This side only keeps renewing, and knows by the monotonic clock when it can
//! no longer be sure: then no node with outside effects may start.

use std::sync::Arc;
use std::time::Duration;

use model::{GraphExecId, HeldRun};
use runtime::Shutdown;
use tokio::sync::{mpsc, watch};
use tokio::time::Instant;
use uuid::Uuid;

use crate::ledger::Ledger;

/// The times that follow from how long the database lets a silent executor keep its runs.
#[derive(Debug, Clone, Copy)]
pub struct Terms {
    renew_every: Duration,
    /// A renewal that takes longer is given up and tried again.
    renew_within: Duration,
    /// So long after the last renewal this process still counts on its lease.
    trusted_for: Duration,
}

impl Terms {
    /// With the default of 15 s: renewed every 4 s, trusted for 10 s, so that two renewals may fail and clocks may differ.
    pub fn of(lease: Duration) -> Self {
        Self {
            renew_every: lease * 4 / 15,
            renew_within: lease / 5,
            trusted_for: lease * 2 / 3,
        }
    }
}

/// When the lease was last known to be ours.
#[derive(Clone)]
pub struct Lease {
    trusted_for: Duration,
    renewed: watch::Receiver<Option<Instant>>,
}

/// What a renewal told.
#[derive(Debug)]
pub struct Renewal {
    /// When the question was asked: what happened since is not in the answer.
    pub asked: Instant,
    pub alive: bool,
    pub cancelled: Vec<GraphExecId>,
    pub news: Vec<(GraphExecId, i64)>,
    pub owned: Vec<HeldRun>,
}

/// The writing side: whoever heard from the database.
#[derive(Clone)]
pub struct LeaseClock {
    renewed: Arc<watch::Sender<Option<Instant>>>,
}

pub fn lease(terms: Terms) -> (LeaseClock, Lease) {
    let (sender, renewed) = watch::channel(None);
    (
        LeaseClock { renewed: Arc::new(sender) },
        Lease {
            trusted_for: terms.trusted_for,
            renewed,
        },
    )
}

impl LeaseClock {
    /// The database confirmed the lease in answer to a question asked at `asked`.
    pub fn confirmed(&self, asked: Instant) {
        self.renewed.send_modify(|renewed| *renewed = (*renewed).max(Some(asked)));
    }

    /// As [`LeaseClock::confirmed`], but only while the lease is trusted anyway.
    fn prolonged(&self, asked: Instant, trusted_for: Duration) {
        self.renewed.send_if_modified(|renewed| {
            let trusted = renewed.is_some_and(|renewed| renewed.elapsed() < trusted_for);
            if trusted {
                *renewed = (*renewed).max(Some(asked));
            }
            trusted
        });
    }

    pub fn lost(&self) {
        self.renewed.send_replace(None);
    }
}

impl Lease {
    /// False when another executor may already have our runs.
    pub fn trusted(&self) -> bool {
        self.renewed.borrow().is_some_and(|renewed| renewed.elapsed() < self.trusted_for)
    }

    /// Returns when the lease has been renewed or lost since the last look.
    pub async fn changed(&mut self) {
        if self.renewed.changed().await.is_err() {
            // The process is ending; nothing will renew again.
            std::future::pending::<()>().await;
        }
    }
}

/// Renews until shutdown and hands every answer to `answers`. A failed renewal is simply tried again.
pub async fn keep(terms: Terms, ledger: Arc<dyn Ledger>, owner: Uuid, clock: LeaseClock, answers: mpsc::Sender<Renewal>, shutdown: Shutdown) {
    let mut failing = false;
    let mut ticks = tokio::time::interval(terms.renew_every);
    ticks.set_missed_tick_behavior(tokio::time::MissedTickBehavior::Delay);
    loop {
        tokio::select! {
            _ = ticks.tick() => {}
            () = shutdown.cancelled() => return,
        }
        let asked = Instant::now();
        match tokio::time::timeout(terms.renew_within, ledger.renew(owner)).await {
            Ok(Ok(outcome)) => {
                if failing {
                    tracing::info!("the lease is renewed again");
                }
                failing = false;
                // After a pause it is for the intake to say, which knows what this process holds.
                if outcome.alive {
                    clock.prolonged(asked, terms.trusted_for);
                }
                let renewal = Renewal {
                    asked,
                    alive: outcome.alive,
                    cancelled: outcome.cancelled,
                    news: outcome.news,
                    owned: outcome.owned,
                };
                if answers.send(renewal).await.is_err() {
                    return;
                }
            }
            Ok(Err(error)) if !failing => {
                failing = true;
                tracing::warn!(%error, "the lease cannot be renewed");
            }
            Err(_) if !failing => {
                failing = true;
                tracing::warn!("the lease cannot be renewed: no answer in time");
            }
            Ok(Err(_)) | Err(_) => ticks.reset_after(terms.renew_every / 4),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test(start_paused = true)]
    async fn a_lease_that_was_out_of_trust_is_not_simply_prolonged() {
        let terms = Terms::of(Duration::from_secs(15));
        let (clock, lease) = lease(terms);
        clock.confirmed(Instant::now());
        tokio::time::advance(Duration::from_secs(9)).await;
        clock.prolonged(Instant::now(), terms.trusted_for);
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(lease.trusted());
        tokio::time::advance(Duration::from_secs(2)).await;
        clock.prolonged(Instant::now(), terms.trusted_for);
        assert!(!lease.trusted());
        clock.confirmed(Instant::now());
        assert!(lease.trusted());
    }

    #[tokio::test(start_paused = true)]
    async fn the_lease_is_trusted_for_ten_seconds_after_the_question() {
        let (clock, mut lease) = lease(Terms::of(Duration::from_secs(15)));
        assert!(!lease.trusted());
        clock.confirmed(Instant::now());
        lease.changed().await;
        tokio::time::advance(Duration::from_secs(9)).await;
        assert!(lease.trusted());
        tokio::time::advance(Duration::from_secs(1)).await;
        assert!(!lease.trusted());
        clock.confirmed(Instant::now());
        assert!(lease.trusted());
        clock.lost();
        assert!(!lease.trusted());
    }
}
