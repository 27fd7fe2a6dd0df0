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
            Topic::Execution { user_id, graph_exec_id, .. } => self.execution(user_id, graph_exec_id).await,
            Topic::Graph { user_id, graph_id } => self.graph(user_id, graph_id).await,
            // Nobody keeps notifications: a lost one is lost.
            Topic::Notifications { .. } => Ok(Vec::new()),
        }
    }

    async fn execution(&self, user_id: UserId, graph_exec_id: GraphExecId) -> Result<Vec<Utf8Bytes>, RpcError> {
        let Some(snapshot) = self.database.get_execution_snapshot(user_id, graph_exec_id).await? else {
            return Ok(Vec::new());
        };
        let channel = execution_channel(user_id, &graph_exec_id.to_string());
        let older = snapshot.node_executions.len().saturating_sub(NODES);
        let nodes = snapshot.node_executions.into_iter().skip(older).map(ExecutionEvent::NodeExecutionUpdate);
        // The run last: when it is over, nothing comes after that.
        let events = nodes.chain([ExecutionEvent::GraphExecutionUpdate(snapshot.execution)]);
        Ok(events.map(|event| told(&event, &channel)).collect())
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
    let method = match event {
        ExecutionEvent::NodeExecutionUpdate(_) => Method::NodeExecutionEvent,
        ExecutionEvent::GraphExecutionUpdate(_) => Method::GraphExecutionEvent,
    };
    frame::event(method, event, Some(channel))
}
