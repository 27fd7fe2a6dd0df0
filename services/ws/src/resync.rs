//! After a gap in the events: the present state from the database manager, as the events that would have told it.
//!
//! An event carries the whole record and clients replace by id, so a repeated one does no harm.

use std::sync::Arc;

use axum::extract::ws::Utf8Bytes;
use model::{ExecutionEvent, GraphExecId, GraphExecution, GraphId, UserId};
use rpc::RpcError;
use rpc::services::DatabaseManager;
use runtime::Shutdown;
use runtime::retry::retry_forever;
use serde_json::json;

use crate::frame::{self, Method};
use crate::outbox::Replay;
use crate::rooms::Topic;
use crate::session::execution_channel;
use crate::source;

/// Runs of a graph that are told anew; older ones were over long before the gap, as a rule.
const RUNS: i64 = 25;
/// Nodes of a run that the database manager tells, the latest ones. Where there are so many there may be more.
const NODES: usize = 1000;
/// Bytes of one replay: eight of the largest events. When there is more to tell, every event gets an equal share.
const MOST_BYTES: usize = 128 << 20;

#[derive(Clone)]
pub struct Resync {
    database: Arc<dyn DatabaseManager>,
    /// Bytes of one event, as for published ones.
    limit: usize,
    shutdown: Shutdown,
}

/// An event, and its place in the run's journal where it has one.
type Placed = (ExecutionEvent, Option<i64>);

impl Resync {
    /// `limit` is the setting `max_message_size_limit`, in bytes.
    pub fn new(database: Arc<dyn DatabaseManager>, limit: usize, shutdown: &Shutdown) -> Self {
        Self {
            database,
            limit,
            shutdown: shutdown.clone(),
        }
    }

    /// Waits for the database manager when it is away.
    pub async fn replay(&self, topic: &Topic) -> Arc<Replay> {
        let frames = retry_forever("database manager", &self.shutdown, || self.frames(topic)).await;
        Replay::new(frames.unwrap_or_default())
    }

    /// What a client has missed that has seen the run up to `last_event_id`: nothing, or the marker and the present state.
    pub async fn since(&self, topic: &Topic, last_event_id: i64) -> Result<Option<Arc<Replay>>, String> {
        let Topic::Execution { user_id, graph_exec_id, .. } = *topic else {
            return Ok(None);
        };
        let told = |error: RpcError| error.to_string();
        match self.database.get_execution_position(user_id, graph_exec_id).await.map_err(told)? {
            // Another number than one of ours is a gap as well.
            Some(position) if position == last_event_id => Ok(None),
            _ => Ok(Some(Replay::new(self.frames(topic).await.map_err(told)?))),
        }
    }

    async fn frames(&self, topic: &Topic) -> Result<Vec<Utf8Bytes>, RpcError> {
        match *topic {
            Topic::Execution { .. } => self.execution(topic).await,
            Topic::Graph { user_id, graph_id } => self.graph(topic, user_id, graph_id).await,
            // Nobody keeps notifications: a lost one is lost.
            Topic::Notifications { .. } => Ok(Vec::new()),
        }
    }

    async fn execution(&self, topic: &Topic) -> Result<Vec<Utf8Bytes>, RpcError> {
        let Topic::Execution {
            user_id,
            graph_exec_id,
            numbered,
            ..
        } = *topic
        else {
            return Ok(Vec::new());
        };
        let position = match numbered {
            // Before the state, which may therefore be newer, never older.
            true => self.database.get_execution_position(user_id, graph_exec_id).await?,
            false => None,
        };
        let mut events: Vec<Placed> = Vec::new();
        let mut is_whole = true;
        if let Some(snapshot) = self.database.get_execution_snapshot(user_id, graph_exec_id).await? {
            is_whole = snapshot.node_executions.len() < NODES;
            let nodes = snapshot.node_executions.into_iter();
            events.extend(nodes.map(|node| (ExecutionEvent::NodeExecutionUpdate(node), None)));
            // The run last: when it is over, nothing comes after that. Its frame is the only one with a number.
            events.push((ExecutionEvent::GraphExecutionUpdate(snapshot.execution), position));
        }
        let frames = written(topic, &events, self.limit, MOST_BYTES).await;
        is_whole &= frames.len() == events.len();
        let marker = match (numbered, is_whole) {
            (true, _) => Some(marker(user_id, graph_exec_id, Some(position), is_whole)),
            (false, true) => None,
            (false, false) => Some(marker(user_id, graph_exec_id, None, is_whole)),
        };
        Ok(marker.into_iter().chain(frames).collect())
    }

    async fn graph(&self, topic: &Topic, user_id: UserId, graph_id: GraphId) -> Result<Vec<Utf8Bytes>, RpcError> {
        let newest = self
            .database
            .get_graph_executions(None, Some(graph_id), None, Some(user_id), None, None, None, Some(RUNS));
        let events = newest.await?.into_iter().rev().map(|meta| {
            let outputs = Default::default();
            (ExecutionEvent::GraphExecutionUpdate(GraphExecution { meta, outputs }), None)
        });
        let events: Vec<Placed> = events.collect();
        Ok(written(topic, &events, self.limit, MOST_BYTES).await)
    }
}

/// The events as if they had been published, in at most `limit` bytes each. When they have more than `most` together, each gets the same
/// share of it.
async fn written(topic: &Topic, events: &[Placed], limit: usize, most: usize) -> Vec<Utf8Bytes> {
    let mut bytes = 0;
    let mut frames = Vec::with_capacity(events.len() + 1);
    for event in events {
        let frame = one(topic, event, limit).await;
        bytes += frame.as_ref().map_or(0, |frame| frame.len());
        if bytes > most {
            break;
        }
        frames.extend(frame);
    }
    if bytes > most {
        let share = limit.min(most / events.len());
        frames.clear();
        for event in events {
            frames.extend(one(topic, event, share).await);
        }
    }
    frames
}

/// None for an event that even shortened is too large.
async fn one(topic: &Topic, (event, position): &Placed, limit: usize) -> Option<Utf8Bytes> {
    // A large one takes its time, and others wait.
    tokio::task::yield_now().await;
    source::frame_of(topic, &bus::events::message(event, *position, None, limit))
}

/// Says that events of a run were lost and that its present state follows; `"complete": false` when not all of it does, and the rest must be
/// read over REST. A client that has not asked for numbers has no position and gets the five keys of the contract.
fn marker(user_id: UserId, graph_exec_id: GraphExecId, position: Option<Option<i64>>, is_whole: bool) -> Utf8Bytes {
    let channel = execution_channel(user_id, &graph_exec_id.to_string());
    let mut data = json!({ "graph_exec_id": graph_exec_id });
    if let Some(position) = position {
        data["position"] = json!(position);
    }
    if !is_whole {
        data["complete"] = json!(false);
    }
    match position {
        Some(_) => frame::numbered(Method::Resync, data, &channel, None),
        None => frame::event(Method::Resync, data, Some(&channel)),
    }
}

#[cfg(test)]
mod tests {
    use std::iter::repeat_n;

    use model::{ExecutionStatus, NodeExecutionResult, Timestamp};
    use serde_json::Value;
    use uuid::Uuid;

    use super::*;

    fn node(text: &str) -> Placed {
        let node = NodeExecutionResult {
            user_id: Uuid::nil(),
            graph_id: Uuid::nil(),
            graph_version: 1,
            graph_exec_id: Uuid::nil(),
            node_exec_id: Uuid::nil(),
            node_id: Uuid::nil(),
            block_id: Uuid::nil(),
            status: ExecutionStatus::Completed,
            input_data: Default::default(),
            output_data: [("out".to_owned(), vec![json!(text)])].into_iter().collect(),
            add_time: Timestamp::now(),
            queue_time: None,
            start_time: None,
            end_time: None,
        };
        (ExecutionEvent::NodeExecutionUpdate(node), None)
    }

    #[tokio::test]
    async fn what_is_too_much_together_is_shortened_and_nothing_is_left_out() {
        let topic = Topic::Execution {
            user_id: Uuid::nil(),
            graph_id: Uuid::nil(),
            graph_exec_id: Uuid::nil(),
            numbered: true,
        };
        let events: Vec<Placed> = repeat_n(node(&"x".repeat(100_000)), 4).collect();
        let output = |frame: &Utf8Bytes| serde_json::from_str::<Value>(frame).unwrap()["data"]["output_data"]["out"][0].to_string();
        let whole = written(&topic, &events, 1 << 20, 1 << 20).await;
        assert!(whole.iter().all(|frame| output(frame).len() == 100_002));
        let shortened = written(&topic, &events, 1 << 20, 200_000).await;
        assert_eq!(shortened.len(), 4);
        assert!(shortened.iter().all(|frame| frame.len() < 51_000 && output(frame).contains("(omitted")));
    }
}
