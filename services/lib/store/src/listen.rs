//! The nudge from submitters to the relay. It travels beside the transactions, never inside one: a committing NOTIFY takes a lock of the
//! whole database and ends group commit (design §6.1). A lost nudge costs a second, as the relay also looks by itself.

use std::sync::Arc;
use std::time::Duration;

use sqlx::postgres::{PgConnectOptions, PgListener, PgPoolOptions};
use sqlx::{ConnectOptions, PgConnection};
use tokio::sync::Notify;

use crate::{Result, Store};

const CHANNEL: &str = "autogpt_outbox";
/// However many runs are accepted, the relay is told this often at most.
const QUIET: Duration = Duration::from_millis(2);
const RECONNECT_AFTER: Duration = Duration::from_secs(1);

/// Tells the relay that the outbox has new rows. Clones share one connection; the last one dropped closes it.
#[derive(Clone)]
pub struct OutboxNotifier {
    task: Arc<NotifierTask>,
}

struct NotifierTask {
    wake: Arc<Notify>,
    handle: tokio::task::JoinHandle<()>,
}

impl Drop for NotifierTask {
    fn drop(&mut self) {
        self.handle.abort();
    }
}

impl OutboxNotifier {
    /// To be called after the commit. Never waits and never fails.
    pub fn wake(&self) {
        self.task.wake.notify_one();
    }
}

impl Store {
    /// The same one for all clones of the store. The first call starts the task that owns the connection, and needs a tokio runtime.
    pub fn outbox_notifier(&self) -> OutboxNotifier {
        let start = || {
            let wake = Arc::new(Notify::new());
            let handle = tokio::spawn(notify_when_woken(self.options.clone(), wake.clone()));
            OutboxNotifier {
                task: Arc::new(NotifierTask { wake, handle }),
            }
        };
        self.notifier.get_or_init(start).clone()
    }

    /// Hears every nudge from now on.
    pub async fn listen_outbox(&self) -> Result<OutboxListener> {
        // A pool of its own: the connection is held for ever and must not count against the callers'.
        let pool = PgPoolOptions::new()
            .max_connections(1)
            .acquire_timeout(Duration::from_secs(5))
            .connect_lazy_with(self.options.as_ref().clone());
        let mut listener = PgListener::connect_with(&pool).await.map_err(|error| self.explain(error))?;
        listener.listen(CHANNEL).await?;
        Ok(OutboxListener { listener })
    }
}

async fn notify_when_woken(options: Arc<PgConnectOptions>, wake: Arc<Notify>) {
    let mut connection: Option<PgConnection> = None;
    loop {
        wake.notified().await;
        if connection.is_none() {
            connection = options.connect().await.ok();
        }
        let told = match &mut connection {
            Some(connection) => sqlx::query("SELECT pg_notify($1, '')").bind(CHANNEL).execute(connection).await.is_ok(),
            None => false,
        };
        if told {
            tokio::time::sleep(QUIET).await;
        } else {
            connection = None;
            tokio::time::sleep(RECONNECT_AFTER).await;
        }
    }
}

/// The relay's end of the nudge.
pub struct OutboxListener {
    listener: PgListener,
}

impl OutboxListener {
    /// Returns when there may be something to do: after a nudge, or after a connection that was lost came back.
    pub async fn heard(&mut self) -> Result<()> {
        self.listener.try_recv().await?;
        Ok(())
    }
}
