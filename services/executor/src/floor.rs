//! The runs that this process works on, and how each is reached.

use std::collections::{HashMap, HashSet};
use std::future::Future;

use model::{GraphExecId, HeldRun};
use tokio::task::{Id, JoinSet};
use tokio::time::Instant;

use crate::shift::Shifted;
use crate::task::Control;

#[derive(Default)]
pub struct Floor {
    tasks: JoinSet<Shifted>,
    /// By task and not by run: for a moment two tasks may have the same run, under an old epoch and a new one.
    runs: HashMap<Id, At>,
}

/// A run at work.
struct At {
    held: HeldRun,
    control: Control,
    since: Instant,
}

impl Floor {
    /// Tasks at work: the slots that are taken.
    pub fn len(&self) -> usize {
        self.runs.len()
    }

    pub fn has(&self, held: HeldRun) -> bool {
        self.runs.values().any(|at| at.held == held)
    }

    pub fn add(&mut self, held: HeldRun, control: Control, work: impl Future<Output = Shifted> + Send + 'static) {
        // Claimed again under a new epoch: what was done under the old one is void.
        self.of(held.graph_exec_id).for_each(|former| former.lost.cancel());
        let task = self.tasks.spawn(work);
        let since = Instant::now();
        self.runs.insert(task.id(), At { held, control, since });
    }

    /// The next task that ends, with nothing when it panicked. `None` when there is no task.
    pub async fn ended(&mut self) -> Option<(HeldRun, Option<Shifted>)> {
        let (task, shifted) = match self.tasks.join_next_with_id().await? {
            Ok((task, shifted)) => (task, Some(shifted)),
            Err(error) => {
                tracing::error!(%error, "the task of a run ended abnormally");
                (error.id(), None)
            }
        };
        self.runs.remove(&task).map(|at| (at.held, shifted))
    }

    pub fn cancel(&self, run: GraphExecId) {
        self.of(run).for_each(|control| control.cancel.cancel());
    }

    pub fn tell_news(&self, run: GraphExecId, news: i64) {
        self.of(run).for_each(|control| {
            control.news.send_if_modified(|known| std::mem::replace(known, news.max(*known)) < news);
        });
    }

    pub fn each(&self, action: impl Fn(&Control)) {
        self.runs.values().for_each(|at| action(&at.control));
    }

    /// What was here before `asked` and is not among `owned` belongs to somebody else, or to nobody.
    pub fn lose_others(&self, owned: &HashSet<HeldRun>, asked: Instant) {
        let lost = self.runs.values().filter(|at| at.since < asked && !owned.contains(&at.held));
        lost.for_each(|at| at.control.lost.cancel());
    }

    fn of(&self, run: GraphExecId) -> impl Iterator<Item = &Control> {
        self.runs.values().filter(move |at| at.held.graph_exec_id == run).map(|at| &at.control)
    }
}
