//! One heap of due times for all schedules, in one task.
//!
//! Due times are wall-clock times, so the wall clock is read again at least every few seconds: a clock that is set, or a
//! machine that slept, is noticed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use futures::Stream;
use tokio::sync::{Notify, mpsc};

/// The wall clock is read at least so often.
const LOOK: Duration = Duration::from_secs(5);
/// Due schedules that the controller has not taken yet; more wait in the heap.
const QUEUE: usize = 1024;

/// A handle on the heap of one namespace. Cheap to clone.
#[derive(Clone, Default)]
pub struct Timers {
    heap: Arc<Mutex<Heap>>,
    changed: Arc<Notify>,
}

/// By name of the schedule.
#[derive(Default)]
struct Heap {
    order: BTreeSet<(DateTime<Utc>, Arc<str>)>,
    due: HashMap<Arc<str>, DateTime<Utc>>,
}

impl Heap {
    fn set(&mut self, name: &str, due: Option<DateTime<Utc>>) {
        let known = self.due.remove_entry(name);
        let name = match known {
            Some((name, before)) => {
                self.order.remove(&(before, name.clone()));
                name
            }
            None => name.into(),
        };
        if let Some(due) = due {
            self.order.insert((due, name.clone()));
            self.due.insert(name, due);
        }
    }

    fn pop_due(&mut self, now: DateTime<Utc>) -> Option<Arc<str>> {
        if self.order.first()?.0 > now {
            return None;
        }
        let (_, name) = self.order.pop_first()?;
        self.due.remove(&name);
        Some(name)
    }
}

impl Timers {
    /// Arms a schedule anew; `None` disarms it.
    pub fn set(&self, name: &str, due: Option<DateTime<Utc>>) {
        self.locked(|heap| heap.set(name, due));
        self.changed.notify_one();
    }

    /// The schedules as they become due, by name.
    pub fn stream(&self) -> impl Stream<Item = Arc<str>> + Send + 'static {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let timers = self.clone();
        // The task ends with its reader.
        tokio::spawn(async move {
            loop {
                while let Some(name) = timers.locked(|heap| heap.pop_due(Utc::now())) {
                    if sender.send(name).await.is_err() {
                        return;
                    }
                }
                let next = timers.locked(|heap| heap.order.first().map(|(due, _)| *due));
                let wait = next.map_or(LOOK, |due| (due - Utc::now()).to_std().unwrap_or_default().min(LOOK));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = timers.changed.notified() => {}
                    () = sender.closed() => return,
                }
            }
        });
        futures::stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|name| (name, receiver)))
    }

    fn locked<T>(&self, use_heap: impl FnOnce(&mut Heap) -> T) -> T {
        use_heap(&mut self.heap.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use chrono::TimeDelta;
    use futures::StreamExt;

    #[tokio::test]
    async fn schedules_come_when_they_are_due_in_order_of_time() {
        let timers = Timers::default();
        let now = Utc::now();
        timers.set("later", Some(now + TimeDelta::milliseconds(150)));
        timers.set("gone", Some(now + TimeDelta::milliseconds(50)));
        timers.set("sooner", Some(now + TimeDelta::milliseconds(100)));
        timers.set("gone", None);
        let mut due = Box::pin(timers.stream());
        assert_eq!(due.next().await.as_deref(), Some("sooner"));
        assert!(Utc::now() >= now + TimeDelta::milliseconds(100));
        assert_eq!(due.next().await.as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn arming_anew_replaces_and_wakes() {
        let timers = Timers::default();
        let mut due = Box::pin(timers.stream());
        timers.set("a", Some(Utc::now() + TimeDelta::hours(1)));
        timers.set("a", Some(Utc::now()));
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(2), due.next()).await.unwrap().as_deref(),
            Some("a")
        );
        assert!(timers.locked(|heap| heap.order.is_empty() && heap.due.is_empty()));
    }
}
