//! Events as they come from Redis, made into frames (internals §3.1, §3.2).

use std::borrow::Cow;

use axum::extract::ws::Utf8Bytes;
use bus::events::{Channels, Envelope, Received, Subscriber};
use model::GraphExecId;
use runtime::{Settings, Shutdown};
use serde::Deserialize;

use crate::frame::{self, Method};
use crate::rooms::Topic;
use crate::session::{execution_channel, graph_channel};

/// Where events come from: one Redis connection for the process.
#[derive(Clone)]
pub struct Source {
    subscriber: Subscriber,
    channels: Channels,
}

/// The events of one topic.
pub struct Subscription {
    events: bus::events::Subscription,
    topic: Topic,
    /// The place of the last event of the run.
    last: Option<i64>,
    /// What comes behind a gap.
    behind: Option<Told>,
}

/// What a subscription yields.
pub enum Heard {
    Frame(Told),
    /// Something was lost.
    Gap,
}

/// Something that happened.
pub struct Told {
    pub frame: Utf8Bytes,
    /// The run that it tells of. None when it tells of a node, or of no run.
    pub run: Option<GraphExecId>,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    event_type: Cow<'a, str>,
    /// Of a run.
    #[serde(borrow, default)]
    id: Cow<'a, str>,
}

impl Source {
    pub fn start(settings: &Settings, shutdown: &Shutdown) -> Self {
        Self {
            subscriber: Subscriber::start(settings, shutdown),
            channels: Channels::new(settings),
        }
    }

    /// What is published after this returns is heard, unless Redis is away: then there is a gap first.
    pub async fn subscribe(&self, topic: Topic) -> Subscription {
        let channel = match topic {
            Topic::Execution {
                user_id,
                graph_id,
                graph_exec_id,
                ..
            } => self.channels.run(user_id, graph_id, graph_exec_id),
            Topic::Graph { user_id, graph_id } => self.channels.graph(user_id, graph_id),
            Topic::Notifications { user_id } => self.channels.notification(user_id),
        };
        let events = self.subscriber.subscribe(channel).await;
        Subscription {
            events,
            topic,
            last: None,
            behind: None,
        }
    }
}

impl Subscription {
    pub async fn next(&mut self) -> Heard {
        if let Some(told) = self.behind.take() {
            return Heard::Frame(told);
        }
        loop {
            let message = match self.events.next().await {
                Received::Gap => {
                    self.last = None;
                    return Heard::Gap;
                }
                Received::Message(message) => message,
            };
            let Some((told, place)) = event(&self.topic, &message) else {
                tracing::debug!(topic = ?self.topic, "an event that is for no client");
                continue;
            };
            if self.misses(place) {
                self.behind = Some(told);
                return Heard::Gap;
            }
            return Heard::Frame(told);
        }
    }

    /// The place of what was last returned among everything received on all channels.
    pub fn place(&self) -> u64 {
        self.events.place()
    }

    /// Whether nothing that was received waits.
    pub fn is_empty(&self) -> bool {
        self.behind.is_none() && self.events.is_empty()
    }

    /// Whether events of the run were lost before the one at `place`.
    fn misses(&mut self, Place { seq, prev }: Place) -> bool {
        let Some(seq) = seq else { return false };
        let before = self.last.replace(seq);
        // The channel of a graph carries many runs, each counted by itself.
        matches!(self.topic, Topic::Execution { .. }) && before.zip(prev).is_some_and(|(last, prev)| prev > last)
    }
}

/// Where in the run's journal an event belongs, and the one before it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Place {
    seq: Option<i64>,
    prev: Option<i64>,
}

/// The frame of a message. None when the topic's readers are not meant to see it.
pub fn frame_of(topic: &Topic, message: &[u8]) -> Option<Utf8Bytes> {
    event(topic, message).map(|(told, _)| told.frame)
}

/// None when the topic's readers are not meant to see the message.
fn event(topic: &Topic, message: &[u8]) -> Option<(Told, Place)> {
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    let place = Place {
        seq: envelope.seq,
        prev: envelope.prev,
    };
    let kind = || serde_json::from_str::<Kind<'_>>(envelope.payload.get()).ok();
    let mut run = None;
    let frame = match *topic {
        Topic::Notifications { .. } => {
            // The payload is an envelope itself.
            let notification: Envelope<'_> = serde_json::from_str(envelope.payload.get()).ok()?;
            Some(frame::event(Method::Notification, notification.payload, None))
        }
        Topic::Execution {
            user_id,
            graph_exec_id,
            numbered,
            ..
        } => {
            let method = match kind()?.event_type.as_ref() {
                "graph_execution_update" => {
                    run = Some(graph_exec_id);
                    Method::GraphExecutionEvent
                }
                "node_execution_update" => Method::NodeExecutionEvent,
                _ => return None,
            };
            let channel = execution_channel(user_id, &graph_exec_id.to_string());
            Some(if numbered {
                frame::numbered(method, envelope.payload, &channel, envelope.seq)
            } else {
                frame::event(method, envelope.payload, Some(&channel))
            })
        }
        Topic::Graph { user_id, graph_id } => {
            let kind = kind()?;
            run = kind.id.parse().ok();
            let channel = graph_channel(user_id, &graph_id.to_string());
            (kind.event_type == "graph_execution_update").then(|| frame::event(Method::GraphExecutionEvent, envelope.payload, Some(&channel)))
        }
    };
    Some((Told { frame: frame?, run }, place))
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NODE: &[u8] = br#"{"payload":{"event_type":"node_execution_update","x":1.50},"seq":7}"#;
    const GRAPH: &[u8] = br#"{"payload":{"id":"e","event_type":"graph_execution_update"}}"#;

    fn text(topic: &Topic, message: &[u8]) -> Option<String> {
        event(topic, message).map(|(told, _)| told.frame.to_string())
    }

    #[test]
    fn a_run_shows_both_kinds_and_a_graph_its_runs_only() {
        let (user_id, graph_id, graph_exec_id) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let execution = Topic::Execution {
            user_id,
            graph_id,
            graph_exec_id,
            numbered: false,
        };
        let numbered = Topic::Execution {
            user_id,
            graph_id,
            graph_exec_id,
            numbered: true,
        };
        assert!(text(&numbered, NODE).unwrap().ends_with(r#","error":null,"event_id":7}"#));
        assert_eq!(
            text(&execution, NODE).unwrap(),
            format!(
                r#"{{"method":"node_execution_event","data":{{"event_type":"node_execution_update","x":1.50}},"success":null,"channel":"{user_id}|graph_exec#{graph_exec_id}","error":null}}"#
            )
        );
        assert!(text(&execution, GRAPH).unwrap().contains("graph_execution_event"));
        let graph = Topic::Graph { user_id, graph_id };
        assert_eq!(text(&graph, NODE), None);
        assert!(text(&graph, GRAPH).unwrap().contains(&format!("{user_id}|graph#{graph_id}|executions")));
    }

    #[test]
    fn what_is_no_event_is_dropped() {
        let topic = Topic::Graph {
            user_id: Uuid::nil(),
            graph_id: Uuid::nil(),
        };
        for message in [
            b"".as_slice(),
            b"{}",
            b"not json",
            br#"{"payload":{"event_type":"error_comms_update"}}"#,
            br#"{"payload":7}"#,
        ] {
            assert_eq!(text(&topic, message), None);
        }
    }
}
