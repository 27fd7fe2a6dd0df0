//! Runs that arrive together are written together: one transaction and one flush for all of them, as the flush is what a submission waits
//! for and most of what it costs.
//!
//! While a transaction is on its way the runs that arrive gather and go with the next one, so a lone run waits for nobody.

use std::sync::Arc;
use std::time::Duration;

use store::{Accepted, Error, OutboxNotifier, PackedRun, Store};
use tokio::sync::{Mutex, mpsc, oneshot};

/// Runs that may wait to be written before their callers wait for room.
const QUEUE: usize = 1024;
/// Transactions on the way at the same time: one is committed while the next is made.
const LANES: usize = 2;
/// A transaction does not wait longer for a lock. Somebody who deletes a graph with all its runs holds up those who submit runs of that graph,
/// and nobody else.
const PATIENCE: Duration = Duration::from_millis(200);
/// Most runs of one transaction.
const RUNS_PER_COMMIT: usize = 256;
/// A run of more bytes gets a transaction of its own: it shares little, and others would wait for it. Together with [`RUNS_PER_COMMIT`] this
/// bounds a statement to 16 MiB.
const LARGE: usize = 64 << 10;

/// The way to the writers.
#[derive(Clone)]
pub struct Intake {
    store: Store,
    notifier: OutboxNotifier,
    requests: mpsc::Sender<Request>,
}

struct Request {
    run: PackedRun,
    reply: oneshot::Sender<Result<Accepted, Error>>,
}

impl Intake {
    /// Starts the writers, which end when every `Intake` is gone.
    pub fn start(store: Store) -> Self {
        let (requests, queue) = mpsc::channel(QUEUE);
        let queue = Arc::new(Mutex::new(queue));
        let notifier = store.outbox_notifier();
        for _ in 0..LANES {
            tokio::spawn(write(store.clone(), notifier.clone(), Arc::clone(&queue)));
        }
        Self { store, notifier, requests }
    }

    /// Durable when this returns, and the relay has been told. A caller that goes away before its run is on the way has not submitted it;
    /// afterwards he has.
    pub async fn accept(&self, run: PackedRun) -> Result<Accepted, Error> {
        if run.has_journal() || run.bytes() > LARGE {
            let accepted = self.store.accept_packed(&run).await;
            tell(&self.notifier, std::slice::from_ref(&accepted));
            return accepted;
        }
        let (reply, answer) = oneshot::channel();
        self.requests.send(Request { run, reply }).await.map_err(|_| ended())?;
        answer.await.map_err(|_| ended())?
    }
}

async fn write(store: Store, notifier: OutboxNotifier, queue: Arc<Mutex<mpsc::Receiver<Request>>>) {
    let mut waiting = Vec::with_capacity(RUNS_PER_COMMIT);
    while queue.lock().await.recv_many(&mut waiting, RUNS_PER_COMMIT).await > 0 {
        let (runs, replies): (Vec<PackedRun>, Vec<_>) = waiting
            .drain(..)
            .filter(|request| !request.reply.is_closed())
            .map(|request| (request.run, request.reply))
            .unzip();
        let answers = store.accept_runs(&runs.iter().collect::<Vec<_>>(), PATIENCE).await;
        // Here and not by the callers: they may have gone away meanwhile.
        tell(&notifier, &answers);
        for ((run, reply), answer) in runs.into_iter().zip(replies).zip(answers) {
            if matches!(answer, Err(Error::Locked(_))) {
                tokio::spawn(write_alone(store.clone(), notifier.clone(), Request { run, reply }));
            } else {
                let _ = reply.send(answer);
            }
        }
    }
}

/// However long it takes.
async fn write_alone(store: Store, notifier: OutboxNotifier, Request { run, reply }: Request) {
    let answer = store.accept_packed(&run).await;
    tell(&notifier, std::slice::from_ref(&answer));
    let _ = reply.send(answer);
}

fn tell(notifier: &OutboxNotifier, answers: &[Result<Accepted, Error>]) {
    if answers.iter().flatten().any(|accepted| accepted.created) {
        notifier.wake();
    }
}

fn ended() -> Error {
    Error::Unavailable {
        target: "the configured address".to_owned(),
        reason: "this process is shutting down".to_owned(),
    }
}
