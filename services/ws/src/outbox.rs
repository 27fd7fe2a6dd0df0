//! The bounded queue in front of one connection. A connection that cannot keep up is closed: it comes back, subscribes
//! again and reads what it missed over REST, which a silent gap would not make it do.
//!
//! A replay is one item of it, whatever its size: it is written frame by frame as the client reads, and what happens meanwhile waits behind it.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use axum::extract::ws::Utf8Bytes;
use runtime::queue::{self, Receiver, Sender};

/// Items that may wait for one connection.
const CAPACITY: usize = 512;
/// Bytes of all frames that wait for one connection, beside replays: a few of the largest, which have 16 MiB.
const MOST_BYTES: usize = 64 << 20;
/// Bytes of all replays of one connection that are not written yet: two of the largest.
const MOST_REPLAYED: usize = 256 << 20;

/// What is handed to a connection.
#[derive(Clone)]
pub enum Item {
    Frame(Utf8Bytes),
    Replay(Arc<Replay>),
}

/// The present state in frames. The connections that are told it share it.
pub struct Replay {
    frames: Vec<Utf8Bytes>,
    bytes: usize,
}

/// The sending end. Clones belong to the same connection.
#[derive(Clone)]
pub struct Outbox {
    sender: Sender<Waiting>,
    /// Bytes of the replays that are not written yet.
    replayed: Arc<AtomicUsize>,
}

/// The connection's end.
pub struct Queue {
    receiver: Receiver<Waiting>,
    /// What is written before anything else.
    first: Option<Counted>,
    /// Frames of it that are written.
    written: usize,
    replayed: Arc<AtomicUsize>,
}

enum Waiting {
    Frame(Utf8Bytes),
    Replay(Counted),
}

/// A replay that counts as not written while this lives.
struct Counted {
    replay: Arc<Replay>,
    replayed: Arc<AtomicUsize>,
}

pub fn outbox() -> (Outbox, Queue) {
    let (sender, receiver) = queue::weighed(CAPACITY, MOST_BYTES, |waiting: &Waiting| match waiting {
        Waiting::Frame(frame) => frame.len(),
        Waiting::Replay(_) => 0,
    });
    let replayed = Arc::<AtomicUsize>::default();
    let outbox = Outbox {
        sender,
        replayed: replayed.clone(),
    };
    let queue = Queue {
        receiver,
        first: None,
        written: 0,
        replayed,
    };
    (outbox, queue)
}

impl Item {
    fn is_empty(&self) -> bool {
        matches!(self, Self::Replay(replay) if replay.frames.is_empty())
    }
}

impl Replay {
    pub fn new(frames: Vec<Utf8Bytes>) -> Arc<Self> {
        let bytes = frames.iter().map(|frame| frame.len()).sum();
        Arc::new(Self { frames, bytes })
    }
}

impl Outbox {
    /// Never waits.
    pub fn push(&self, item: Item) {
        if item.is_empty() {
            return;
        }
        let waiting = match item {
            Item::Frame(frame) => Some(Waiting::Frame(frame)),
            Item::Replay(replay) => Counted::within(MOST_REPLAYED, replay, &self.replayed).map(Waiting::Replay),
        };
        if waiting.is_none_or(|waiting| self.sender.try_send(waiting).is_err()) {
            self.sender.close();
        }
    }
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.first.is_none() && self.receiver.is_empty()
    }

    /// Puts a replay before everything that waits. For an empty queue, but for what has come since.
    pub fn put_first(&mut self, replay: Arc<Replay>) {
        if !replay.frames.is_empty() {
            self.first = Counted::within(usize::MAX, replay, &self.replayed);
            self.written = 0;
        }
    }

    /// The next frame. None when one had to be dropped. Nothing is lost when the caller gives up waiting.
    pub async fn next(&mut self) -> Option<Utf8Bytes> {
        loop {
            if self.receiver.is_closed() {
                return None;
            }
            if let Some(frame) = self.next_of_first() {
                return Some(frame);
            }
            match self.receiver.recv().await? {
                Waiting::Frame(frame) => return Some(frame),
                Waiting::Replay(replay) => (self.first, self.written) = (Some(replay), 0),
            }
        }
    }

    fn next_of_first(&mut self) -> Option<Utf8Bytes> {
        let frames = &self.first.as_ref()?.replay.frames;
        let frame = frames.get(self.written).cloned();
        self.written += 1;
        if self.written >= frames.len() {
            self.first = None;
        }
        frame
    }
}

impl Counted {
    /// None when there would be more than `most` bytes. A single one may have more.
    fn within(most: usize, replay: Arc<Replay>, replayed: &Arc<AtomicUsize>) -> Option<Self> {
        let before = replayed.fetch_add(replay.bytes, Ordering::Relaxed);
        let counted = Self {
            replay,
            replayed: replayed.clone(),
        };
        (before == 0 || before.saturating_add(counted.replay.bytes) <= most).then_some(counted)
    }
}

impl Drop for Counted {
    fn drop(&mut self) {
        self.replayed.fetch_sub(self.replay.bytes, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, Item, MOST_REPLAYED, Outbox, Queue, Replay, outbox};
    use axum::extract::ws::Utf8Bytes;

    fn push(outbox: &Outbox, text: &'static str) {
        outbox.push(Item::Frame(Utf8Bytes::from_static(text)));
    }

    fn replay(text: &'static str, count: usize) -> std::sync::Arc<Replay> {
        Replay::new(vec![Utf8Bytes::from_static(text); count])
    }

    async fn next(queue: &mut Queue) -> String {
        queue.next().await.map(|frame| frame.to_string()).unwrap_or_default()
    }

    #[tokio::test]
    async fn frames_come_in_order_until_one_is_dropped() {
        let (outbox, mut queue) = outbox();
        push(&outbox, "a");
        push(&outbox, "b");
        assert_eq!((next(&mut queue).await, next(&mut queue).await), ("a".to_owned(), "b".to_owned()));
        for _ in 0..=CAPACITY {
            push(&outbox, "c");
        }
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn few_large_frames_are_too_much_as_well() {
        let (outbox, mut queue) = outbox();
        let large = Item::Frame(Utf8Bytes::from("x".repeat(16 << 20)));
        for _ in 0..4 {
            outbox.push(large.clone());
        }
        assert_eq!(queue.next().await.map(|frame| frame.len()), Some(16 << 20));
        outbox.push(large.clone());
        assert!(queue.next().await.is_some(), "there was room again");
        outbox.push(large.clone());
        outbox.push(large);
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn a_replay_is_one_item_in_its_place_and_may_come_first() {
        let (outbox, mut queue) = outbox();
        push(&outbox, "a");
        outbox.push(Item::Replay(replay("r", 2 * CAPACITY)));
        outbox.push(Item::Replay(replay("none", 0)));
        push(&outbox, "b");
        queue.put_first(replay("f", 2));
        let mut told = Vec::new();
        while !queue.is_empty() {
            told.push(next(&mut queue).await);
        }
        assert_eq!(told[..3], ["f", "f", "a"]);
        assert!(told[3..].iter().take(2 * CAPACITY).all(|text| text == "r"));
        assert_eq!(told[3 + 2 * CAPACITY..], ["b"]);
    }

    #[tokio::test]
    async fn what_is_dropped_during_a_replay_ends_it() {
        let (outbox, mut queue) = outbox();
        outbox.push(Item::Replay(replay("r", 3)));
        assert_eq!(next(&mut queue).await, "r");
        for _ in 0..=CAPACITY {
            push(&outbox, "c");
        }
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn replays_are_counted_until_they_are_written() {
        let (outbox, mut queue) = outbox();
        let half = Replay::new(vec![Utf8Bytes::from("x".repeat(MOST_REPLAYED / 8)); 4]);
        let wait = || outbox.push(Item::Replay(half.clone()));
        wait();
        wait();
        for _ in 0..4 {
            assert!(queue.next().await.is_some());
        }
        wait();
        for _ in 0..3 {
            assert!(queue.next().await.is_some(), "there was room again");
        }
        wait();
        assert_eq!(queue.next().await, None, "three at once");
    }
}
