//! Follows the runs of each platform by one long poll, and looks at those that are RUNNING in turn: what their nodes do is no change of status.
//!
//! The stream is read from where it is when the follower starts. Whatever somebody waits for is asked for by its key after that: however many
//! runs the platform has had, it costs what is under way. A run that is waited for later is told by the stream, unless it may be older.

use std::collections::HashMap;
use std::pin::pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use ::runtime::Shutdown;
use ::runtime::retry::Backoff;
use crds::{AutoGPTPlatform, GraphExecution};
use kube::ResourceExt;
use kube::runtime::reflector::{ObjectRef, Store};
use model::GraphExecId;
use model::progress::{ProgressCursor, RunProgress};
use rpc::RpcError;
use rpc::services::{Scheduler, SchedulerClient};
use tokio::sync::{mpsc, watch};

use crate::execution::board::Board;
use crate::execution::scheduler::Ways;
use crate::runtime::cache::Cache;
use crate::runtime::kept::Kept;

/// The server answers at least so often.
const WAIT: Duration = Duration::from_secs(20);
/// An answer that takes longer than the wait by so much is lost.
const SLACK: Duration = Duration::from_secs(15);
/// Runs in one answer.
const PAGE: u32 = 200;
/// Keys in one question.
const KEYS: usize = 200;
/// Running runs are looked at so often,
const LOOK: Duration = Duration::from_secs(1);
/// so many of a platform at once: that bounds the status writes of runs under way, however many there are.
const LOOKS: usize = 50;
/// A look that takes longer is given up; the next one is soon.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);

/// The followers of all platforms of one namespace.
pub struct Followers {
    board: Arc<Board>,
    ways: Ways,
    executions: Store<Kept<GraphExecution>>,
    platforms: Cache<AutoGPTPlatform>,
    changed: mpsc::Sender<ObjectRef<GraphExecution>>,
    stop: Shutdown,
    /// By UID of the platform.
    running: Mutex<HashMap<String, Handle>>,
}

/// What others may want from a follower.
struct Handle {
    /// Counts the wishes to ask for something.
    wake: watch::Sender<u64>,
}

impl Followers {
    pub fn new(
        board: Arc<Board>,
        ways: Ways,
        executions: Store<Kept<GraphExecution>>,
        platforms: Cache<AutoGPTPlatform>,
        changed: mpsc::Sender<ObjectRef<GraphExecution>>,
        stop: Shutdown,
    ) -> Arc<Self> {
        Arc::new(Self {
            board,
            ways,
            executions,
            platforms,
            changed,
            stop,
            running: Mutex::default(),
        })
    }

    /// Follows a platform from now on, if it is not followed already.
    pub fn follow(self: &Arc<Self>, platform: &AutoGPTPlatform) {
        let Some(uid) = platform.uid() else { return };
        self.locked(|running| {
            running.retain(|_, handle| handle.wake.receiver_count() > 0);
            running.entry(uid).or_insert_with(|| {
                let (wake, wakes) = watch::channel(0);
                let follower = Follower {
                    followers: self.clone(),
                    platform: ObjectRef::from_obj(platform),
                    uid: platform.uid(),
                };
                // What a follower before it was told does not count.
                self.board.want_all(&follower.platform);
                tokio::spawn(follower.run(wakes));
                Handle { wake }
            });
        });
    }

    /// Asks the platform for a run that may be older than somebody's waiting for it.
    pub fn ask(&self, platform: &AutoGPTPlatform, execution: &GraphExecution) {
        self.board.want(execution);
        let uid = platform.uid().unwrap_or_default();
        self.locked(|running| {
            if let Some(handle) = running.get(&uid) {
                handle.wake.send_modify(|count| *count = count.wrapping_add(1));
            }
        });
    }

    fn locked<T>(&self, use_running: impl FnOnce(&mut HashMap<String, Handle>) -> T) -> T {
        use_running(&mut self.running.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

struct Follower {
    followers: Arc<Followers>,
    platform: ObjectRef<AutoGPTPlatform>,
    uid: Option<String>,
}

impl Follower {
    /// Ends with the operator's leadership or with the platform.
    async fn run(self, wakes: watch::Receiver<u64>) {
        tokio::select! {
            () = self.follow(wakes) => {}
            () = self.look() => {}
        }
    }

    /// Looks at the runs that are RUNNING, in turn. What goes wrong is told by those who follow.
    async fn look(&self) {
        let mut last = GraphExecId::nil();
        loop {
            tokio::time::sleep(LOOK).await;
            let ids = self.followers.board.running(&self.platform, last, LOOKS);
            let (Some(newest), Some(platform)) = (ids.last().copied(), self.present()) else {
                continue;
            };
            last = newest;
            let Ok(client) = self.followers.ways.to(&platform).await else { continue };
            if let Ok(Ok(runs)) = tokio::time::timeout(LOOK_TIMEOUT, client.get_progress_of(ids)).await {
                self.note(runs).await;
            }
        }
    }

    async fn note(&self, runs: Vec<RunProgress>) {
        for run in runs {
            if let Some(object) = self.followers.board.note(run) {
                // The reader is gone only when everything ends.
                let _ = self.followers.changed.send(object).await;
            }
        }
    }

    /// The platform answers again: whoever could not be submitted need not wait longer.
    async fn wake_waiting(&self) {
        for row in self.followers.executions.state() {
            if *row.facts.platform == *self.platform.name && row.facts.is_waiting() {
                let object = ObjectRef::new(&row.name_any()).within(&row.namespace().unwrap_or_default());
                let _ = self.followers.changed.send(object).await;
            }
        }
    }

    async fn follow(&self, mut wakes: watch::Receiver<u64>) {
        let stop = self.followers.stop.clone();
        // Whoever waits for a run must be on the board before the first question. The controller's own store is complete
        // before the first look, and looks are what starts followers.
        for row in self.followers.executions.state() {
            if row.facts.over || *row.facts.platform != *self.platform.name {
                continue;
            }
            match row.open() {
                Ok(execution) => {
                    self.followers.board.expect(&execution);
                }
                Err(error) => tracing::error!(execution = %row.name_any(), %error, "its progress may go by unseen"),
            }
        }
        self.followers.board.want_all(&self.platform);
        let mut backoff = Backoff::new(Duration::from_millis(250), Duration::from_secs(5));
        let mut cursor: Option<ProgressCursor> = None;
        while let Some(platform) = self.present() {
            let reading = self.read(&platform, &mut cursor, &mut wakes, &mut backoff);
            tokio::select! {
                outcome = reading => {
                    if let Err(why) = outcome {
                        if backoff.attempts() == 0 {
                            tracing::warn!(platform = %self.platform.name, why, "progress of runs cannot be followed; trying again");
                        }
                        let wait = backoff.next_delay();
                        tokio::select! {
                            () = tokio::time::sleep(wait) => {}
                            () = stop.cancelled() => return,
                        }
                    }
                }
                () = stop.cancelled() => return,
            }
        }
    }

    fn present(&self) -> Option<Arc<AutoGPTPlatform>> {
        let platform = self.followers.platforms.get(&self.platform)?;
        (platform.uid() == self.uid && platform.metadata.deletion_timestamp.is_none()).then_some(platform)
    }

    /// Reads page after page with one client, until something fails or the platform is gone.
    async fn read(
        &self,
        platform: &AutoGPTPlatform,
        cursor: &mut Option<ProgressCursor>,
        wakes: &mut watch::Receiver<u64>,
        backoff: &mut Backoff,
    ) -> Result<(), String> {
        let client = self.followers.ways.to(platform).await.map_err(|error| error.to_string())?;
        while self.present().is_some() {
            // The position comes first: what changes after it is told by the stream, what changed before by the answers.
            let from = match cursor.clone() {
                Some(cursor) => cursor,
                None => cursor.insert(answer(SLACK, client.get_progress_cursor()).await?).clone(),
            };
            wakes.mark_unchanged();
            self.ask(&client).await?;
            // A platform that was away is known to be back at once.
            let wait = if backoff.attempts() > 0 { Duration::ZERO } else { WAIT };
            let millis = u64::try_from(wait.as_millis()).unwrap_or_default();
            let mut page = pin!(answer(wait + SLACK, client.get_execution_progress(Some(from), millis, PAGE)));
            let page = loop {
                tokio::select! {
                    page = &mut page => break page?,
                    Ok(()) = wakes.changed() => self.ask(&client).await?,
                }
            };
            if backoff.attempts() > 0 {
                tracing::info!(platform = %self.platform.name, "progress of runs is followed again");
                backoff.reset();
                self.wake_waiting().await;
            }
            self.note(page.runs).await;
            *cursor = Some(page.cursor);
        }
        Ok(())
    }

    /// Asks for what somebody wants to know, until there is nothing of that.
    async fn ask(&self, client: &SchedulerClient) -> Result<(), String> {
        loop {
            let keys = self.followers.board.questions(&self.platform, KEYS);
            if keys.is_empty() {
                return Ok(());
            }
            let runs = answer(SLACK, client.get_progress_by_keys(keys.clone())).await?;
            self.note(runs).await;
            self.followers.board.answered(&keys);
        }
    }
}

/// One answer of the scheduler service, or why there is none.
async fn answer<T>(within: Duration, call: impl Future<Output = Result<T, RpcError>>) -> Result<T, String> {
    tokio::time::timeout(within, call)
        .await
        .map_err(|_| "no answer".to_owned())?
        .map_err(|error| error.to_string())
}
