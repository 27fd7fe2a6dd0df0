//! Events as they come from Redis, made into frames (internals §3.1, §3.2).

use axum::extract::ws::Utf8Bytes;
use bus::events::{Channels, Received, Subscriber};
use runtime::{Settings, Shutdown};
use serde::Deserialize;
use serde_json::value::RawValue;

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
}

/// What a subscription yields.
pub enum Heard {
    Frame(Utf8Bytes),
    /// Something was lost.
    Gap,
}

/// A message on Redis, and inside it a notification. The payload is passed on as it stands.
#[derive(Deserialize)]
struct Envelope<'a> {
    #[serde(borrow)]
    payload: &'a RawValue,
}

#[derive(Deserialize)]
struct Kind<'a> {
    #[serde(borrow, default)]
    event_type: std::borrow::Cow<'a, str>,
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
            } => self.channels.run(user_id, graph_id, graph_exec_id),
            Topic::Graph { user_id, graph_id } => self.channels.graph(user_id, graph_id),
            Topic::Notifications { user_id } => self.channels.notification(user_id),
        };
        let events = self.subscriber.subscribe(channel).await;
        Subscription { events, topic }
    }
}

impl Subscription {
    pub async fn next(&mut self) -> Heard {
        loop {
            match self.events.next().await {
                Received::Gap => return Heard::Gap,
                Received::Message(message) => match frame(&self.topic, &message) {
                    Some(frame) => return Heard::Frame(frame),
                    None => tracing::debug!(topic = ?self.topic, "an event that is for no client"),
                },
            }
        }
    }
}

/// The frame of a message; none when the topic's readers are not meant to see it.
fn frame(topic: &Topic, message: &[u8]) -> Option<Utf8Bytes> {
    let envelope: Envelope<'_> = serde_json::from_slice(message).ok()?;
    let kind = || {
        serde_json::from_str::<Kind<'_>>(envelope.payload.get())
            .ok()
            .map(|kind| kind.event_type.into_owned())
    };
    match *topic {
        Topic::Notifications { .. } => {
            let notification: Envelope<'_> = serde_json::from_str(envelope.payload.get()).ok()?;
            Some(frame::event(Method::Notification, notification.payload, None))
        }
        Topic::Execution { user_id, graph_exec_id, .. } => {
            let method = match kind()?.as_str() {
                "graph_execution_update" => Method::GraphExecutionEvent,
                "node_execution_update" => Method::NodeExecutionEvent,
                _ => return None,
            };
            let channel = execution_channel(user_id, &graph_exec_id.to_string());
            Some(frame::event(method, envelope.payload, Some(&channel)))
        }
        Topic::Graph { user_id, graph_id } => {
            let channel = graph_channel(user_id, &graph_id.to_string());
            (kind()? == "graph_execution_update").then(|| frame::event(Method::GraphExecutionEvent, envelope.payload, Some(&channel)))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use uuid::Uuid;

    const NODE: &[u8] = br#"{"payload":{"event_type":"node_execution_update","x":1.50},"seq":7}"#;
    const GRAPH: &[u8] = br#"{"payload":{"id":"e","event_type":"graph_execution_update"}}"#;

    fn text(topic: &Topic, message: &[u8]) -> Option<String> {
        frame(topic, message).map(|frame| frame.to_string())
    }

    #[test]
    fn a_run_shows_both_kinds_and_a_graph_its_runs_only() {
        let (user_id, graph_id, graph_exec_id) = (Uuid::from_u128(1), Uuid::from_u128(2), Uuid::from_u128(3));
        let execution = Topic::Execution {
            user_id,
            graph_id,
            graph_exec_id,
        };
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
