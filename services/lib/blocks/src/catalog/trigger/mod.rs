//! Blocks with which a delivery from outside begins a run.

mod compass;
mod generic_webhook;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![Arc::new(generic_webhook::block()), Arc::new(compass::block())]
}
