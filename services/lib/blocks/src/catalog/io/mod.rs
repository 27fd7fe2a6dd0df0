//! The inputs and outputs of a graph.

mod agent_input;
mod agent_output;
mod moments;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    let mut blocks = agent_input::all();
    blocks.push(Arc::new(agent_output::block()));
    blocks
}
