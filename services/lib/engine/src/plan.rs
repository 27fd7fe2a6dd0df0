//! A graph made ready for running: dense node indices, links by source, schemas compiled once. Cached per graph version.

use std::collections::HashMap;
use std::sync::Arc;

use model::{BlockId, Link, Map, NodeId, NodeModel};

use crate::block::{BlockCatalog, BlockDescriptor, BlockKind, Effects};
use crate::check::Check;
use crate::error::GraphError;
use crate::policy::NodePolicy;
use crate::types::PinType;
use crate::value::{MAX_DEPTH, storable_map};

/// Position of a node in its plan.
pub(crate) type NodeIndex = usize;

/// A graph ready to run. Sub-graphs are not part of it: their nodes run as runs of their own (internals §2.14).
#[derive(Debug)]
pub struct Plan {
    nodes: Vec<PlanNode>,
    by_id: HashMap<NodeId, NodeIndex>,
}

/// One node of a plan.
#[derive(Debug)]
pub struct PlanNode {
    pub id: NodeId,
    /// The id as links and tool outputs spell it.
    pub(crate) id_text: String,
    pub block: Arc<PlanBlock>,
    pub policy: NodePolicy,
    pub input_default: Map,
    /// Raw sink names of the links that arrive here, each once.
    pub(crate) linked: Vec<String>,
    /// Those of them whose link is static.
    pub(crate) linked_static: Vec<String>,
    pub(crate) routes: Vec<Route>,
}

/// A link, seen from its source.
#[derive(Debug)]
pub(crate) struct Route {
    pub source_name: String,
    pub sink: NodeIndex,
    pub sink_name: String,
    pub is_static: bool,
}

/// What running needs of a block, shared by all its nodes.
#[derive(Debug)]
pub struct PlanBlock {
    pub id: BlockId,
    pub name: &'static str,
    pub kind: BlockKind,
    pub effects: Effects,
    pub static_output: bool,
    /// Pins whose values are converted on arrival: those that the block declares itself (internals §2.5 step 5).
    pub(crate) conversions: Vec<(&'static str, PinType)>,
    pub(crate) required: Vec<&'static str>,
    pub(crate) checks: Vec<(&'static str, Check)>,
}

impl PlanBlock {
    fn compile(block: &BlockDescriptor) -> Self {
        let untouched = |ty: &PinType| matches!(ty, PinType::Any | PinType::Opaque | PinType::Literal(_));
        let own = block.inputs.iter().filter(|pin| pin.own && !untouched(&pin.ty));
        let checks = block.inputs.iter().map(|pin| (pin.name, Check::compile(&pin.schema)));
        Self {
            id: block.id,
            name: block.name,
            kind: block.kind,
            effects: block.effects,
            static_output: block.static_output,
            conversions: own.map(|pin| (pin.name, pin.ty.clone())).collect(),
            required: block.inputs.iter().filter(|pin| pin.required).map(|pin| pin.name).collect(),
            checks: checks.filter(|(_, check)| *check != Check::default()).collect(),
        }
    }
}

impl Plan {
    /// Compiles the nodes and links of one graph version.
    ///
    /// # Errors
    /// When a node's block or the end of a link is unknown, a default value is nested too deeply, or what a node says about retries cannot be understood.
    pub fn compile(nodes: &[NodeModel], links: &[Link], catalog: &dyn BlockCatalog) -> Result<Self, GraphError> {
        let mut blocks: HashMap<BlockId, Arc<PlanBlock>> = HashMap::new();
        let mut plan = Self {
            nodes: Vec::with_capacity(nodes.len()),
            by_id: HashMap::with_capacity(nodes.len()),
        };
        for node in nodes {
            let block = match blocks.get(&node.block_id) {
                Some(block) => Arc::clone(block),
                None => {
                    let descriptor = catalog.block(node.block_id).ok_or_else(|| unknown_block(node))?;
                    let block = Arc::new(PlanBlock::compile(descriptor));
                    blocks.insert(node.block_id, Arc::clone(&block));
                    block
                }
            };
            plan.by_id.insert(node.id, plan.nodes.len());
            plan.nodes.push(PlanNode {
                id: node.id,
                id_text: node.id.to_string(),
                block,
                policy: NodePolicy::of(node)?,
                input_default: storable_map(node.input_default.clone()).map_err(|_| GraphError::TooDeep { limit: MAX_DEPTH })?,
                linked: Vec::new(),
                linked_static: Vec::new(),
                routes: Vec::new(),
            });
        }
        for link in links {
            plan.connect(link)?;
        }
        Ok(plan)
    }

    fn connect(&mut self, link: &Link) -> Result<(), GraphError> {
        let end = |id: &str| -> Result<NodeIndex, GraphError> {
            let node = id.parse().ok().and_then(|id: NodeId| self.by_id.get(&id).copied());
            node.ok_or_else(|| GraphError::UnknownNode {
                link: describe(link),
                node: id.to_owned(),
            })
        };
        let (source, sink) = (end(&link.source_id)?, end(&link.sink_id)?);
        let Some(source_node) = self.nodes.get_mut(source) else { return Ok(()) };
        let is_static = link.is_static || source_node.block.static_output;
        source_node.routes.push(Route {
            source_name: link.source_name.clone(),
            sink,
            sink_name: link.sink_name.clone(),
            is_static,
        });
        let Some(sink_node) = self.nodes.get_mut(sink) else { return Ok(()) };
        if !sink_node.linked.contains(&link.sink_name) {
            sink_node.linked.push(link.sink_name.clone());
        }
        if is_static && !sink_node.linked_static.contains(&link.sink_name) {
            sink_node.linked_static.push(link.sink_name.clone());
        }
        Ok(())
    }

    pub fn nodes(&self) -> &[PlanNode] {
        &self.nodes
    }

    pub fn node(&self, id: NodeId) -> Option<&PlanNode> {
        self.nodes.get(*self.by_id.get(&id)?)
    }

    pub(crate) fn index(&self, id: NodeId) -> Option<NodeIndex> {
        self.by_id.get(&id).copied()
    }

    pub(crate) fn at(&self, index: NodeIndex) -> Option<&PlanNode> {
        self.nodes.get(index)
    }
}

impl PlanNode {
    /// A node without inbound links, or an input node; never a note (internals §2.4).
    pub fn is_starting(&self) -> bool {
        match self.block.kind {
            BlockKind::Note => false,
            BlockKind::Input => true,
            _ => self.linked.is_empty(),
        }
    }
}

fn unknown_block(node: &NodeModel) -> GraphError {
    GraphError::UnknownBlock {
        node: node.id.to_string(),
        block: node.block_id.to_string(),
    }
}

/// A link in words, for messages.
pub(crate) fn describe(link: &Link) -> String {
    format!("{}.{} -> {}.{}", link.source_id, link.source_name, link.sink_id, link.sink_name)
}
