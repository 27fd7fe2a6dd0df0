//! Blocks that do as they are told.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use blocks::{Block, BlockContext, Emitter, Failure, Registry};
use engine::block::{BlockDescriptor, BlockKind, Effects, Pin};
use engine::types::PinType;
use model::{BlockId, ExecutionStatus, Map};
use serde_json::{Value, json};
use uuid::Uuid;

use super::MemoryLedger;

pub const ECHO: BlockId = Uuid::from_u128(1);
pub const EFFECT: BlockId = Uuid::from_u128(2);
pub const PANIC: BlockId = Uuid::from_u128(3);
pub const FOREVER: BlockId = Uuid::from_u128(4);
pub const COUNT: BlockId = Uuid::from_u128(5);

/// What the blocks of a test saw.
#[derive(Default)]
pub struct Seen {
    pub effects: AtomicUsize,
    /// An effect happened before the RUNNING of its node was durable.
    pub too_early: AtomicBool,
}

struct TestBlock {
    descriptor: BlockDescriptor,
    seen: Arc<Seen>,
    ledger: Arc<MemoryLedger>,
}

impl TestBlock {
    fn make(id: BlockId, effects: Effects, seen: &Arc<Seen>, ledger: &Arc<MemoryLedger>) -> Arc<dyn Block> {
        let pin = |name, required| Pin {
            name,
            ty: PinType::Any,
            required,
            own: true,
            depends_on: &[],
            schema: json!({}),
        };
        Arc::new(Self {
            descriptor: BlockDescriptor {
                id,
                name: "TestBlock",
                description: "",
                categories: &[],
                kind: BlockKind::Standard,
                effects,
                static_output: false,
                disabled: false,
                inputs: vec![pin("value", true)],
                outputs: vec![pin("value", false)],
            },
            seen: seen.clone(),
            ledger: ledger.clone(),
        })
    }
}

#[async_trait]
impl Block for TestBlock {
    fn descriptor(&self) -> &BlockDescriptor {
        &self.descriptor
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let value = input.get("value").cloned().unwrap_or_default();
        match self.descriptor.id {
            EFFECT => {
                if self.ledger.node_status(context.node_exec_id) != Some(ExecutionStatus::Running) {
                    self.seen.too_early.store(true, Ordering::SeqCst);
                }
                self.seen.effects.fetch_add(1, Ordering::SeqCst);
                tokio::time::sleep(Duration::from_secs(3)).await;
                out.emit("value", value).await
            }
            PANIC => panic!("as told"),
            FOREVER => {
                out.emit("value", value).await?;
                std::future::pending().await
            }
            COUNT => {
                for number in 0..value.as_u64().unwrap_or_default() {
                    out.emit("value", Value::from(number)).await?;
                }
                Ok(())
            }
            _ => out.emit("value", value).await,
        }
    }
}

pub fn registry(seen: &Arc<Seen>, ledger: &Arc<MemoryLedger>) -> Arc<Registry> {
    let block = |id, effects| TestBlock::make(id, effects, seen, ledger);
    Arc::new(Registry::new(vec![
        block(ECHO, Effects::Pure),
        block(EFFECT, Effects::Once),
        block(PANIC, Effects::Pure),
        block(FOREVER, Effects::Pure),
        block(COUNT, Effects::Pure),
    ]))
}
