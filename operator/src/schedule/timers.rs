//! One heap of due times for all schedules, in one task.
//!
//! Due times are wall-clock times, so the wall clock is read again at least every few seconds: a clock that is set, or a
//! machine that slept, is noticed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, Utc};
use crds::GraphSchedule;
use futures::Stream;
use kube::runtime::reflector::ObjectRef;
use tokio::sync::{Notify, mpsc};

/// The wall clock is read at least so often.
const LOOK: Duration = Duration::from_secs(5);
/// Due schedules that the controller has not taken yet; more wait in the heap.
const QUEUE: usize = 1024;

/// The key of a schedule within its namespace.
type Key = ObjectRef<GraphSchedule>;

/// A handle on the heap. Cheap to clone.
#[derive(Clone, Default)]
pub struct Timers {
    heap: Arc<Mutex<Heap>>,
    changed: Arc<Notify>,
}

#[derive(Default)]
struct Heap {
    order: BTreeSet<(DateTime<Utc>, String)>,
    due: HashMap<String, (DateTime<Utc>, Key)>,
}

impl Heap {
    fn set(&mut self, key: Key, due: Option<DateTime<Utc>>) {
        if let Some((before, _)) = self.due.remove(&key.name) {
            self.order.remove(&(before, key.name.clone()));
        }
        if let Some(due) = due {
            self.order.insert((due, key.name.clone()));
            self.due.insert(key.name.clone(), (due, key));
        }
    }

    fn pop_due(&mut self, now: DateTime<Utc>) -> Option<Key> {
        let (due, name) = self.order.first().cloned()?;
        if due > now {
            return None;
        }
        self.order.remove(&(due, name.clone()));
        self.due.remove(&name).map(|(_, key)| key)
    }
}

impl Timers {
    /// Arms a schedule anew; `None` disarms it.
    pub fn set(&self, key: Key, due: Option<DateTime<Utc>>) {
        self.locked(|heap| heap.set(key, due));
        self.changed.notify_one();
    }

    /// The schedules as they become due.
    pub fn stream(&self) -> impl Stream<Item = Key> + Send + 'static {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let timers = self.clone();
        // The task ends with its reader.
        tokio::spawn(async move {
            loop {
                while let Some(key) = timers.locked(|heap| heap.pop_due(Utc::now())) {
                    if sender.send(key).await.is_err() {
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
        futures::stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|key| (key, receiver)))
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

    fn key(name: &str) -> Key {
        ObjectRef::new(name).within("n")
    }

    #[tokio::test]
    async fn schedules_come_when_they_are_due_in_order_of_time() {
        let timers = Timers::default();
        let now = Utc::now();
        timers.set(key("later"), Some(now + TimeDelta::milliseconds(150)));
        timers.set(key("gone"), Some(now + TimeDelta::milliseconds(50)));
        timers.set(key("sooner"), Some(now + TimeDelta::milliseconds(100)));
        timers.set(key("gone"), None);
        let mut due = Box::pin(timers.stream());
        assert_eq!(due.next().await, Some(key("sooner")));
        assert!(Utc::now() >= now + TimeDelta::milliseconds(100));
        assert_eq!(due.next().await, Some(key("later")));
    }

    #[tokio::test]
    async fn arming_anew_replaces_and_wakes() {
        let timers = Timers::default();
        let mut due = Box::pin(timers.stream());
        timers.set(key("a"), Some(Utc::now() + TimeDelta::hours(1)));
        timers.set(key("a"), Some(Utc::now()));
        assert_eq!(tokio::time::timeout(Duration::from_secs(2), due.next()).await.unwrap(), Some(key("a")));
        assert!(timers.locked(|heap| heap.order.is_empty() && heap.due.is_empty()));
    }
}
