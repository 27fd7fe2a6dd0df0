//! Compiled masks: the caller's credential references put on every node that needs them (internals §2.2 step 3).

use engine::block::BlockCatalog;
use engine::schema::{credentials_key, is_credentials};
use indexmap::IndexMap;
use model::{CredentialsMetaInput, GraphModel, NodeInputMasks};

/// References by need, those of the agents inside included; then the caller's own masks over them, pin by pin.
pub(crate) fn compile(
    graph: &GraphModel,
    credentials: &IndexMap<String, CredentialsMetaInput>,
    masks: &NodeInputMasks,
    catalog: &dyn BlockCatalog,
) -> NodeInputMasks {
    let mut compiled = NodeInputMasks::new();
    // A node that runs an agent hands the masks on to it.
    let nodes = std::iter::once(graph).chain(&graph.sub_graphs).flat_map(|part| &part.nodes);
    let blocks = nodes.filter_map(|node| Some((node, catalog.block(node.block_id)?)));
    for (node, block) in blocks.filter(|_| !credentials.is_empty()) {
        for pin in block.inputs.iter().filter(|pin| is_credentials(pin.name)) {
            if let Some(reference) = credentials.get(&credentials_key(node, pin)) {
                let reference = serde_json::to_value(reference).unwrap_or_default();
                compiled.entry(node.id).or_default().insert(pin.name.to_owned(), reference);
            }
        }
    }
    for (node_id, mask) in masks {
        compiled.entry(*node_id).or_default().extend(mask.clone());
    }
    compiled
}
