//! Agents that use other agents.

mod agent_executor;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![Arc::new(agent_executor::block())]
}
