//! Subscriptions to exact channels on one connection, shared and counted: ten sockets that watch one run cost Redis one
//! subscription.

use std::collections::{HashMap, HashSet};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use futures::StreamExt;
use redis::aio::{PubSubSink, PubSubStream};
use runtime::queue::{self, Receiver, Sender};
use runtime::retry::Backoff;
use runtime::{Settings, Shutdown};
use tokio::sync::{Notify, oneshot};
use tokio::time::timeout;

/// Messages that a slow reader may be behind before it is told of a gap.
const BACKLOG: usize = 256;
/// How long a new subscriber waits for Redis to confirm.
const CONFIRM: Duration = Duration::from_secs(2);
const CONNECT: Duration = Duration::from_secs(3);
/// A connection that died silently is noticed by a ping at this interval.
const PING: Duration = Duration::from_secs(15);

/// What a subscription yields.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Received {
    Message(Arc<[u8]>),
    /// Messages may have been lost before this point: read the truth.
    Gap,
}

#[derive(Clone)]
pub struct Subscriber(Arc<Shared>);

#[derive(Default)]
struct Shared {
    wanted: Mutex<Wanted>,
    changed: Notify,
}

#[derive(Default)]
struct Wanted {
    channels: HashMap<Arc<str>, Entry>,
    /// Channels that came or went since Redis was last told: what a change costs does not grow with the number of channels.
    touched: HashSet<Arc<str>>,
    /// The number of the next reader.
    next: u64,
    /// How many messages have been received.
    received: u64,
}

#[derive(Default)]
struct Entry {
    readers: Vec<Reader>,
    /// Redis has confirmed the subscription.
    live: bool,
    /// Who waits for that.
    waiting: Vec<oneshot::Sender<()>>,
}

/// The sending end of one subscription.
struct Reader {
    number: u64,
    queue: Sender<(u64, Received)>,
    /// The last thing in the queue is a gap that the reader has not seen yet.
    behind: bool,
}

/// One reader of one channel. Dropping it ends the subscription when it was the last.
pub struct Subscription {
    channel: Arc<str>,
    number: u64,
    shared: Arc<Shared>,
    queue: Receiver<(u64, Received)>,
    place: u64,
}

impl Subscriber {
    pub fn start(settings: &Settings, shutdown: &Shutdown) -> Self {
        let shared = Arc::new(Shared::default());
        let task = supervise(settings.redis.url(), shared.clone());
        let shutdown = shutdown.clone();
        tokio::spawn(async move {
            tokio::select! {
                () = task => {}
                () = shutdown.cancelled() => {}
            }
        });
        Self(shared)
    }

    /// Subscribes, and waits until Redis has confirmed it or 2 s have passed: what is read from the database afterwards
    /// has no gap to what is received. Without Redis the subscription begins with a [`Received::Gap`] once it is back.
    pub async fn subscribe(&self, channel: String) -> Subscription {
        let channel: Arc<str> = channel.into();
        let (sender, queue) = queue::bounded(BACKLOG);
        let (confirmed, confirmation) = oneshot::channel();
        let number = self.0.locked(|wanted| {
            let number = wanted.next;
            wanted.next += 1;
            let entry = wanted.channels.entry(channel.clone()).or_insert_with(|| {
                wanted.touched.insert(channel.clone());
                Entry::default()
            });
            entry.readers.push(Reader {
                number,
                queue: sender,
                behind: false,
            });
            if entry.live {
                let _ = confirmed.send(());
            } else {
                entry.waiting.push(confirmed);
            }
            number
        });
        // Made before waiting, so that a caller that goes away meanwhile leaves nothing behind.
        let subscription = Subscription {
            channel,
            number,
            shared: self.0.clone(),
            queue,
            place: 0,
        };
        self.0.changed.notify_one();
        let _ = timeout(CONFIRM, confirmation).await;
        subscription
    }
}

impl Subscription {
    pub async fn next(&mut self) -> Received {
        match self.queue.recv().await {
            Some((place, received)) => {
                self.place = place;
                received
            }
            // Nobody closes the queue while the subscription lives.
            None => std::future::pending().await,
        }
    }

    /// The place of what was last returned among all that the [`Subscriber`] has received, whichever the channel: what came later has a
    /// higher one.
    pub fn place(&self) -> u64 {
        self.place
    }

    /// Whether everything received has been returned.
    pub fn is_empty(&self) -> bool {
        self.queue.is_empty()
    }
}

impl Entry {
    fn send(&mut self, place: u64, received: &Received) {
        self.readers.iter_mut().for_each(|reader| reader.send(place, received));
    }

    fn confirm(&mut self) {
        self.live = true;
        for waiting in std::mem::take(&mut self.waiting) {
            let _ = waiting.send(());
        }
    }
}

impl Reader {
    /// Never waits. The last place of the queue is the gap's; what comes until the reader has seen that, it reads elsewhere then.
    fn send(&mut self, place: u64, received: &Received) {
        let waiting = self.queue.waiting();
        if self.behind && waiting > 0 {
            return;
        }
        self.behind = waiting + 1 == BACKLOG;
        let received = if self.behind { Received::Gap } else { received.clone() };
        let _ = self.queue.try_send((place, received));
    }
}

impl Drop for Subscription {
    fn drop(&mut self) {
        self.shared.locked(|Wanted { channels, touched, .. }| {
            if let Some(entry) = channels.get_mut(&self.channel) {
                entry.readers.retain(|reader| reader.number != self.number);
                if entry.readers.is_empty() {
                    channels.remove(&self.channel);
                    touched.insert(self.channel.clone());
                }
            }
        });
        self.shared.changed.notify_one();
    }
}

impl Shared {
    fn locked<T>(&self, act: impl FnOnce(&mut Wanted) -> T) -> T {
        act(&mut self.wanted.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Connects again and again. After each loss every reader is told of a gap as soon as it is subscribed again.
async fn supervise(url: String, shared: Arc<Shared>) {
    let mut backoff = Backoff::default();
    let mut lost_before = false;
    loop {
        match connect(&url).await {
            Ok((sink, stream)) => {
                if backoff.attempts() > 0 {
                    tracing::info!("Redis recovered: subscriptions are renewed");
                }
                backoff.reset();
                let error = serve(sink, stream, &shared, lost_before).await;
                tracing::warn!(error, "the subscription connection to Redis was lost");
            }
            Err(error) if backoff.attempts() == 0 && !lost_before => tracing::warn!(error, "waiting for Redis"),
            Err(_) => {}
        }
        lost_before = true;
        shared.locked(|wanted| wanted.channels.values_mut().for_each(|entry| entry.live = false));
        tokio::time::sleep(backoff.next_delay()).await;
    }
}

async fn connect(url: &str) -> Result<(PubSubSink, PubSubStream), String> {
    let client = redis::Client::open(url).map_err(|error| error.to_string())?;
    let opened = timeout(CONNECT, client.get_async_pubsub())
        .await
        .map_err(|_| "no connection in time".to_owned())?;
    Ok(opened.map_err(|error| error.to_string())?.split())
}

/// Returns why the connection ended.
async fn serve(mut sink: PubSubSink, mut stream: PubSubStream, shared: &Shared, mut announce_gap: bool) -> String {
    let mut subscribed: HashSet<Arc<str>> = HashSet::new();
    // A new connection knows nothing.
    shared.locked(|Wanted { channels, touched, .. }| *touched = channels.keys().cloned().collect());
    let mut ping = tokio::time::interval(PING);
    loop {
        if let Err(error) = align(&mut sink, shared, &mut subscribed, announce_gap).await {
            return error;
        }
        announce_gap = false;
        tokio::select! {
            () = shared.changed.notified() => {}
            message = stream.next() => {
                let Some(message) = message else { return "the server closed it".to_owned() };
                let body = Received::Message(message.get_payload_bytes().into());
                shared.locked(|wanted| {
                    wanted.received += 1;
                    if let Some(entry) = wanted.channels.get_mut(message.get_channel_name()) {
                        entry.send(wanted.received, &body);
                    }
                });
            }
            _ = ping.tick() => {
                match timeout(CONNECT, sink.ping::<redis::Value>()).await {
                    Ok(Ok(_)) => {}
                    Ok(Err(error)) => return error.to_string(),
                    Err(_) => return "a ping was not answered".to_owned(),
                }
            }
        }
    }
}

/// Makes what Redis sends agree with what is wanted, as far as that has changed.
async fn align(sink: &mut PubSubSink, shared: &Shared, subscribed: &mut HashSet<Arc<str>>, announce_gap: bool) -> Result<(), String> {
    let (wanted, gone): (Vec<Arc<str>>, Vec<Arc<str>>) = shared.locked(|Wanted { channels, touched, .. }| {
        let touched = std::mem::take(touched);
        touched.into_iter().partition(|channel| channels.contains_key(channel))
    });
    let gone: Vec<&str> = gone
        .iter()
        .filter(|channel| subscribed.remove(*channel))
        .map(|channel| &**channel)
        .collect();
    if !gone.is_empty() {
        sink.unsubscribe(gone.as_slice()).await.map_err(|error| error.to_string())?;
    }
    // One that went and came back meanwhile is still subscribed.
    let missing: Vec<&str> = wanted
        .iter()
        .filter(|channel| !subscribed.contains(*channel))
        .map(|channel| &**channel)
        .collect();
    if !missing.is_empty() {
        sink.subscribe(missing.as_slice()).await.map_err(|error| error.to_string())?;
    }
    shared.locked(|Wanted { channels, received, .. }| {
        for channel in &wanted {
            let Some(entry) = channels.get_mut(channel) else { continue };
            if announce_gap {
                entry.send(*received, &Received::Gap);
            }
            entry.confirm();
        }
    });
    subscribed.extend(wanted);
    Ok(())
}
