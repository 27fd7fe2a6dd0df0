//! Branches, loops and arithmetic.

mod calculator;
mod condition;
mod count_items;
mod data_sampling;
mod if_input_matches;
mod step_through_items;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![
        Arc::new(condition::block()),
        Arc::new(if_input_matches::block()),
        Arc::new(calculator::block()),
        Arc::new(count_items::block()),
        Arc::new(step_through_items::block()),
        Arc::new(data_sampling::block()),
    ]
}
