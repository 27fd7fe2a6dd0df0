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
use crate::rooms::Topic;
use crate::session::{execution_channel, graph_channel};

/// Runs of a graph that are told anew; older ones were over long before the gap, as a rule.
const RUNS: i64 = 25;
/// Nodes of a run that are told anew, the latest ones: fewer than may wait for a connection.
const NODES: usize = 200;

#[derive(Clone)]
pub struct Resync {
    database: Arc<dyn DatabaseManager>,
    shutdown: Shutdown,
}

impl Resync {
    pub fn new(database: Arc<dyn DatabaseManager>, shutdown: &Shutdown) -> Self {
        Self {
            database,
            shutdown: shutdown.clone(),
        }
    }

    /// Waits for the database manager when it is away.
    pub async fn frames(&self, topic: &Topic) -> Vec<Utf8Bytes> {
        let frames = retry_forever("database manager", &self.shutdown, || self.try_frames(topic)).await;
        frames.unwrap_or_default()
    }

    async fn try_frames(&self, topic: &Topic) -> Result<Vec<Utf8Bytes>, RpcError> {
        match *topic {
            Topic::Execution {
                user_id,
                graph_exec_id,
                numbered: false,
                ..
            } => self.execution(user_id, graph_exec_id, None).await,
            Topic::Execution { user_id, graph_exec_id, .. } => {
                let position = self.database.get_execution_position(user_id, graph_exec_id).await?;
                let mut frames = vec![marker(user_id, graph_exec_id, position)];
                frames.extend(self.execution(user_id, graph_exec_id, Some(position)).await?);
                Ok(frames)
            }
            Topic::Graph { user_id, graph_id } => self.graph(user_id, graph_id).await,
            // Nobody keeps notifications: a lost one is lost.
            Topic::Notifications { .. } => Ok(Vec::new()),
        }
    }

    /// What a client has missed that has seen the run up to `last_event_id`: nothing, or the marker and the present state.
    pub async fn since(&self, topic: &Topic, last_event_id: i64) -> Result<Vec<Utf8Bytes>, String> {
        let Topic::Execution { user_id, graph_exec_id, .. } = *topic else {
            return Ok(Vec::new());
        };
        let told = |error: RpcError| error.to_string();
        match self.database.get_execution_position(user_id, graph_exec_id).await.map_err(told)? {
            // Another number than one of ours is a gap as well.
            Some(position) if position == last_event_id => Ok(Vec::new()),
            _ => self.try_frames(topic).await.map_err(told),
        }
    }

    /// `position` numbers the last frame of a numbered topic. It was read before the state, which may therefore be newer, never older.
    async fn execution(&self, user_id: UserId, graph_exec_id: GraphExecId, position: Option<Option<i64>>) -> Result<Vec<Utf8Bytes>, RpcError> {
        let Some(snapshot) = self.database.get_execution_snapshot(user_id, graph_exec_id).await? else {
            return Ok(Vec::new());
        };
        let channel = execution_channel(user_id, &graph_exec_id.to_string());
        let older = snapshot.node_executions.len().saturating_sub(NODES);
        let nodes = snapshot.node_executions.into_iter().skip(older).map(ExecutionEvent::NodeExecutionUpdate);
        // The run last: when it is over, nothing comes after that.
        let run = ExecutionEvent::GraphExecutionUpdate(snapshot.execution);
        Ok(match position {
            None => nodes.chain([run]).map(|event| told(&event, &channel)).collect(),
            Some(position) => {
                let nodes = nodes.map(|event| frame::numbered(method_of(&event), &event, &channel, None));
                nodes.chain([frame::numbered(method_of(&run), &run, &channel, position)]).collect()
            }
        })
    }

    async fn graph(&self, user_id: UserId, graph_id: GraphId) -> Result<Vec<Utf8Bytes>, RpcError> {
        let newest = self
            .database
            .get_graph_executions(None, Some(graph_id), None, Some(user_id), None, None, None, Some(RUNS));
        let channel = graph_channel(user_id, &graph_id.to_string());
        let events = newest.await?.into_iter().rev().map(|meta| {
            let outputs = Default::default();
            ExecutionEvent::GraphExecutionUpdate(GraphExecution { meta, outputs })
        });
        Ok(events.map(|event| told(&event, &channel)).collect())
    }
}

fn told(event: &ExecutionEvent, channel: &str) -> Utf8Bytes {
    frame::event(method_of(event), event, Some(channel))
}

fn method_of(event: &ExecutionEvent) -> Method {
    match event {
        ExecutionEvent::NodeExecutionUpdate(_) => Method::NodeExecutionEvent,
        ExecutionEvent::GraphExecutionUpdate(_) => Method::GraphExecutionEvent,
    }
}

/// Says that events of a run were lost and that its present state follows.
fn marker(user_id: UserId, graph_exec_id: GraphExecId, position: Option<i64>) -> Utf8Bytes {
    let channel = execution_channel(user_id, &graph_exec_id.to_string());
    let data = json!({ "graph_exec_id": graph_exec_id, "position": position });
    frame::numbered(Method::Resync, data, &channel, None)
}
