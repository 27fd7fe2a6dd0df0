//! The progress of submitted runs as a long poll (design §5, Execution): answered from Postgres, woken by Redis.

use std::sync::Arc;
use std::time::Duration;

use blocks::Registry;
use bus::events::{Channels, Subscriber};
use engine::block::BlockCatalog;
use model::GraphExecId;
use model::progress::{ProgressCursor, ProgressPage, RunProgress};
use runtime::{Settings, Shutdown};
use store::{IoBlocks, Store};
use tokio::sync::watch;
use tokio::time::{Instant, sleep_until};

use crate::metrics::SchedulerMetrics;

/// Hints may be lost, and Redis may be away: a waiting reader looks for itself this often.
const LOOK_AGAIN: Duration = Duration::from_millis(250);
/// However many hints come, a reader looks no more often than this.
const AT_MOST_EVERY: Duration = Duration::from_millis(10);
/// Well below what any proxy or client waits for.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
const LARGEST_PAGE: u32 = 1000;
/// Runs that one call may ask about.
pub const MOST_RUNS: usize = 1000;

#[derive(Clone)]
pub struct Progress {
    store: Store,
    catalog: Arc<Registry>,
    blocks: IoBlocks,
    metrics: SchedulerMetrics,
    hint: watch::Receiver<()>,
    shutdown: Shutdown,
}

impl Progress {
    /// Starts the task that listens for hints.
    pub fn start(
        store: Store,
        catalog: Arc<Registry>,
        blocks: IoBlocks,
        metrics: SchedulerMetrics,
        settings: &Settings,
        shutdown: &Shutdown,
    ) -> Self {
        let (sender, hint) = watch::channel(());
        let subscriber = Subscriber::start(settings, shutdown);
        let channel = Channels::new(settings).progress();
        let ended = shutdown.clone();
        tokio::spawn(async move {
            let forward = async {
                let mut subscription = subscriber.subscribe(channel).await;
                loop {
                    // A gap is a hint as well: something may have happened.
                    subscription.next().await;
                    sender.send_replace(());
                }
            };
            tokio::select! {
                () = forward => {}
                () = ended.cancelled() => {}
            }
        });
        Self {
            store,
            catalog,
            blocks,
            metrics,
            hint,
            shutdown: shutdown.clone(),
        }
    }

    /// Where the stream is now.
    pub async fn cursor(&self) -> store::Result<ProgressCursor> {
        self.store.progress_cursor().await
    }

    /// The present state of the runs with these keys.
    pub async fn by_keys(&self, keys: &[String]) -> store::Result<Vec<RunProgress>> {
        let runs = self.store.progress_by_keys(keys, &self.blocks).await?;
        self.metrics.told_by_key.inc_by(number(&runs));
        Ok(runs)
    }

    /// The present state of these runs, and what those under way have to show.
    pub async fn of(&self, graph_exec_ids: &[GraphExecId]) -> store::Result<Vec<RunProgress>> {
        let asked = graph_exec_ids.get(..MOST_RUNS).unwrap_or(graph_exec_ids);
        let mut runs = self.store.progress_of(asked, &self.blocks).await?;
        for node in runs.iter_mut().filter_map(|run| run.look.as_mut()).flat_map(|look| &mut look.nodes) {
            if node.name.is_none() {
                node.name = self.catalog.block(node.block_id).map(|block| block.name.to_owned());
            }
        }
        Ok(runs)
    }

    /// At once when something changed after the cursor, otherwise when something does, at the latest after `wait`.
    pub async fn after(&self, cursor: &ProgressCursor, wait: Duration, limit: u32) -> store::Result<ProgressPage> {
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        let limit = limit.clamp(1, LARGEST_PAGE);
        let mut hint = self.hint.clone();
        loop {
            hint.mark_unchanged();
            let page = self.store.progress_after(cursor, limit, &self.blocks).await?;
            let now = Instant::now();
            if !page.runs.is_empty() || now >= deadline || self.shutdown.is_cancelled() {
                self.metrics.streamed.inc_by(number(&page.runs));
                return Ok(page);
            }
            tokio::select! {
                () = sleep_until(deadline.min(now + LOOK_AGAIN)) => {}
                () = hinted(&mut hint) => sleep_until(deadline.min(now + AT_MOST_EVERY)).await,
                () = self.shutdown.cancelled() => {}
            }
        }
    }
}

fn number(runs: &[RunProgress]) -> u64 {
    u64::try_from(runs.len()).unwrap_or_default()
}

async fn hinted(hint: &mut watch::Receiver<()>) {
    if hint.changed().await.is_err() {
        // The listener has ended, as the shutdown has begun.
        std::future::pending::<()>().await;
    }
}
