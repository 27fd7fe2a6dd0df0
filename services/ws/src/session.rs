//! What one connection has subscribed to, and how it answers requests.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use axum::extract::ws::Utf8Bytes;
use model::{GraphId, UserId};
use rpc::services::DatabaseManager;
use uuid::Uuid;

use crate::frame::{self, Method, Request};
use crate::outbox::{Outbox, Replay};
use crate::rooms::{Membership, Rooms, Topic};

/// Subscriptions of one connection; a browser tab has a handful.
const MAX_SUBSCRIPTIONS: usize = 1000;
/// How long a subscription may wait for the database manager and Redis. A browser gives up on a connection after 10 s
/// without an answer to its heartbeat.
const PATIENCE: Duration = Duration::from_secs(8);
/// How long the state of a run that the client has missed may take to be read: a large one has hundreds of megabytes. Heartbeats are
/// answered meanwhile.
const STATE_PATIENCE: Duration = Duration::from_secs(60);

/// Characters that the log keeps of an error that a client reports.
const LONGEST_COMPLAINT: usize = 200;

/// What all connections share.
#[derive(Clone)]
pub struct Surroundings {
    pub rooms: Rooms,
    pub database: Arc<dyn DatabaseManager>,
}

pub struct Session {
    user_id: UserId,
    outbox: Outbox,
    surroundings: Surroundings,
    /// By the channel's name. None for an id that names nothing of this user's: accepted, but nothing will ever come.
    subscriptions: HashMap<String, Option<Membership>>,
    /// What concerns the user beside runs. Every connection hears it without asking.
    notifications: Option<Membership>,
    /// What goes behind the reply to the present request, before everything that has happened since.
    missed: Option<Arc<Replay>>,
    /// Whether an error of the client's has been logged.
    complained: bool,
}

impl Session {
    pub fn new(user_id: UserId, outbox: Outbox, surroundings: Surroundings) -> Self {
        Self {
            user_id,
            outbox,
            surroundings,
            subscriptions: HashMap::new(),
            notifications: None,
            missed: None,
            complained: false,
        }
    }

    /// Enters the room of the user's notifications.
    pub async fn open(&mut self) {
        let topic = Topic::Notifications { user_id: self.user_id };
        self.notifications = Some(self.surroundings.rooms.join(topic, &self.outbox).await);
    }

    /// What the client has missed, for behind the reply to the last request.
    pub fn missed(&mut self) -> Option<Arc<Replay>> {
        self.missed.take()
    }

    /// Carries a request out. The reply of a subscription comes when events can no longer be missed.
    pub async fn answer(&mut self, request: Request) -> Option<Utf8Bytes> {
        match request {
            Request::Heartbeat => Some(frame::PONG),
            Request::ClientError(text) => {
                // Once: what a client sends must not fill the log.
                if !std::mem::replace(&mut self.complained, true) {
                    let text: String = text.chars().take(LONGEST_COMPLAINT).collect();
                    tracing::info!(user = %self.user_id, text, "a client reports an error");
                }
                None
            }
            Request::SubscribeExecution {
                graph_exec_id,
                last_event_id,
            } => {
                let channel = execution_channel(self.user_id, &graph_exec_id);
                let outcome = self.subscribe(&channel, Wanted::Execution(graph_exec_id, last_event_id)).await;
                Some(reply(Method::SubscribeGraphExecution, &channel, outcome))
            }
            Request::SubscribeGraph { graph_id } => {
                let channel = graph_channel(self.user_id, &graph_id);
                let outcome = self.subscribe(&channel, Wanted::Graph(graph_id)).await;
                Some(reply(Method::SubscribeGraphExecutions, &channel, outcome))
            }
            Request::Unsubscribe { graph_exec_id } => {
                let channel = execution_channel(self.user_id, &graph_exec_id);
                let left = self.subscriptions.remove(&channel).is_some();
                Some(frame::done(Method::Unsubscribe, left.then_some(channel.as_str())))
            }
        }
    }

    async fn subscribe(&mut self, channel: &str, wanted: Wanted) -> Result<(), String> {
        // Who says what it has seen wants to be told the rest, subscribed already or not.
        let resumes = matches!(wanted, Wanted::Execution(_, Some(_)));
        if self.subscriptions.contains_key(channel) && !resumes {
            return Ok(());
        }
        if self.subscriptions.len() >= MAX_SUBSCRIPTIONS {
            return Err(format!(
                "This connection has {MAX_SUBSCRIPTIONS} subscriptions already: unsubscribe from some first"
            ));
        }
        let (place, missed) = self.join(channel, wanted).await.map_err(|reason| {
            tracing::warn!(user = %self.user_id, channel, reason, "a subscription failed");
            "The subscription could not be made: subscribe again in a moment".to_owned()
        })?;
        if let Place::Entered(membership) = place {
            self.subscriptions.insert(channel.to_owned(), membership);
        }
        self.missed = missed;
        Ok(())
    }

    async fn join(&self, channel: &str, wanted: Wanted) -> Result<(Place, Option<Arc<Replay>>), String> {
        let (place, seen) = in_time(PATIENCE, self.enter(channel, wanted)).await?;
        let missed = match seen {
            // In the room already: what happens while this is read comes behind it, and may come twice.
            Some((topic, seen)) => in_time(STATE_PATIENCE, self.surroundings.rooms.resync().since(&topic, seen)).await?,
            None => None,
        };
        Ok((place, missed))
    }

    /// The place in the room, and how far the journal of a run is known.
    async fn enter(&self, channel: &str, wanted: Wanted) -> Result<(Place, Option<(Topic, i64)>), String> {
        let (topic, seen) = match wanted {
            Wanted::Execution(graph_exec_id, last_event_id) => match self.run(&graph_exec_id, last_event_id).await? {
                Some(run) => (Some(run.topic), run.seen.map(|seen| (run.topic, seen))),
                None => (None, None),
            },
            Wanted::Graph(graph_id) => {
                let topic = parsed(&graph_id).map(|graph_id: GraphId| Topic::Graph {
                    user_id: self.user_id,
                    graph_id,
                });
                (topic, None)
            }
        };
        let Some(topic) = topic else {
            return Ok((Place::Entered(None), None));
        };
        // Somebody twice in a room would be told everything twice.
        let is_there = matches!(self.subscriptions.get(channel), Some(Some(membership)) if membership.topic() == topic);
        let place = match is_there {
            true => Place::Kept,
            false => Place::Entered(Some(self.surroundings.rooms.join(topic, &self.outbox).await)),
        };
        Ok((place, seen))
    }

    /// A run, once the database manager has named its graph. None when the user has no such run.
    async fn run(&self, graph_exec_id: &str, last_event_id: Option<i64>) -> Result<Option<Run>, String> {
        let Some(graph_exec_id) = parsed(graph_exec_id) else {
            return Ok(None);
        };
        let database = &self.surroundings.database;
        let known = database.get_graph_execution_meta(self.user_id, graph_exec_id);
        let (known, position) = match last_event_id {
            Some(_) => (known.await, None),
            None => {
                let (known, position) = tokio::join!(known, database.get_execution_position(self.user_id, graph_exec_id));
                (known, Some(position.map_err(|error| error.to_string())?))
            }
        };
        let Some(known) = known.map_err(|error| error.to_string())? else {
            return Ok(None);
        };
        // Nothing is missed of a run that was over when the client asked.
        let now = position.filter(|_| !known.status.is_terminal()).map(Option::unwrap_or_default);
        Ok(Some(Run {
            topic: Topic::Execution {
                user_id: self.user_id,
                graph_id: known.graph_id,
                graph_exec_id,
                numbered: last_event_id.is_some(),
            },
            seen: last_event_id.or(now),
        }))
    }
}

/// A run to be heard.
struct Run {
    topic: Topic,
    /// How far its journal is known: to a client that comes back, else to everybody who asks now. A client reads the run when it
    /// subscribes, and waits for events from then on: what happens until the subscription stands must not be lost.
    seen: Option<i64>,
}

/// Where a subscription is after a request.
enum Place {
    /// Where it was.
    Kept,
    Entered(Option<Membership>),
}

enum Wanted {
    Execution(String, Option<i64>),
    Graph(String),
}

async fn in_time<T>(patience: Duration, work: impl Future<Output = Result<T, String>>) -> Result<T, String> {
    let done = tokio::time::timeout(patience, work).await;
    done.unwrap_or_else(|_| Err("no answer in time".to_owned()))
}

fn parsed(text: &str) -> Option<Uuid> {
    Uuid::try_parse(text).ok()
}

fn reply(method: Method, channel: &str, outcome: Result<(), String>) -> Utf8Bytes {
    match outcome {
        Ok(()) => frame::done(method, Some(channel)),
        Err(reason) => frame::refused(&reason),
    }
}

/// `{user}|graph_exec#{id}`: events of one run and its nodes.
pub fn execution_channel(user_id: UserId, graph_exec_id: &str) -> String {
    format!("{user_id}|graph_exec#{graph_exec_id}")
}

/// `{user}|graph#{id}|executions`: events of a graph's runs, not of their nodes.
pub fn graph_channel(user_id: UserId, graph_id: &str) -> String {
    format!("{user_id}|graph#{graph_id}|executions")
}
