//! What graph versions take and give, without the rest of them: many at once, for lists.

use std::collections::HashMap;
use std::sync::Arc;

use engine::block::{BlockCatalog, BlockKind};
use engine::schema;
use model::{GraphId, GraphModel, NodeModel};
use serde_json::Value;
use serde_json::value::{RawValue, to_raw_value};

use crate::{SubmitError, Submitter};

/// Everything that follows from a graph's nodes and that lists show.
#[derive(Debug, Clone)]
pub struct GraphInterface {
    pub input_schema: Value,
    pub output_schema: Value,
    pub credentials_input_schema: Value,
    pub has_external_trigger: bool,
    pub has_human_in_the_loop: bool,
    pub trigger_setup_info: Option<Value>,
    /// The same, written once: lists are read often and long.
    pub json: InterfaceJson,
}

/// The parts of a [`GraphInterface`] as answers carry them.
#[derive(Debug, Clone)]
pub struct InterfaceJson {
    pub input_schema: Box<RawValue>,
    pub output_schema: Box<RawValue>,
    pub credentials_input_schema: Box<RawValue>,
    pub trigger_setup_info: Option<Box<RawValue>>,
}

/// A graph version in a list: without nodes and links, and what follows from them beside it.
#[derive(Debug, Clone)]
pub struct ListedGraph {
    pub graph: GraphModel,
    pub interface: Arc<GraphInterface>,
}

impl GraphInterface {
    fn of(name: &str, nodes: &[NodeModel], inside: &[GraphModel], catalog: &dyn BlockCatalog) -> Self {
        let input_schema = schema::input_schema(nodes, catalog);
        let output_schema = schema::output_schema(nodes, catalog);
        let credentials_input_schema =
            schema::credentials_input_schema(name, nodes.iter().chain(inside.iter().flat_map(|agent| &agent.nodes)), catalog);
        let trigger_setup_info = schema::trigger_setup_info(nodes, catalog);
        Self {
            json: InterfaceJson {
                input_schema: written(&input_schema),
                output_schema: written(&output_schema),
                credentials_input_schema: written(&credentials_input_schema),
                trigger_setup_info: trigger_setup_info.as_ref().map(written),
            },
            input_schema,
            output_schema,
            credentials_input_schema,
            has_external_trigger: schema::has_kind(nodes, catalog, &[BlockKind::Webhook, BlockKind::WebhookManual]),
            has_human_in_the_loop: schema::has_kind(nodes, catalog, &[BlockKind::HumanInTheLoop]),
            trigger_setup_info,
        }
    }

    /// Puts it on the graph that it belongs to.
    pub fn apply(&self, graph: &mut GraphModel) {
        graph.input_schema = self.input_schema.clone();
        graph.output_schema = self.output_schema.clone();
        graph.credentials_input_schema = self.credentials_input_schema.clone();
        graph.has_external_trigger = self.has_external_trigger;
        graph.has_human_in_the_loop = self.has_human_in_the_loop;
        graph.trigger_setup_info = self.trigger_setup_info.clone();
    }
}

fn written(value: &Value) -> Box<RawValue> {
    // Writing a value cannot fail.
    to_raw_value(value).unwrap_or_else(|_| RawValue::NULL.to_owned())
}

impl Submitter {
    /// The interfaces of these graph versions (id, version, name), in their order, whoever owns them. One query for all that are not known yet,
    /// and more for each of them that runs agents.
    pub async fn interfaces(&self, versions: &[(GraphId, i32, &str)]) -> Result<Vec<Arc<GraphInterface>>, SubmitError> {
        let mut found = Vec::with_capacity(versions.len());
        let mut unknown = Vec::new();
        for (id, version, _) in versions {
            let known = self.interfaces.get(&(*id, *version)).await;
            if known.is_none() {
                unknown.push((*id, *version));
            }
            found.push(known);
        }
        let mut nodes: HashMap<(GraphId, i32), Vec<NodeModel>> = HashMap::new();
        if !unknown.is_empty() {
            for node in self.store.nodes_of(&unknown).await? {
                nodes.entry((node.graph_id, node.graph_version)).or_default().push(node);
            }
        }
        let mut interfaces = Vec::with_capacity(versions.len());
        for (known, (id, version, name)) in found.into_iter().zip(versions) {
            let interface = match known {
                Some(known) => known,
                None => {
                    let nodes = nodes.get(&(*id, *version)).map(Vec::as_slice).unwrap_or_default();
                    let (agents, is_whole) = self.inside(*id, *version, nodes).await?;
                    let made = Arc::new(GraphInterface::of(name, nodes, &agents, self.catalog.as_ref()));
                    if is_whole {
                        self.interfaces.insert((*id, *version), Arc::clone(&made)).await;
                    }
                    made
                }
            };
            interfaces.push(interface);
        }
        Ok(interfaces)
    }

    /// The agents that a graph version with these nodes runs, and whether these are all.
    async fn inside(&self, id: GraphId, version: i32, nodes: &[NodeModel]) -> Result<(Vec<GraphModel>, bool), SubmitError> {
        if !schema::has_kind(nodes, self.catalog.as_ref(), &[BlockKind::Agent]) {
            return Ok((Vec::new(), true));
        }
        let bundle = self.bundle(id, Some(version)).await?;
        Ok(bundle.map(|bundle| (bundle.graph.sub_graphs, bundle.is_whole)).unwrap_or_default())
    }

    /// Graphs that were read without nodes and links, with what follows from these.
    pub(crate) async fn listed(&self, graphs: Vec<GraphModel>) -> Result<Vec<ListedGraph>, SubmitError> {
        let versions: Vec<(GraphId, i32, &str)> = graphs.iter().map(|graph| (graph.id, graph.version, graph.name.as_str())).collect();
        let interfaces = self.interfaces(&versions).await?;
        let listed = graphs.into_iter().zip(interfaces);
        Ok(listed.map(|(graph, interface)| ListedGraph { graph, interface }).collect())
    }
}
