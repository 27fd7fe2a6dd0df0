//! Blocks that nothing good comes of.

use std::sync::Arc;

use ::blocks::describe::{Describe, output, required};
use ::blocks::{Block, BlockContext, Emitter, Failure};
use async_trait::async_trait;
use engine::block::Effects;
use engine::types::PinType;
use model::{BlockId, Map};
use uuid::uuid;

use super::{Action, block};

enum Poison {
    Panic,
    Endless,
    Abort,
}

#[async_trait]
impl Action for Poison {
    #[allow(clippy::panic)] // that is what the block is for
    async fn act(&self, _: Map, _: &BlockContext, _: &mut Emitter<'_>) -> Result<(), Failure> {
        match self {
            Self::Panic => panic!("as this block always does"),
            Self::Endless => std::future::pending().await,
            Self::Abort => std::process::abort(),
        }
    }
}

fn describe(id: BlockId, name: &'static str, description: &'static str, effects: Effects) -> Describe {
    Describe::new(id, name, description)
        .categories(&["BASIC"])
        .effects(effects)
        .input(required("input", PinType::Any).about("Triggers the block."))
        .output(output("output", PinType::Any).about("Never given."))
}

pub fn panic() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000005");
    block(describe(id, "PanicBlock", "Panics.", Effects::Pure).build(), Poison::Panic)
}

pub fn endless() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000006");
    block(
        describe(id, "EndlessBlock", "Never ends by itself.", Effects::Pure).build(),
        Poison::Endless,
    )
}

/// Idempotent, so that its start is durable before it takes the process down.
pub fn abort() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000008");
    block(
        describe(id, "AbortBlock", "Aborts the process that runs it.", Effects::Idempotent).build(),
        Poison::Abort,
    )
}
