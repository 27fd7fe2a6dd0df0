//! A graph builder: nodes by short names, links as `"a.result -> b.x"`.

use std::collections::HashMap;
use std::sync::Arc;

use engine::error::GraphError;
use engine::graph::{Identity, prepare};
use engine::plan::Plan;
use engine::start::starting_inputs;
use model::{
    ClaimedRun, ExecutionContext, ExecutionStatus, Graph, GraphModel, Link, Map, Node, NodeExecutionRecord, NodeId, NodeInputMasks, StoredStats,
};
use serde_json::{Value, json};
use uuid::Uuid;

use super::{Blocks, at, blocks};

/// A graph being built, then stored.
pub struct World {
    pub blocks: Arc<Blocks>,
    pub graph: Graph,
    pub masks: NodeInputMasks,
    stored: Option<GraphModel>,
}

pub fn object(value: Value) -> Map {
    value.as_object().unwrap().clone()
}

/// Ids that count up, so that a failing test reads well.
pub fn counter(start: u128) -> impl FnMut() -> Uuid + Send + 'static {
    let mut next = start;
    move || {
        next += 1;
        Uuid::from_u128(next)
    }
}

impl World {
    pub fn new() -> Self {
        let graph = json!({"id": "main", "name": "test graph", "description": ""});
        Self {
            blocks: Arc::new(Blocks::new()),
            graph: serde_json::from_value(graph).unwrap(),
            masks: NodeInputMasks::new(),
            stored: None,
        }
    }

    pub fn node(mut self, id: &str, block: &str, input_default: Value) -> Self {
        self.graph.nodes.push(Node {
            id: id.to_owned(),
            block_id: blocks::id(block).to_string(),
            input_default: object(input_default),
            metadata: object(json!({"ref": id})),
        });
        self
    }

    pub fn link(self, text: &str) -> Self {
        self.link_with(text, false)
    }

    pub fn link_with(mut self, text: &str, is_static: bool) -> Self {
        let (source, sink) = text.split_once(" -> ").unwrap();
        let (source_id, source_name) = source.split_once('.').unwrap();
        let (sink_id, sink_name) = sink.split_once('.').unwrap();
        self.graph.links.push(Link {
            id: String::new(),
            source_id: source_id.to_owned(),
            sink_id: sink_id.to_owned(),
            source_name: source_name.to_owned(),
            sink_name: sink_name.to_owned(),
            is_static,
        });
        self
    }

    pub fn prepare(&self) -> Result<GraphModel, GraphError> {
        prepare(
            self.graph.clone(),
            Identity::New,
            Uuid::nil(),
            at(0),
            &*self.blocks,
            &mut counter(1 << 64),
        )
    }

    pub fn stored(&mut self) -> &GraphModel {
        if self.stored.is_none() {
            self.stored = Some(self.prepare().unwrap());
        }
        self.stored.as_ref().unwrap()
    }

    /// Node ids by the names given to the builder.
    pub fn ids(&mut self) -> HashMap<String, NodeId> {
        let nodes = self.stored().nodes.iter();
        nodes.map(|node| (node.metadata["ref"].as_str().unwrap().to_owned(), node.id)).collect()
    }

    pub fn mask(mut self, node: &str, mask: Value) -> Self {
        let id = self.ids()[node];
        self.masks.insert(id, object(mask));
        self
    }

    pub fn plan(&mut self) -> Arc<Plan> {
        let blocks = Arc::clone(&self.blocks);
        let graph = self.stored();
        Arc::new(Plan::compile(&graph.nodes, &graph.links, &*blocks).unwrap())
    }

    /// What submitting stores and the first executor claims.
    pub fn submit(&mut self, inputs: Value) -> Result<ClaimedRun, GraphError> {
        let plan = self.plan();
        let inputs = object(inputs);
        let starting = starting_inputs(&plan, &inputs, &self.masks)?;
        let mut mint = counter(1 << 72);
        let node_executions = starting.into_iter().map(|(node_id, data)| NodeExecutionRecord {
            node_exec_id: mint(),
            node_id,
            status: ExecutionStatus::Queued,
            inputs: data.clone(),
            execution_data: Some(data),
            outputs: Default::default(),
            cost: 0,
            add_time: at(0),
            queue_time: Some(at(0)),
            start_time: None,
            end_time: None,
        });
        Ok(ClaimedRun {
            graph_exec_id: Uuid::from_u128(7),
            user_id: Uuid::nil(),
            graph_id: self.stored.as_ref().unwrap().id,
            graph_version: 1,
            epoch: 1,
            next_seq: 1,
            status: ExecutionStatus::Queued,
            created_at: at(0),
            started_at: None,
            nodes_input_masks: self.masks.clone(),
            given: Default::default(),
            context: ExecutionContext::default(),
            stats: StoredStats::default(),
            cancel_requested: false,
            news: 0,
            traceparent: None,
            seconds_left: None,
            node_executions: node_executions.collect(),
            inputs,
        })
    }
}
