//! Blocks whose effect outside the platform is a row in the effect table.

use std::sync::Arc;
use std::time::Duration;

use ::blocks::describe::{Describe, optional, output, required};
use ::blocks::{Block, BlockContext, Emitter, Failure};
use async_trait::async_trait;
use chrono::Utc;
use engine::block::Effects;
use engine::types::PinType;
use model::Map;
use serde_json::json;
use uuid::uuid;

use super::{Action, block, number, take};
use crate::effects::{Effect, EffectLog};

struct Append {
    log: Arc<EffectLog>,
    once: bool,
}

pub fn idempotent(log: Arc<EffectLog>) -> Arc<dyn Block> {
    let declared = describe(
        Describe::new(
            uuid!("7e570000-0000-4000-8000-000000000001"),
            "EffectBlock",
            "Appends a row to the effect table, then passes its input on.",
        )
        .effects(Effects::Idempotent),
    );
    block(declared.build(), Append { log, once: false })
}

pub fn once(log: Arc<EffectLog>) -> Arc<dyn Block> {
    let declared = describe(
        Describe::new(
            uuid!("7e570000-0000-4000-8000-000000000002"),
            "OnceEffectBlock",
            "Appends a row to the effect table, which must happen once at most, then passes its input on.",
        )
        .effects(Effects::Once),
    );
    block(declared.build(), Append { log, once: true })
}

fn describe(block: Describe) -> Describe {
    block
        .categories(&["BASIC"])
        .input(required("input", PinType::Any).about("Passed on."))
        .input(optional("ms", PinType::Int, json!(0)).about("How long the block takes, half of it before the effect and half after it."))
        .output(output("output", PinType::Any).about("The input."))
}

#[async_trait]
impl Action for Append {
    async fn act(&self, mut input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let half = Duration::from_micros(number(&input, "ms") * 500);
        pause(half).await;
        let effect = Effect {
            node_exec_id: context.node_exec_id,
            // What a real block would send as its idempotency key.
            idempotency_key: context.node_exec_id.to_string(),
            node_id: context.node_id,
            graph_exec_id: context.graph_exec_id,
            once: self.once,
            at: Utc::now(),
        };
        self.log.reach().await.map_err(Failure::raised)?;
        while let Err(error) = self.log.append(&effect).await {
            // A row that may be there must not be written again unless repeating is harmless.
            if self.once {
                return Err(Failure::raised(error));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
            self.log.reach().await.map_err(Failure::raised)?;
        }
        pause(half).await;
        out.emit("output", take(&mut input, "input")).await
    }
}

async fn pause(time: Duration) {
    if !time.is_zero() {
        tokio::time::sleep(time).await;
    }
}
