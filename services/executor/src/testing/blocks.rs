//! Blocks that do as they are told.

use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use async_trait::async_trait;
use blocks::{Block, BlockContext, BlockCost, Emitter, Failure, PriceList, Registry, Wait};
use engine::block::{BlockDescriptor, BlockKind, Effects, Pin};
use engine::types::PinType;
use model::{BlockId, ExecutionStatus, Map, NodeExecId};
use serde_json::{Value, json};
use uuid::Uuid;

use super::MemoryLedger;

pub const ECHO: BlockId = Uuid::from_u128(1);
pub const EFFECT: BlockId = Uuid::from_u128(2);
pub const PANIC: BlockId = Uuid::from_u128(3);
pub const FOREVER: BlockId = Uuid::from_u128(4);
pub const COUNT: BlockId = Uuid::from_u128(5);
/// Fails unforeseen so many times as its input says, then gives it on. Idempotent.
pub const FLAKY: BlockId = Uuid::from_u128(6);
/// Reports an error on its `error` pin. Idempotent.
pub const REPORT: BlockId = Uuid::from_u128(7);
/// Emits, then fails unforeseen. Idempotent.
pub const TRICKLE: BlockId = Uuid::from_u128(8);
/// Awaits a moment, emits its input, and then computes without end, until the test is over.
pub const SPIN: BlockId = Uuid::from_u128(9);
/// Waits for another run at its first attempt and gives its input on at the second.
pub const AWAIT: BlockId = Uuid::from_u128(10);
/// Emits its input forty times, without a pause.
pub const BURST: BlockId = Uuid::from_u128(11);
/// Emits its input again and again, until the test is over.
pub const FLOOD: BlockId = Uuid::from_u128(12);

/// What [`EFFECT`] and [`FOREVER`] cost. The others are free.
pub const PRICE: i64 = 10;

/// What the blocks of a test saw.
#[derive(Default)]
pub struct Seen {
    pub effects: AtomicUsize,
    /// An effect happened before the RUNNING of its node was durable.
    pub too_early: AtomicBool,
    /// Attempts of the blocks that fail, with the idempotency key of each.
    pub attempts: Mutex<Vec<NodeExecId>>,
    /// Ends the blocks that compute without end.
    pub enough: AtomicBool,
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
            FLAKY => {
                let attempts = {
                    let mut attempts = self.seen.attempts.lock().unwrap();
                    attempts.push(context.node_exec_id);
                    attempts.len() as u64
                };
                if attempts <= value.as_u64().unwrap_or_default() {
                    return Err(Failure::raised("not now"));
                }
                out.emit("value", value).await
            }
            REPORT => {
                self.seen.attempts.lock().unwrap().push(context.node_exec_id);
                Err(Failure::reported("never"))
            }
            TRICKLE => {
                self.seen.attempts.lock().unwrap().push(context.node_exec_id);
                out.emit("value", value).await?;
                Err(Failure::raised("half way"))
            }
            SPIN => {
                tokio::time::sleep(Duration::from_millis(20)).await;
                out.emit("value", value).await?;
                while !self.seen.enough.load(Ordering::Relaxed) {
                    std::hint::spin_loop();
                }
                Ok(())
            }
            AWAIT => {
                let is_first = {
                    let mut attempts = self.seen.attempts.lock().unwrap();
                    attempts.push(context.node_exec_id);
                    attempts.len() == 1
                };
                match is_first {
                    true => Err(Failure::Wait(Wait::Agent)),
                    false => out.emit("value", value).await,
                }
            }
            COUNT => {
                for number in 0..value.as_u64().unwrap_or_default() {
                    out.emit("value", Value::from(number)).await?;
                }
                Ok(())
            }
            BURST => {
                for _ in 0..40 {
                    out.emit("value", value.clone()).await?;
                }
                Ok(())
            }
            FLOOD => {
                while !self.seen.enough.load(Ordering::Relaxed) {
                    out.emit("value", value.clone()).await?;
                }
                Ok(())
            }
            _ => out.emit("value", value).await,
        }
    }
}

pub fn registry(seen: &Arc<Seen>, ledger: &Arc<MemoryLedger>) -> Arc<Registry> {
    let block = |id, effects| TestBlock::make(id, effects, seen, ledger);
    let price = |list: PriceList, id| list.with(id, BlockCost::run(PRICE, Map::new()));
    let prices = [EFFECT, FOREVER].into_iter().fold(PriceList::default(), price);
    let blocks = vec![
        block(ECHO, Effects::Pure),
        block(EFFECT, Effects::Once),
        block(PANIC, Effects::Pure),
        block(FOREVER, Effects::Pure),
        block(COUNT, Effects::Pure),
        block(FLAKY, Effects::Idempotent),
        block(REPORT, Effects::Idempotent),
        block(TRICKLE, Effects::Idempotent),
        block(SPIN, Effects::Pure),
        block(AWAIT, Effects::Idempotent),
        block(BURST, Effects::Pure),
        block(FLOOD, Effects::Pure),
    ];
    Arc::new(Registry::new(blocks).with_prices(prices))
}
