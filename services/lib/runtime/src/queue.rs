//! A bounded queue with one reader that takes memory as it fills. tokio's has room for 32 items from the start, which is too much where there
//! are thousands of queues, nearly all of them empty.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

/// Room that an empty queue keeps.
const KEPT: usize = 16;

/// The sending end. Clones belong to the same queue.
pub struct Sender<T>(Arc<Shared<T>>);

/// The reader's end.
pub struct Receiver<T>(Arc<Shared<T>>);

/// There is no room, or the queue was closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full;

struct Shared<T> {
    capacity: usize,
    /// What all items together may weigh, and how each is weighed.
    heaviest: usize,
    weigh: fn(&T) -> usize,
    state: Mutex<State<T>>,
    changed: Notify,
}

struct State<T> {
    items: VecDeque<T>,
    weight: usize,
    closed: bool,
}

/// A queue for `capacity` items.
pub fn bounded<T>(capacity: usize) -> (Sender<T>, Receiver<T>) {
    weighed(capacity, usize::MAX, |_| 0)
}

/// A queue for `capacity` items that weigh no more than `heaviest` together, or for a single one that weighs more.
pub fn weighed<T>(capacity: usize, heaviest: usize, weigh: fn(&T) -> usize) -> (Sender<T>, Receiver<T>) {
    let shared = Arc::new(Shared {
        capacity,
        heaviest,
        weigh,
        state: Mutex::new(State {
            items: VecDeque::new(),
            weight: 0,
            closed: false,
        }),
        changed: Notify::new(),
    });
    (Sender(shared.clone()), Receiver(shared))
}

impl<T> Sender<T> {
    /// Never waits.
    ///
    /// # Errors
    /// [`Full`]; the item is gone then.
    pub fn try_send(&self, item: T) -> Result<(), Full> {
        {
            let weight = (self.0.weigh)(&item);
            let mut state = self.0.lock();
            let is_heavy = !state.items.is_empty() && state.weight.saturating_add(weight) > self.0.heaviest;
            if state.closed || state.items.len() >= self.0.capacity || is_heavy {
                return Err(Full);
            }
            state.weight = state.weight.saturating_add(weight);
            state.items.push_back(item);
        }
        self.0.changed.notify_one();
        Ok(())
    }

    /// Items that wait for the reader.
    pub fn waiting(&self) -> usize {
        self.0.lock().items.len()
    }

    /// Ends the queue; what waits in it is dropped.
    pub fn close(&self) {
        {
            let mut state = self.0.lock();
            state.closed = true;
            state.items = VecDeque::new();
        }
        self.0.changed.notify_one();
    }
}

impl<T> Receiver<T> {
    /// Whether nothing waits.
    pub fn is_empty(&self) -> bool {
        self.0.lock().items.is_empty()
    }

    /// Whether the queue was closed: nothing comes any more.
    pub fn is_closed(&self) -> bool {
        self.0.lock().closed
    }

    /// The next item. None once the queue was closed; for ever pending when all senders are gone. Nothing is lost when the caller gives up
    /// waiting.
    pub async fn recv(&mut self) -> Option<T> {
        loop {
            {
                let mut state = self.0.lock();
                if state.closed {
                    return None;
                }
                if let Some(item) = state.items.pop_front() {
                    state.weight = state.weight.saturating_sub((self.0.weigh)(&item));
                    if state.items.is_empty() && state.items.capacity() > KEPT {
                        state.items = VecDeque::new();
                    }
                    return Some(item);
                }
            }
            self.0.changed.notified().await;
        }
    }
}

impl<T> Clone for Sender<T> {
    fn clone(&self) -> Self {
        Self(self.0.clone())
    }
}

impl<T> Shared<T> {
    fn lock(&self) -> MutexGuard<'_, State<T>> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::{Full, bounded, weighed};

    #[tokio::test]
    async fn items_come_in_order_and_only_as_many_as_there_is_room_for() {
        let (sender, mut receiver) = bounded(40);
        for item in 0..40 {
            sender.try_send(item).unwrap();
        }
        assert_eq!((sender.try_send(40), sender.waiting()), (Err(Full), 40));
        for item in 0..40 {
            assert_eq!(receiver.recv().await, Some(item));
        }
        sender.try_send(41).unwrap();
        assert_eq!((receiver.recv().await, sender.waiting()), (Some(41), 0));
    }

    #[tokio::test]
    async fn items_wait_only_as_long_as_they_are_not_too_heavy_together() {
        let (sender, mut receiver) = weighed(40, 10, |item: &usize| *item);
        assert_eq!(sender.try_send(100), Ok(()), "alone");
        assert_eq!(sender.try_send(0), Err(Full));
        assert_eq!(receiver.recv().await, Some(100));
        assert_eq!((sender.try_send(6), sender.try_send(4), sender.try_send(1)), (Ok(()), Ok(()), Err(Full)));
        assert_eq!(receiver.recv().await, Some(6));
        assert_eq!((sender.try_send(7), sender.try_send(6)), (Err(Full), Ok(())));
        assert_eq!((receiver.recv().await, receiver.recv().await), (Some(4), Some(6)));
    }

    #[tokio::test]
    async fn a_reader_that_waits_is_woken_by_an_item_and_by_the_end() {
        let (sender, mut receiver) = bounded(4);
        let reader = tokio::spawn(async move {
            let first = receiver.recv().await;
            (first, receiver.recv().await)
        });
        tokio::task::yield_now().await;
        sender.try_send("a").unwrap();
        tokio::task::yield_now().await;
        sender.clone().close();
        assert_eq!(reader.await.unwrap(), (Some("a"), None));
        assert_eq!(sender.try_send("b"), Err(Full));
    }

    #[tokio::test]
    async fn the_end_drops_what_waits() {
        let (sender, mut receiver) = bounded(4);
        sender.try_send(1).unwrap();
        assert!(!receiver.is_closed());
        sender.close();
        assert!(receiver.is_closed());
        assert_eq!(receiver.recv().await, None);
    }
}
