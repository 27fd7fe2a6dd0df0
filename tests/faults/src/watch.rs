//! Looks at the runs that are not over, all the time, and notes for how long each stood still.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use sqlx::Row;
use sqlx::postgres::PgPool;
use tokio_util::task::AbortOnDropHandle;
use uuid::Uuid;

use crate::Result;

const BETWEEN_LOOKS: Duration = Duration::from_millis(250);
/// Beyond its lease a run may stand still for so long.
const PATIENCE: Duration = Duration::from_secs(20);

/// Runs that somebody is working on, or should. A run in REVIEW waits for a person; one that waits for its children or for the
/// end of a backoff may stand still.
const LIVE: &str = "SELECT id, status, lease_epoch, journal_seq, suspended_at IS NOT NULL OR not_before IS NOT NULL AS waits
     FROM graph_executions WHERE status IN ('INCOMPLETE', 'QUEUED', 'RUNNING')";

/// What shows that a run moves.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Position {
    status: String,
    epoch: i64,
    seq: i64,
    /// It has a named reason to stand still.
    waits: bool,
}

#[derive(Debug)]
struct Track {
    position: Position,
    since: Instant,
}

#[derive(Debug, Default)]
struct Seen {
    tracks: HashMap<Uuid, Track>,
    worst: Duration,
    stuck: BTreeSet<Uuid>,
    live: usize,
    moved: Option<Instant>,
    looks: u64,
}

impl Seen {
    /// Takes in one look at all live runs.
    fn look(&mut self, now: Instant, live: impl Iterator<Item = (Uuid, Position)>, limit: Duration) {
        let mut before = std::mem::take(&mut self.tracks);
        let mut moved = false;
        for (id, position) in live {
            let track = match before.remove(&id) {
                Some(track) if track.position == position => track,
                former => {
                    moved = true;
                    if let Some(track) = former {
                        self.stood_still(id, &track, now, limit);
                    }
                    Track { position, since: now }
                }
            };
            self.stood_still(id, &track, now, limit);
            self.tracks.insert(id, track);
        }
        for (id, track) in before {
            moved = true;
            self.stood_still(id, &track, now, limit);
        }
        self.live = self.tracks.len();
        self.looks += 1;
        if moved || self.moved.is_none() {
            self.moved = Some(now);
        }
    }

    /// A run that nobody has begun may wait for its turn.
    fn stood_still(&mut self, id: Uuid, track: &Track, now: Instant, limit: Duration) {
        if track.position.epoch > 0 && !track.position.waits {
            let still = now.duration_since(track.since);
            self.worst = self.worst.max(still);
            if still > limit {
                self.stuck.insert(id);
            }
        }
    }
}

/// The watch over one platform.
pub struct Watch {
    seen: Arc<Mutex<Seen>>,
    limit: Duration,
    _task: AbortOnDropHandle<()>,
}

/// What the watch has seen in the end.
#[derive(Debug, Clone)]
pub struct Standstill {
    pub worst: Duration,
    pub stuck: BTreeSet<Uuid>,
}

impl Watch {
    /// `outage`: for how long the case takes the database itself away.
    pub fn start(platform: PgPool, lease: Duration, outage: Duration) -> Self {
        let seen = Arc::new(Mutex::new(Seen::default()));
        let limit = lease + PATIENCE + outage;
        let task = tokio::spawn(watch(platform, seen.clone(), limit));
        Self {
            seen,
            limit,
            _task: AbortOnDropHandle::new(task),
        }
    }

    /// Runs that are not over and wait for nobody.
    pub fn live(&self) -> usize {
        lock(&self.seen).live
    }

    /// Waits until no run is live, or until nothing has moved for as long as anything may stand still. Then what is live is stuck.
    ///
    /// # Errors
    /// When the database does not answer any more.
    pub async fn settle(&self) -> Result<Standstill> {
        let begun = (Instant::now(), lock(&self.seen).looks);
        loop {
            tokio::time::sleep(BETWEEN_LOOKS).await;
            let now = Instant::now();
            let mut seen = lock(&self.seen);
            // Two looks that began after this call.
            let fresh = seen.looks >= begun.1 + 2;
            let still = seen.moved.map_or(Duration::ZERO, |moved| now.duration_since(moved.max(begun.0)));
            let given_up = still > self.limit + PATIENCE;
            if given_up && !fresh {
                return Err("the platform's database did not answer while the runs were waited for".into());
            }
            if (fresh && seen.live == 0) || given_up {
                let left: Vec<Uuid> = seen.tracks.keys().copied().collect();
                seen.stuck.extend(left);
                return Ok(Standstill {
                    worst: seen.worst,
                    stuck: seen.stuck.clone(),
                });
            }
        }
    }
}

async fn watch(platform: PgPool, seen: Arc<Mutex<Seen>>, limit: Duration) {
    loop {
        // While the database is away nobody can look, and the time counts.
        if let Ok(rows) = sqlx::query(LIVE).fetch_all(&platform).await {
            let live = rows.iter().filter_map(|row| {
                let position = Position {
                    status: row.try_get("status").ok()?,
                    epoch: row.try_get("lease_epoch").ok()?,
                    seq: row.try_get("journal_seq").ok()?,
                    waits: row.try_get("waits").ok()?,
                };
                Some((row.try_get("id").ok()?, position))
            });
            lock(&seen).look(Instant::now(), live, limit);
        }
        tokio::time::sleep(BETWEEN_LOOKS).await;
    }
}

fn lock(seen: &Mutex<Seen>) -> MutexGuard<'_, Seen> {
    seen.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(10);

    fn at(epoch: i64, seq: i64) -> Position {
        Position {
            status: "RUNNING".to_owned(),
            epoch,
            seq,
            waits: false,
        }
    }

    #[test]
    fn the_longest_standstill_of_a_begun_run_is_kept() {
        let (mut seen, begin, id) = (Seen::default(), Instant::now(), Uuid::from_u128(1));
        let mut look = |seconds: u64, live: Vec<(Uuid, Position)>| {
            seen.look(begin + Duration::from_secs(seconds), live.into_iter(), LIMIT);
            (seen.worst.as_secs(), seen.stuck.len(), seen.live)
        };
        assert_eq!(look(0, vec![(id, at(0, 0))]), (0, 0, 1));
        assert_eq!(look(30, vec![(id, at(0, 0))]), (0, 0, 1), "it waits for its turn");
        assert_eq!(look(31, vec![(id, at(1, 0))]), (0, 0, 1));
        assert_eq!(look(36, vec![(id, at(1, 0))]), (5, 0, 1));
        assert_eq!(look(38, vec![(id, at(2, 0))]), (7, 0, 1));
        assert_eq!(look(39, vec![]), (7, 0, 0));
    }

    #[test]
    fn a_run_that_stands_still_too_long_is_stuck_even_when_it_ends() {
        let (mut seen, begin, id) = (Seen::default(), Instant::now(), Uuid::from_u128(1));
        seen.look(begin, [(id, at(1, 3))].into_iter(), LIMIT);
        seen.look(begin + LIMIT + Duration::from_secs(1), std::iter::empty(), LIMIT);
        assert_eq!(seen.stuck.len(), 1);
    }
}
