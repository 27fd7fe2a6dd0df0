//! One heap of due times for all schedules, in one task.
//!
//! Due times are wall-clock times, so the wall clock is read again at least every few seconds: a clock that is set, or a
//! machine that slept, is noticed.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use chrono::{DateTime, TimeDelta, Utc};
use futures::Stream;
use tokio::sync::{Notify, mpsc};

/// The wall clock is read at least so often.
const LOOK: Duration = Duration::from_secs(5);
/// A schedule is announced so long before it is due.
const LEAD: TimeDelta = TimeDelta::milliseconds(500);
/// Due schedules that the controller has not taken yet; more wait in the heap.
const QUEUE: usize = 1024;

/// A schedule that is due soon.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coming {
    pub name: Arc<str>,
    pub due: DateTime<Utc>,
}

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
    /// Those that have not been announced.
    coming: BTreeSet<(DateTime<Utc>, Arc<str>)>,
}

impl Heap {
    fn set(&mut self, name: &str, due: Option<DateTime<Utc>>) {
        let known = self.due.remove_entry(name);
        let name = match known {
            Some((name, before)) => {
                let entry = (before, name);
                self.order.remove(&entry);
                self.coming.remove(&entry);
                entry.1
            }
            None => name.into(),
        };
        if let Some(due) = due {
            self.order.insert((due, name.clone()));
            self.coming.insert((due, name.clone()));
            self.due.insert(name, due);
        }
    }

    fn set_by(&mut self, name: &str, due: DateTime<Utc>) {
        if self.due.get(name).is_none_or(|armed| *armed > due) {
            self.set(name, Some(due));
        }
    }

    fn pop_due(&mut self, now: DateTime<Utc>) -> Option<Arc<str>> {
        if self.order.first()?.0 > now {
            return None;
        }
        let entry = self.order.pop_first()?;
        self.coming.remove(&entry);
        self.due.remove(&entry.1);
        Some(entry.1)
    }

    fn pop_coming(&mut self, now: DateTime<Utc>) -> Option<Coming> {
        if self.coming.first()?.0 > now + LEAD {
            return None;
        }
        let (due, name) = self.coming.pop_first()?;
        Some(Coming { name, due })
    }

    /// When something is to be said.
    fn next(&self) -> Option<DateTime<Utc>> {
        let announced = self.coming.first().map(|(due, _)| *due - LEAD);
        self.order.first().map(|(due, _)| announced.map_or(*due, |announced| announced.min(*due)))
    }
}

impl Timers {
    /// Arms a schedule anew; `None` disarms it.
    pub fn set(&self, name: &str, due: Option<DateTime<Utc>>) {
        self.locked(|heap| heap.set(name, due));
        self.changed.notify_one();
    }

    /// Arms a schedule for this time, unless it is armed for an earlier one.
    pub fn set_by(&self, name: &str, due: DateTime<Utc>) {
        self.locked(|heap| heap.set_by(name, due));
        self.changed.notify_one();
    }

    /// The schedules as they become due, by name, and as they are soon to be. An announcement that nobody takes is lost.
    pub fn streams(&self) -> (impl Stream<Item = Arc<str>> + Send + 'static, impl Stream<Item = Coming> + Send + 'static) {
        let (sender, receiver) = mpsc::channel(QUEUE);
        let (announcer, announced) = mpsc::channel(QUEUE);
        let timers = self.clone();
        // The task ends with its reader.
        tokio::spawn(async move {
            loop {
                while let Some(name) = timers.locked(|heap| heap.pop_due(Utc::now())) {
                    if sender.send(name).await.is_err() {
                        return;
                    }
                }
                while let Some(coming) = timers.locked(|heap| heap.pop_coming(Utc::now())) {
                    let _ = announcer.try_send(coming);
                }
                let next = timers.locked(|heap| heap.next());
                let wait = next.map_or(LOOK, |due| (due - Utc::now()).to_std().unwrap_or_default().min(LOOK));
                tokio::select! {
                    () = tokio::time::sleep(wait) => {}
                    () = timers.changed.notified() => {}
                    () = sender.closed() => return,
                }
            }
        });
        (received(receiver), received(announced))
    }

    fn locked<T>(&self, use_heap: impl FnOnce(&mut Heap) -> T) -> T {
        use_heap(&mut self.heap.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

fn received<T: Send + 'static>(receiver: mpsc::Receiver<T>) -> impl Stream<Item = T> + Send + 'static {
    futures::stream::unfold(receiver, async |mut receiver| receiver.recv().await.map(|item| (item, receiver)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use futures::StreamExt;

    #[tokio::test]
    async fn schedules_come_when_they_are_due_in_order_of_time() {
        let timers = Timers::default();
        let now = Utc::now();
        timers.set("later", Some(now + TimeDelta::milliseconds(150)));
        timers.set("gone", Some(now + TimeDelta::milliseconds(50)));
        timers.set("sooner", Some(now + TimeDelta::milliseconds(100)));
        timers.set("gone", None);
        let mut due = Box::pin(timers.streams().0);
        assert_eq!(due.next().await.as_deref(), Some("sooner"));
        assert!(Utc::now() >= now + TimeDelta::milliseconds(100));
        assert_eq!(due.next().await.as_deref(), Some("later"));
    }

    #[tokio::test]
    async fn arming_anew_replaces_and_wakes() {
        let timers = Timers::default();
        let mut due = Box::pin(timers.streams().0);
        timers.set("a", Some(Utc::now() + TimeDelta::hours(1)));
        timers.set("a", Some(Utc::now()));
        assert_eq!(
            tokio::time::timeout(Duration::from_secs(2), due.next()).await.unwrap().as_deref(),
            Some("a")
        );
        assert!(timers.locked(|heap| heap.order.is_empty() && heap.due.is_empty() && heap.coming.is_empty()));
    }

    #[test]
    fn what_is_armed_by_hearsay_comes_no_later_than_it_was_to() {
        let mut heap = Heap::default();
        let now = Utc::now();
        heap.set_by("a", now + TimeDelta::hours(2));
        heap.set_by("a", now + TimeDelta::hours(1));
        heap.set_by("a", now + TimeDelta::hours(3));
        assert_eq!(heap.due.get("a"), Some(&(now + TimeDelta::hours(1))));
        assert_eq!((heap.order.len(), heap.coming.len()), (1, 1));
    }

    #[tokio::test]
    async fn schedules_are_announced_once_before_they_are_due() {
        let timers = Timers::default();
        let now = Utc::now();
        timers.set("disarmed", Some(now + LEAD * 2));
        timers.set("a", Some(now + TimeDelta::hours(1)));
        timers.set("a", Some(now + LEAD * 2));
        timers.set("disarmed", None);
        let (due, coming) = timers.streams();
        let (mut due, mut coming) = (Box::pin(due), Box::pin(coming));
        let announced = coming.next().await.unwrap();
        assert!(Utc::now() >= now + LEAD, "not before");
        assert_eq!((&*announced.name, announced.due), ("a", now + LEAD * 2));
        assert_eq!(due.next().await.as_deref(), Some("a"));
        assert!(Utc::now() >= now + LEAD * 2);
        assert!(futures::poll!(coming.next()).is_pending(), "once");
    }
}
