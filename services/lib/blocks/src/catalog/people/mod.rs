//! Blocks that need a person.

mod human_in_the_loop;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![Arc::new(human_in_the_loop::HumanInTheLoop::new())]
}
