//! Blocks that ask language models.

mod chat;
pub(crate) mod models;
mod structured_response;
mod text_generator;

use std::sync::Arc;

use crate::block::Block;

pub(super) fn all() -> Vec<Arc<dyn Block>> {
    vec![Arc::new(text_generator::block()), Arc::new(structured_response::block())]
}
