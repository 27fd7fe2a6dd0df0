//! What a run of a block costs: the one price list of the platform (internals §2.12).
//!
//! The executor charges by it and `GET /api/blocks` shows it, so that nobody is charged what nobody could see.

mod fixed;

use std::collections::HashMap;

use model::{BlockId, Map};
use serde::Serialize;
use serde_json::Value;

use crate::catalog::ai::models;

/// One entry of a block's prices, in the form of the API.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct BlockCost {
    /// Credits (cents).
    pub cost_amount: i64,
    /// What the input must contain for this entry to count.
    pub cost_filter: Map,
    pub cost_type: CostType,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum CostType {
    /// A fixed amount for each run.
    Run,
    /// By run time. Shown, but never charged: a block is charged before it runs.
    Second,
    /// By size. Shown, but never charged.
    Byte,
}

impl BlockCost {
    /// `amount` for each run whose input contains `filter`.
    pub fn run(amount: i64, filter: Map) -> Self {
        Self {
            cost_amount: amount,
            cost_filter: filter,
            cost_type: CostType::Run,
        }
    }

    /// What this entry charges before a run.
    fn charge(&self) -> i64 {
        match self.cost_type {
            CostType::Run => self.cost_amount.max(0),
            CostType::Second | CostType::Byte => 0,
        }
    }
}

/// Prices by block. A block without entries is free.
#[derive(Debug, Clone, Default)]
pub struct PriceList(HashMap<BlockId, Vec<BlockCost>>);

impl PriceList {
    /// The prices of the contract.
    pub fn standard() -> Self {
        let fixed = fixed::FIXED.iter().fold(Self::default(), |list, (block, amount)| {
            list.with(*block, BlockCost::run(*amount, Map::new()))
        });
        models::BLOCKS.iter().fold(fixed, |list, block| models::priced(list, *block))
    }

    /// Adds an entry behind those that the block has.
    pub fn with(mut self, block: BlockId, cost: BlockCost) -> Self {
        self.0.entry(block).or_default().push(cost);
        self
    }

    /// Adds all entries of another list.
    pub fn merged(self, other: Self) -> Self {
        let entries = other
            .0
            .into_iter()
            .flat_map(|(block, costs)| costs.into_iter().map(move |cost| (block, cost)));
        entries.fold(self, |list, (block, cost)| list.with(block, cost))
    }

    /// The entries of a block, in the order in which they are tried.
    pub fn of(&self, block: BlockId) -> &[BlockCost] {
        self.0.get(&block).map_or(&[], Vec::as_slice)
    }

    /// Credits that a run of the block with this input costs: the first entry whose filter the input contains decides.
    pub fn charge(&self, block: BlockId, input: &Map) -> i64 {
        let entry = self.of(block).iter().find(|cost| contains(input, &cost.cost_filter));
        entry.map_or(0, BlockCost::charge)
    }
}

/// Whether `input` says everything that `filter` asks for.
fn contains(input: &Map, filter: &Map) -> bool {
    filter.iter().all(|(name, wanted)| match (input.get(name), wanted) {
        (given, wanted) if is_blank(wanted) => given.is_none_or(is_blank),
        (Some(Value::Object(given)), Value::Object(wanted)) => contains(given, wanted),
        (Some(given), wanted) => given == wanted,
        (None, _) => false,
    })
}

/// Null, empty and missing are the same to a filter.
fn is_blank(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(items) => items.is_empty(),
        Value::Object(fields) => fields.is_empty(),
        Value::Bool(_) | Value::Number(_) => false,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use serde_json::json;
    use uuid::Uuid;

    use super::*;

    const BLOCK: BlockId = Uuid::from_u128(1);

    fn map(value: Value) -> Map {
        value.as_object().unwrap().clone()
    }

    #[test]
    fn the_first_entry_that_fits_decides() {
        let list = PriceList::default()
            .with(BLOCK, BlockCost::run(7, map(json!({"model": "large", "credentials": {"provider": "a"}}))))
            .with(BLOCK, BlockCost::run(3, map(json!({"model": "large"}))))
            .with(BLOCK, BlockCost::run(1, Map::new()));
        let charge = |input| list.charge(BLOCK, &map(input));
        assert_eq!(
            charge(json!({"model": "large", "credentials": {"provider": "a", "id": "x"}, "prompt": 1})),
            7
        );
        assert_eq!(charge(json!({"model": "large", "credentials": {"provider": "b"}})), 3);
        assert_eq!(charge(json!({"model": "large", "credentials": "a"})), 3);
        assert_eq!(charge(json!({"model": "small"})), 1);
        assert_eq!(charge(json!({})), 1);
        assert_eq!(list.charge(Uuid::nil(), &Map::new()), 0);
    }

    #[test]
    fn null_empty_and_missing_are_the_same() {
        for blank in [json!(null), json!(""), json!([]), json!({})] {
            let list = PriceList::default().with(BLOCK, BlockCost::run(2, map(json!({"key": blank}))));
            for input in [
                json!({}),
                json!({"key": null}),
                json!({"key": ""}),
                json!({"key": []}),
                json!({"key": {}}),
            ] {
                assert_eq!(list.charge(BLOCK, &map(input.clone())), 2, "{blank} in {input}");
            }
            for input in [json!({"key": "x"}), json!({"key": 0}), json!({"key": false})] {
                assert_eq!(list.charge(BLOCK, &map(input.clone())), 0, "{blank} in {input}");
            }
        }
    }

    #[test]
    fn what_is_measured_by_time_or_size_is_not_charged_before_it_runs() {
        for cost_type in [CostType::Second, CostType::Byte] {
            let cost = BlockCost {
                cost_type,
                ..BlockCost::run(5, Map::new())
            };
            // It decides all the same: the entry behind it is not reached.
            let list = PriceList::default().with(BLOCK, cost).with(BLOCK, BlockCost::run(1, Map::new()));
            assert_eq!(list.charge(BLOCK, &Map::new()), 0);
        }
    }

    #[test]
    fn an_entry_reads_as_the_api_shows_it() {
        let cost = serde_json::to_value(BlockCost::run(4, map(json!({"model": "m"})))).unwrap();
        assert_eq!(cost, json!({"cost_amount": 4, "cost_filter": {"model": "m"}, "cost_type": "run"}));
    }

    #[test]
    fn every_block_has_one_fixed_price_that_is_no_gift() {
        let blocks: HashSet<BlockId> = fixed::FIXED.iter().map(|(block, _)| *block).collect();
        assert_eq!(blocks.len(), fixed::FIXED.len());
        assert!(fixed::FIXED.iter().all(|(_, amount)| *amount > 0));
    }
}
