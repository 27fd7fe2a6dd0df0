//! What graph versions take and give, without the rest of them: many at once, for lists.

use std::collections::HashMap;
use std::sync::Arc;

use engine::block::{BlockCatalog, BlockKind};
use engine::schema;
use model::{GraphId, GraphModel, NodeModel};
use serde_json::Value;

use crate::{SubmitError, Submitter};

/// Everything that follows from a graph's nodes and that lists show.
#[derive(Debug, Clone, PartialEq)]
pub struct GraphInterface {
    pub input_schema: Value,
    pub output_schema: Value,
    pub credentials_input_schema: Value,
    pub has_external_trigger: bool,
    pub has_human_in_the_loop: bool,
    pub trigger_setup_info: Option<Value>,
}

impl GraphInterface {
    fn of(name: &str, nodes: &[NodeModel], catalog: &dyn BlockCatalog) -> Self {
        Self {
            input_schema: schema::input_schema(nodes, catalog),
            output_schema: schema::output_schema(nodes, catalog),
            credentials_input_schema: schema::credentials_input_schema(name, nodes, catalog),
            has_external_trigger: schema::has_kind(nodes, catalog, &[BlockKind::Webhook, BlockKind::WebhookManual]),
            has_human_in_the_loop: schema::has_kind(nodes, catalog, &[BlockKind::HumanInTheLoop]),
            trigger_setup_info: schema::trigger_setup_info(nodes, catalog),
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

impl Submitter {
    /// The interfaces of these graph versions (id, version, name), in their order, whoever owns them. One query for all that are not known yet.
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
                    let made = Arc::new(GraphInterface::of(name, nodes, self.catalog.as_ref()));
                    self.interfaces.insert((*id, *version), Arc::clone(&made)).await;
                    made
                }
            };
            interfaces.push(interface);
        }
        Ok(interfaces)
    }

    /// Completes graphs that were read without nodes and links.
    pub(crate) async fn complete_listed(&self, graphs: &mut [GraphModel]) -> Result<(), SubmitError> {
        let versions: Vec<(GraphId, i32, String)> = graphs.iter().map(|graph| (graph.id, graph.version, graph.name.clone())).collect();
        let versions: Vec<(GraphId, i32, &str)> = versions.iter().map(|(id, version, name)| (*id, *version, name.as_str())).collect();
        for (graph, interface) in graphs.iter_mut().zip(self.interfaces(&versions).await?) {
            interface.apply(graph);
        }
        Ok(())
    }
}
