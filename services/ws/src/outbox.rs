//! The bounded queue in front of one connection. A connection that cannot keep up is closed: it comes back, subscribes
//! again and reads what it missed over REST, which a silent gap would not make it do.

use axum::extract::ws::Utf8Bytes;
use runtime::queue::{self, Receiver, Sender};

/// Frames that may wait for one connection.
const CAPACITY: usize = 512;
/// Bytes of all frames that wait for one connection: a few of the largest, which have 16 MiB.
const MOST_BYTES: usize = 64 << 20;

/// The sending end. Clones belong to the same connection.
#[derive(Clone)]
pub struct Outbox(Sender<Utf8Bytes>);

/// The connection's end.
pub struct Queue(Receiver<Utf8Bytes>);

pub fn outbox() -> (Outbox, Queue) {
    let (sender, receiver) = queue::weighed(CAPACITY, MOST_BYTES, |frame: &Utf8Bytes| frame.len());
    (Outbox(sender), Queue(receiver))
}

impl Outbox {
    /// Never waits.
    pub fn push(&self, frame: Utf8Bytes) {
        if self.0.try_send(frame).is_err() {
            self.0.close();
        }
    }
}

impl Queue {
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The next frame. None when one had to be dropped.
    pub async fn next(&mut self) -> Option<Utf8Bytes> {
        self.0.recv().await
    }
}

#[cfg(test)]
mod tests {
    use super::{CAPACITY, outbox};
    use axum::extract::ws::Utf8Bytes;

    #[tokio::test]
    async fn frames_come_in_order_until_one_is_dropped() {
        let (outbox, mut queue) = outbox();
        outbox.push(Utf8Bytes::from_static("a"));
        outbox.push(Utf8Bytes::from_static("b"));
        assert_eq!(queue.next().await.as_deref(), Some("a"));
        assert_eq!(queue.next().await.as_deref(), Some("b"));
        for _ in 0..=CAPACITY {
            outbox.push(Utf8Bytes::from_static("c"));
        }
        assert_eq!(queue.next().await, None);
    }

    #[tokio::test]
    async fn few_large_frames_are_too_much_as_well() {
        let (outbox, mut queue) = outbox();
        let large = Utf8Bytes::from("x".repeat(16 << 20));
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
}
