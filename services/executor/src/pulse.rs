//! Keeps the timers and sockets of the process alive beside a block that never yields.
//!
//! A block that computes without ever awaiting keeps its worker thread, and nothing can stop it but the end of the process: its run ends
//! at the time limit of the node and its thread is lost. That alone is bearable. But the thread that watches sockets and timers is an
//! ordinary worker: when just that one begins such a block while the others sleep, nobody watches any more, and no time limit fires. A
//! thread of its own that wakes a sleeping worker now and then makes sure that one takes over the watch.
//!
//! When every worker is lost in such a block, the process is deaf: its liveness probe fails, its lease runs out, other executors take the
//! runs over, and a run that does it to each of them ends on the dead list.

use std::sync::Arc;
use std::time::Duration;

use tokio::runtime::Handle;

const EVERY: Duration = Duration::from_millis(250);

/// Ends the thread when it is dropped.
pub struct Pulse {
    _alive: Arc<()>,
}

impl Pulse {
    /// Needs to be called within the runtime that is to be kept alive.
    pub fn start() -> std::io::Result<Self> {
        let runtime = Handle::current();
        let alive = Arc::new(());
        let watched = Arc::downgrade(&alive);
        std::thread::Builder::new().name("pulse".to_owned()).stack_size(64 << 10).spawn(move || {
            while watched.strong_count() > 0 {
                runtime.spawn(async {});
                std::thread::sleep(EVERY);
            }
        })?;
        Ok(Self { _alive: alive })
    }
}
