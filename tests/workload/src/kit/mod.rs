//! The test blocks. Their ids never change, so that graphs made of them can be kept.

mod effect;
mod flow;
mod poison;

use std::sync::Arc;

use ::blocks::{Block, BlockContext, Declared, Emitter, Failure, PinChecks, PriceList};
use async_trait::async_trait;
use engine::block::BlockDescriptor;
use model::Map;
use serde_json::Value;

use crate::effects::EffectLog;

/// Block ids as graphs name them.
pub mod id {
    /// `input` → effect → `output`; idempotent.
    pub const EFFECT: &str = "7e570000-0000-4000-8000-000000000001";
    /// The same as [`EFFECT`], but must not start twice.
    pub const ONCE_EFFECT: &str = "7e570000-0000-4000-8000-000000000002";
    /// `input` → `output`; a durable hop without any work.
    pub const PASS: &str = "7e570000-0000-4000-8000-000000000003";
    /// The same without effects.
    pub const PURE_PASS: &str = "7e570000-0000-4000-8000-000000000004";
    /// Panics.
    pub const PANIC: &str = "7e570000-0000-4000-8000-000000000005";
    /// Never ends by itself.
    pub const ENDLESS: &str = "7e570000-0000-4000-8000-000000000006";
    /// `input` → waits `ms` → `output`; without effects.
    pub const SLEEP: &str = "7e570000-0000-4000-8000-000000000007";
    /// Aborts the process that runs it.
    pub const ABORT: &str = "7e570000-0000-4000-8000-000000000008";
    /// Emits a text of `bytes` bytes.
    pub const LARGE_OUTPUT: &str = "7e570000-0000-4000-8000-000000000009";
    /// Emits `tokens` words spread over `total_ms`, then the whole `response`: a stub of a streaming language model.
    pub const TOKEN_STREAM: &str = "7e570000-0000-4000-8000-00000000000a";
    /// `values_#_*` → `output`, their number; durable. Runs when each linked value is there.
    pub const JOIN: &str = "7e570000-0000-4000-8000-00000000000b";
    /// `input` → waits `ms` → `output`; without effects. Costs what its `tier` says, see [`super::prices`].
    pub const PRICED: &str = "7e570000-0000-4000-8000-00000000000c";
}

/// Every block of the kit.
pub fn all() -> Vec<Arc<dyn Block>> {
    let log = Arc::new(EffectLog::default());
    vec![
        effect::idempotent(log.clone()),
        effect::once(log),
        flow::pass(),
        flow::pure_pass(),
        flow::sleep(),
        flow::priced(),
        flow::join(),
        flow::large_output(),
        flow::token_stream(),
        poison::panic(),
        poison::endless(),
        poison::abort(),
    ]
}

/// What the kit's blocks cost: [`id::PRICED`] 3 credits in the tier `small` and 400 in the tier `large`; everything else nothing.
pub fn prices() -> PriceList {
    flow::prices()
}

/// A described block and what it does.
struct Test<Act> {
    declared: Declared,
    act: Act,
}

/// What a test block does.
#[async_trait]
trait Action: Send + Sync {
    async fn act(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure>;
}

#[async_trait]
impl<Act: Action> Block for Test<Act> {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.declared.descriptor
    }

    fn checks(&self) -> std::borrow::Cow<'_, PinChecks> {
        std::borrow::Cow::Borrowed(&self.declared.checks)
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        self.act.act(input, context, out).await
    }
}

fn block(declared: Declared, act: impl Action + 'static) -> Arc<dyn Block> {
    Arc::new(Test { declared, act })
}

/// A whole number of the input, 0 when it is negative or absent.
fn number(input: &Map, name: &str) -> u64 {
    input.get(name).and_then(Value::as_u64).unwrap_or_default()
}

fn take(input: &mut Map, name: &str) -> Value {
    input.remove(name).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use engine::block::{BlockCatalog, Effects};
    use serde_json::json;
    use uuid::Uuid;

    use super::id;
    use crate::registry;

    #[test]
    fn the_kit_stands_beside_the_products_blocks() {
        let (registry, product) = (registry(), ::blocks::Registry::standard());
        assert_eq!(registry.iter().count(), product.iter().count() + super::all().len());
        let ids: std::collections::HashSet<_> = registry.iter().map(|block| block.descriptor().id).collect();
        assert_eq!(ids.len(), registry.iter().count(), "no id is used twice");
        let effects = |id: &str| registry.block(id.parse().unwrap()).map(|block| block.effects);
        assert_eq!(effects(id::EFFECT), Some(Effects::Idempotent));
        assert_eq!(effects(id::ONCE_EFFECT), Some(Effects::Once));
        assert_eq!(effects(id::PASS), Some(Effects::Idempotent));
        assert_eq!(effects(id::PURE_PASS), Some(Effects::Pure));
    }

    #[tokio::test]
    async fn blocks_do_what_their_names_say() {
        let registry = registry();
        let run = async |id: &str, input: serde_json::Value| {
            let block = registry.get(id.parse().unwrap()).unwrap();
            let context = ::blocks::BlockContext::direct(Uuid::nil(), ::blocks::Outside::new(&runtime::Settings::for_test()).unwrap());
            ::blocks::collect(block.as_ref(), input.as_object().cloned().unwrap(), &context)
                .await
                .map(|outputs| json!(outputs))
        };
        assert_eq!(run(id::PASS, json!({"input": 7})).await.unwrap(), json!({"output": [7]}));
        assert_eq!(run(id::JOIN, json!({"values": {"a": 1, "b": 2}})).await.unwrap(), json!({"output": [2]}));
        let large = run(id::LARGE_OUTPUT, json!({"input": 0, "bytes": 1000})).await.unwrap();
        assert_eq!(large["output"][0].as_str().unwrap().len(), 1000);
        let stream = run(id::TOKEN_STREAM, json!({"input": 0, "tokens": 3, "total_ms": 3})).await.unwrap();
        assert_eq!(
            (stream["token"].as_array().unwrap().len(), stream["response"].as_array().unwrap().len()),
            (3, 1)
        );
        assert!(run(id::PASS, json!({})).await.is_err(), "the input is required");
    }
}
