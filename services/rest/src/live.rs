//! A run as server-sent events, for clients without a WebSocket (`curl -N`).
//!
//! First the present state, then what happens, until the run is over. The names and the data of the events are those of the WebSocket's
//! frames (internals §3.2); `id` is the place in the run's journal.

use std::collections::{HashMap, VecDeque};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use axum::response::sse::Event;
use bus::events::{Channels, Envelope, Received, Subscriber, Subscription};
use futures::Stream;
use futures::stream::unfold;
use model::{ExecutionEvent, ExecutionStatus, GraphExecId, UserId};
use runtime::{Settings, Shutdown};
use serde::Deserialize;
use store::{IoBlocks, Store};
use tokio::sync::OnceCell;
use tokio::time::Instant;

/// Streams of one process, and of one user among them.
const MAX_STREAMS: usize = 1000;
const MAX_STREAMS_PER_USER: usize = 100;
/// A stream ends after this time; `EventSource` comes again by itself.
const LONGEST: Duration = Duration::from_secs(3600);

/// The way to live events. The connection to Redis is made for the first stream. Cheap to clone.
#[derive(Clone)]
pub struct Live {
    settings: Settings,
    shutdown: Shutdown,
    subscriber: Arc<OnceCell<Subscriber>>,
    places: Arc<Mutex<Places>>,
}

/// One stream under way.
pub struct Follower {
    store: Store,
    io: Arc<IoBlocks>,
    user_id: UserId,
    graph_exec_id: GraphExecId,
    subscription: Subscription,
    shutdown: Shutdown,
    until: Instant,
    /// What is to be sent before anything else is heard.
    ready: VecDeque<Event>,
    over: bool,
    _place: Place,
}

/// How many streams are under way.
#[derive(Default)]
struct Places {
    in_all: usize,
    of_user: HashMap<UserId, usize>,
}

/// The place of a stream; dropping it gives it back.
struct Place {
    places: Arc<Mutex<Places>>,
    user_id: UserId,
}

/// Why there is no place.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum Full {
    #[error("You have too many streams of events open: close one and come again")]
    User,
    #[error("Too many streams of events are open: come again in a moment")]
    Process,
}

#[derive(Deserialize)]
struct Kind {
    event_type: String,
    #[serde(default)]
    status: Option<ExecutionStatus>,
}

impl Live {
    pub fn new(settings: &Settings, shutdown: &Shutdown) -> Self {
        Self {
            settings: settings.clone(),
            shutdown: shutdown.clone(),
            subscriber: Arc::default(),
            places: Arc::default(),
        }
    }

    /// Begins to listen to a run that the user has, at most until the user's token expires (Unix seconds).
    pub async fn follow(
        &self,
        run: &model::GraphExecutionMeta,
        token_expires_at: Option<i64>,
        store: Store,
        io: Arc<IoBlocks>,
    ) -> Result<Follower, Full> {
        let place = Place::take(&self.places, run.user_id)?;
        let start = async || Subscriber::start(&self.settings, &self.shutdown);
        let subscriber = self.subscriber.get_or_init(start).await;
        let channel = Channels::new(&self.settings).run(run.user_id, run.graph_id, run.id);
        Ok(Follower {
            store,
            io,
            user_id: run.user_id,
            graph_exec_id: run.id,
            // Before the state is read, so that nothing falls between.
            subscription: subscriber.subscribe(channel).await,
            shutdown: self.shutdown.clone(),
            until: Instant::now() + token_expires_at.map_or(LONGEST, |at| LONGEST.min(time_until(at))),
            ready: VecDeque::new(),
            over: false,
            _place: place,
        })
    }
}

impl Place {
    fn take(places: &Arc<Mutex<Places>>, user_id: UserId) -> Result<Self, Full> {
        let mut taken = places.lock().unwrap_or_else(PoisonError::into_inner);
        if taken.of_user.get(&user_id).is_some_and(|count| *count >= MAX_STREAMS_PER_USER) {
            return Err(Full::User);
        }
        if taken.in_all >= MAX_STREAMS {
            return Err(Full::Process);
        }
        taken.in_all += 1;
        *taken.of_user.entry(user_id).or_default() += 1;
        Ok(Self {
            places: Arc::clone(places),
            user_id,
        })
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        let mut taken = self.places.lock().unwrap_or_else(PoisonError::into_inner);
        taken.in_all = taken.in_all.saturating_sub(1);
        if let Some(count) = taken.of_user.get_mut(&self.user_id) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                taken.of_user.remove(&self.user_id);
            }
        }
    }
}

fn time_until(unix_seconds: i64) -> Duration {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Duration::from_secs(u64::try_from(unix_seconds).unwrap_or_default()).saturating_sub(now)
}

impl Follower {
    /// The present state, and then everything that happens.
    pub async fn events(mut self) -> Result<impl Stream<Item = Result<Event, axum::Error>>, store::Error> {
        self.tell_state().await?;
        Ok(unfold(self, async |mut follower| {
            let event = follower.next().await?;
            Some((Ok(event), follower))
        }))
    }

    async fn next(&mut self) -> Option<Event> {
        loop {
            if let Some(event) = self.ready.pop_front() {
                return Some(event);
            }
            if self.over {
                return None;
            }
            let received = tokio::select! {
                () = self.shutdown.cancelled() => return None,
                () = tokio::time::sleep_until(self.until) => return None,
                received = self.subscription.next() => received,
            };
            match received {
                Received::Message(message) => self.take(&message),
                Received::Gap => {
                    self.ready.push_back(Event::default().event("resync").data("{}"));
                    if let Err(error) = self.tell_state().await {
                        tracing::warn!(%error, graph_exec_id = %self.graph_exec_id, "a stream of events ends: the state cannot be read");
                        return None;
                    }
                }
            }
        }
    }

    fn take(&mut self, message: &[u8]) {
        let Ok(envelope) = serde_json::from_slice::<Envelope<'_>>(message) else {
            return;
        };
        let Ok(kind) = serde_json::from_str::<Kind>(envelope.payload.get()) else {
            return;
        };
        let name = match kind.event_type.as_str() {
            "graph_execution_update" => {
                self.over |= kind.status.is_some_and(ExecutionStatus::is_terminal);
                "graph_execution_event"
            }
            "node_execution_update" => "node_execution_event",
            _ => return,
        };
        self.ready.push_back(written(name, envelope.payload.get(), envelope.seq));
    }

    async fn tell_state(&mut self) -> Result<(), store::Error> {
        let position = self.store.journal_position(self.user_id, self.graph_exec_id).await?;
        let found = self
            .store
            .get_execution_with_nodes(Some(self.user_id), self.graph_exec_id, &self.io)
            .await?;
        let Some(found) = found else {
            self.over = true;
            return Ok(());
        };
        self.over |= found.execution.meta.status.is_terminal();
        for node in found.node_executions {
            self.push(&ExecutionEvent::NodeExecutionUpdate(node), None);
        }
        self.push(&ExecutionEvent::GraphExecutionUpdate(found.execution), position);
        Ok(())
    }

    fn push(&mut self, event: &ExecutionEvent, id: Option<i64>) {
        let name = match event {
            ExecutionEvent::NodeExecutionUpdate(_) => "node_execution_event",
            ExecutionEvent::GraphExecutionUpdate(_) => "graph_execution_event",
        };
        let data = serde_json::to_string(event).unwrap_or_default();
        self.ready.push_back(written(name, &data, id));
    }
}

/// JSON on one line.
fn written(name: &str, data: &str, id: Option<i64>) -> Event {
    let event = Event::default().event(name).data(data.replace(['\r', '\n'], " "));
    match id {
        Some(id) => event.id(id.to_string()),
        None => event,
    }
}
