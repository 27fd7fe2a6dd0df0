//! All blocks of this build.

use std::collections::HashMap;
use std::sync::Arc;

use engine::block::{BlockCatalog, BlockDescriptor};
use model::BlockId;
use serde_json::{Value, json};

use crate::block::Block;
use crate::{catalog, category};

/// Blocks by id.
pub struct Registry {
    blocks: Vec<Arc<dyn Block>>,
    by_id: HashMap<BlockId, Arc<dyn Block>>,
}

impl Registry {
    /// Every block that this build contains.
    pub fn standard() -> Arc<Self> {
        Arc::new(Self::new(catalog::all()))
    }

    /// A registry of the given blocks; of two with one id the later wins.
    pub fn new(blocks: Vec<Arc<dyn Block>>) -> Self {
        let by_id = blocks.iter().map(|block| (block.descriptor().id, Arc::clone(block))).collect();
        Self { blocks, by_id }
    }

    pub fn get(&self, id: BlockId) -> Option<Arc<dyn Block>> {
        self.by_id.get(&id).map(Arc::clone)
    }

    /// All blocks in the order of declaration.
    pub fn iter(&self) -> impl Iterator<Item = &dyn Block> {
        self.blocks.iter().map(AsRef::as_ref)
    }

    /// The body of `GET /api/blocks` (rest.md §2.1): every enabled block.
    pub fn api_list(&self) -> Value {
        let enabled = self.iter().map(Block::descriptor).filter(|descriptor| !descriptor.disabled);
        Value::Array(enabled.map(api_entry).collect())
    }
}

impl BlockCatalog for Registry {
    fn block(&self, id: BlockId) -> Option<&BlockDescriptor> {
        self.by_id.get(&id).map(|block| block.descriptor())
    }
}

fn api_entry(descriptor: &BlockDescriptor) -> Value {
    json!({
        "id": descriptor.id,
        "name": descriptor.name,
        "inputSchema": descriptor.input_schema(),
        "outputSchema": descriptor.output_schema(),
        "costs": [],
        "description": descriptor.description,
        "categories": descriptor.categories.iter().map(|name| category::describe(name)).collect::<Vec<Value>>(),
        "contributors": [],
        "staticOutput": descriptor.static_output,
        "uiType": descriptor.kind.as_str(),
    })
}
