//! All blocks of this build.

use std::collections::HashMap;
use std::sync::Arc;

use engine::block::{BlockCatalog, BlockDescriptor};
use model::{BlockId, Map};
use serde_json::{Value, json};

use crate::block::Block;
use crate::price::PriceList;
use crate::{catalog, category};

/// Blocks by id.
pub struct Registry {
    blocks: Vec<Arc<dyn Block>>,
    by_id: HashMap<BlockId, Arc<dyn Block>>,
    prices: PriceList,
}

impl Registry {
    /// Every block that this build contains, at the platform's prices.
    pub fn standard() -> Arc<Self> {
        Arc::new(Self::new(catalog::all()).with_prices(PriceList::standard()))
    }

    /// Every block that this build contains, and those of the caller at the caller's prices.
    pub fn with(extra: Vec<Arc<dyn Block>>, prices: PriceList) -> Arc<Self> {
        let mut blocks = catalog::all();
        blocks.extend(extra);
        Arc::new(Self::new(blocks).with_prices(PriceList::standard().merged(prices)))
    }

    /// A registry of the given blocks, all of them free; of two with one id the later wins.
    pub fn new(blocks: Vec<Arc<dyn Block>>) -> Self {
        let by_id = blocks.iter().map(|block| (block.descriptor().id, Arc::clone(block))).collect();
        Self {
            blocks,
            by_id,
            prices: PriceList::default(),
        }
    }

    /// The same blocks at other prices.
    pub fn with_prices(self, prices: PriceList) -> Self {
        Self { prices, ..self }
    }

    /// Credits that a run of the block with this input costs.
    pub fn charge(&self, id: BlockId, input: &Map) -> i64 {
        self.prices.charge(id, input)
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
        Value::Array(enabled.map(|descriptor| api_entry(descriptor, &self.prices)).collect())
    }
}

impl BlockCatalog for Registry {
    fn block(&self, id: BlockId) -> Option<&BlockDescriptor> {
        self.by_id.get(&id).map(|block| block.descriptor())
    }
}

fn api_entry(descriptor: &BlockDescriptor, prices: &PriceList) -> Value {
    json!({
        "id": descriptor.id,
        "name": descriptor.name,
        "inputSchema": descriptor.input_schema(),
        "outputSchema": descriptor.output_schema(),
        "costs": prices.of(descriptor.id),
        "description": descriptor.description,
        "categories": descriptor.categories.iter().map(|name| category::describe(name)).collect::<Vec<Value>>(),
        "contributors": [],
        "staticOutput": descriptor.static_output,
        "uiType": descriptor.kind.as_str(),
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use engine::block::{BlockCatalog, BlockKind};
    use model::Map;
    use serde_json::json;
    use uuid::uuid;

    use super::Registry;
    use crate::catalog;
    use crate::price::{BlockCost, PriceList};

    #[test]
    fn ids_and_names_are_unique() {
        let registry = Registry::standard();
        let ids: HashSet<_> = registry.iter().map(|block| block.descriptor().id).collect();
        let names: HashSet<_> = registry.iter().map(|block| block.descriptor().name).collect();
        assert_eq!((ids.len(), names.len()), (registry.iter().count(), registry.iter().count()));
    }

    #[test]
    fn the_list_shows_what_the_builder_needs() {
        let list = Registry::standard().api_list();
        let entry = list
            .as_array()
            .unwrap()
            .iter()
            .find(|entry| entry["name"] == "AgentShortTextInputBlock")
            .unwrap();
        assert_eq!(entry["id"], "7fcd3bcb-8e1b-4e69-903d-32d3d4a92158");
        assert_eq!(
            (&entry["uiType"], entry["staticOutput"].as_bool()),
            (&BlockKind::Input.as_str().into(), Some(true))
        );
        assert_eq!(entry["categories"][1]["category"], "INPUT");
        assert_eq!(entry["inputSchema"]["required"], serde_json::json!(["name"]));
        let value = &entry["inputSchema"]["properties"]["value"];
        assert_eq!(
            (&value["title"], &value["anyOf"][0]["format"], &value["default"]),
            (&"Value".into(), &"short-text".into(), &().into())
        );
        assert_eq!(entry["inputSchema"]["properties"]["secret"]["advanced"], true);
        assert!(entry["outputSchema"]["properties"].get("error").is_none());
    }

    #[test]
    fn the_list_shows_what_is_charged() {
        let filter = json!({"format": "long"}).as_object().unwrap().clone();
        let block = uuid!("db7d8f02-2f44-4c55-ab7a-eae0941f0c30");
        let prices = PriceList::default().with(block, BlockCost::run(3, filter.clone()));
        let registry = Registry::new(catalog::all()).with_prices(prices);
        let list = registry.api_list();
        let costs = |id: &str| list.as_array().unwrap().iter().find(|entry| entry["id"] == id).unwrap()["costs"].clone();
        assert_eq!(
            costs(&block.to_string()),
            json!([{"cost_amount": 3, "cost_filter": {"format": "long"}, "cost_type": "run"}])
        );
        assert_eq!(costs("363ae599-353e-4804-937e-b2ee3cef3da4"), json!([]));
        assert_eq!((registry.charge(block, &filter), registry.charge(block, &Map::new())), (3, 0));
    }

    #[test]
    fn only_what_a_block_declares_itself_is_converted() {
        let registry = Registry::standard();
        let own = |id| -> Vec<&str> {
            registry
                .block(id)
                .unwrap()
                .inputs
                .iter()
                .filter(|pin| pin.own)
                .map(|pin| pin.name)
                .collect()
        };
        assert_eq!(own(uuid!("c0a8e994-ebf1-4a9c-a4d8-89d09c86741b")).len(), 7);
        assert_eq!(own(uuid!("96dae2bb-97a2-41c2-bd2f-13a3b5a8ea98")), ["value"]);
        assert_eq!(own(uuid!("655d6fdf-a334-421c-b733-520549c07cd1")), ["value", "placeholder_values"]);
        assert_eq!(own(uuid!("5603b273-f41e-4020-af7d-fbc9c6a8d928")), ["value", "column_headers"]);
    }
}
