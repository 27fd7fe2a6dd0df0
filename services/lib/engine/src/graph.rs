//! A posted graph becomes a stored one: fresh ids, remapped links, agent nodes completed (rest.md §2.3).

use std::collections::{HashMap, HashSet};

use model::{BlockId, Graph, GraphId, GraphModel, Link, Map, NodeId, NodeModel, Timestamp, UserId};
use serde_json::Value;
use uuid::Uuid;

use crate::block::{BlockCatalog, BlockKind};
use crate::error::GraphError;
use crate::plan::describe;
use crate::schema;
use crate::value::{MAX_DEPTH, storable_map};

/// Which graph the posted one becomes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Identity {
    /// A new graph, version 1, under a fresh id.
    New,
    /// A new graph, version 1, under this id: the id of an inline graph follows from its content.
    Given(GraphId),
    /// A further version of a stored graph.
    Version { id: GraphId, version: i32 },
}

/// Gives every graph, node and link of the bundle a fresh id, remaps the links and the agent nodes that point inside the
/// bundle, and computes schemas. Node ids that occur twice or not at all are no error: every node gets its own.
///
/// The result is not validated but for what ids need: see [`crate::validate::for_save`].
///
/// # Errors
/// When a link's end or a block is unknown, or a value is nested too deeply.
pub fn prepare(
    graph: Graph,
    identity: Identity,
    user_id: UserId,
    created_at: Timestamp,
    catalog: &dyn BlockCatalog,
    mint: &mut dyn FnMut() -> Uuid,
) -> Result<GraphModel, GraphError> {
    let mut graph_ids = HashMap::new();
    for sub_graph in &graph.sub_graphs {
        graph_ids.insert(sub_graph.id.clone(), mint());
    }
    let (id, version) = match identity {
        Identity::New => (mint(), 1),
        Identity::Given(id) => (id, 1),
        Identity::Version { id, version } => (id, version),
    };
    graph_ids.insert(graph.id.clone(), id);
    // An empty id is no name for anything.
    graph_ids.remove("");
    let mut preparation = Preparation {
        user_id,
        created_at,
        catalog,
        graph_ids,
        mint,
    };
    preparation.graph(graph, id, version)
}

struct Preparation<'a> {
    user_id: UserId,
    created_at: Timestamp,
    catalog: &'a dyn BlockCatalog,
    /// Posted graph id → new one.
    graph_ids: HashMap<String, GraphId>,
    mint: &'a mut dyn FnMut() -> Uuid,
}

impl Preparation<'_> {
    fn graph(&mut self, graph: Graph, id: GraphId, version: i32) -> Result<GraphModel, GraphError> {
        let mut sub_graphs = Vec::with_capacity(graph.sub_graphs.len());
        for sub_graph in graph.sub_graphs {
            // Bundles are flat: what is nested deeper has no meaning of its own.
            let sub_id = self.graph_ids.get(&sub_graph.id).copied().unwrap_or_else(&mut *self.mint);
            let flat = Graph {
                sub_graphs: Vec::new(),
                ..sub_graph
            };
            sub_graphs.push(self.graph(flat, sub_id, 1)?);
        }
        let mut node_ids = HashMap::with_capacity(graph.nodes.len());
        let mut nodes = Vec::with_capacity(graph.nodes.len());
        for node in graph.nodes {
            let fresh = (self.mint)();
            let block_id = self.known_block(&node)?;
            node_ids.insert(node.id, fresh);
            nodes.push(NodeModel {
                id: fresh,
                block_id,
                input_default: self.input_default(node.input_default, block_id)?,
                metadata: node.metadata,
                input_links: Vec::new(),
                output_links: Vec::new(),
                graph_id: id,
                graph_version: version,
                webhook_id: None,
                webhook: None,
            });
        }
        let links = self.links(graph.links, &node_ids)?;
        let parsed = |text: Option<String>| text.and_then(|text| text.parse().ok());
        let mut model = GraphModel {
            id,
            version,
            is_active: graph.is_active,
            name: graph.name,
            description: graph.description,
            instructions: graph.instructions,
            recommended_schedule_cron: graph.recommended_schedule_cron,
            nodes,
            links,
            forked_from_id: parsed(graph.forked_from_id),
            forked_from_version: graph.forked_from_version,
            sub_graphs,
            user_id: self.user_id,
            created_at: self.created_at,
            input_schema: Value::Null,
            output_schema: Value::Null,
            has_external_trigger: false,
            has_human_in_the_loop: false,
            trigger_setup_info: None,
            credentials_input_schema: Value::Null,
        };
        complete(&mut model, self.catalog);
        Ok(model)
    }

    fn known_block(&self, node: &model::Node) -> Result<BlockId, GraphError> {
        let id = node.block_id.parse().ok().filter(|id| self.catalog.block(*id).is_some());
        id.ok_or_else(|| GraphError::UnknownBlock {
            node: node.id.clone(),
            block: node.block_id.clone(),
        })
    }

    /// Agent nodes carry their user, a place for values, and the new id of a graph of the same bundle.
    fn input_default(&self, mut input_default: Map, block_id: BlockId) -> Result<Map, GraphError> {
        let is_agent = self.catalog.block(block_id).is_some_and(|block| block.kind == BlockKind::Agent);
        if is_agent {
            input_default.insert("user_id".to_owned(), Value::String(self.user_id.to_string()));
            input_default.entry("inputs").or_insert_with(|| Value::Object(Map::new()));
            let child = input_default
                .get("graph_id")
                .and_then(Value::as_str)
                .and_then(|id| self.graph_ids.get(id));
            if let Some(child) = child {
                input_default.insert("graph_id".to_owned(), Value::String(child.to_string()));
                // What a bundle brings begins anew.
                input_default.insert("graph_version".to_owned(), Value::from(1));
            }
        }
        storable_map(input_default).map_err(|_| GraphError::TooDeep { limit: MAX_DEPTH })
    }

    /// Links between the new ids, each once, static where the source block's output is (internals §2.3).
    fn links(&mut self, links: Vec<Link>, node_ids: &HashMap<String, NodeId>) -> Result<Vec<Link>, GraphError> {
        let mut seen = HashSet::with_capacity(links.len());
        let mut prepared = Vec::with_capacity(links.len());
        for link in links {
            let end = |id: &str| {
                node_ids.get(id).map(NodeId::to_string).ok_or_else(|| GraphError::UnknownNode {
                    link: describe(&link),
                    node: id.to_owned(),
                })
            };
            let (source_id, sink_id) = (end(&link.source_id)?, end(&link.sink_id)?);
            let ends = (source_id.clone(), sink_id.clone(), link.source_name.clone(), link.sink_name.clone());
            if seen.insert(ends) {
                prepared.push(Link {
                    id: (self.mint)().to_string(),
                    source_id,
                    sink_id,
                    ..link
                });
            }
        }
        Ok(prepared)
    }
}

/// Fills in what follows from nodes and links: static links, the links of each node, schemas and flags. Sub-graphs included.
pub fn complete(graph: &mut GraphModel, catalog: &dyn BlockCatalog) {
    graph.sub_graphs.iter_mut().for_each(|sub_graph| complete(sub_graph, catalog));
    let mut positions: HashMap<String, usize> = HashMap::with_capacity(graph.nodes.len());
    let mut is_static = HashSet::new();
    for (position, node) in graph.nodes.iter_mut().enumerate() {
        node.input_links.clear();
        node.output_links.clear();
        positions.insert(node.id.to_string(), position);
        if catalog.block(node.block_id).is_some_and(|block| block.static_output) {
            is_static.insert(position);
        }
    }
    for link in &mut graph.links {
        let source = positions.get(&link.source_id).copied();
        link.is_static |= source.is_some_and(|position| is_static.contains(&position));
        if let Some(node) = source.and_then(|position| graph.nodes.get_mut(position)) {
            node.output_links.push(link.clone());
        }
        if let Some(node) = positions.get(&link.sink_id).and_then(|position| graph.nodes.get_mut(*position)) {
            node.input_links.push(link.clone());
        }
    }
    graph.input_schema = schema::input_schema(&graph.nodes, catalog);
    graph.output_schema = schema::output_schema(&graph.nodes, catalog);
    // Agents inside get the credentials of the run that they belong to (internals §2.2 step 3).
    let inside = graph.sub_graphs.iter().flat_map(|agent| &agent.nodes);
    graph.credentials_input_schema = schema::credentials_input_schema(&graph.name, graph.nodes.iter().chain(inside), catalog);
    graph.has_external_trigger = schema::has_kind(&graph.nodes, catalog, &[BlockKind::Webhook, BlockKind::WebhookManual]);
    graph.has_human_in_the_loop = schema::has_kind(&graph.nodes, catalog, &[BlockKind::HumanInTheLoop]);
    graph.trigger_setup_info = schema::trigger_setup_info(&graph.nodes, catalog);
}
