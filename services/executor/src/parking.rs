//! Nodes that must not take effect twice (design §6.8).
//!
//! A node whose executor is gone may have taken effect, or not: nobody here can know. Its block is therefore not started again before a person
//! says so. Whoever takes the run over asks, and the node is parked in REVIEW; approved it runs, under the same idempotency key, rejected it
//! is FAILED.

use std::borrow::Cow;
use std::sync::Arc;

use async_trait::async_trait;
use blocks::{Block, BlockContext, BlockDescriptor, Emitter, Failure, PinChecks, Wait};
use engine::block::Effects;
use model::Map;
use model::review::RepeatAnswer;

/// The block as it is to be run: one that must not take effect twice asks first when its node has been started before.
pub fn guarded(block: Arc<dyn Block>, input: &Map, repeated: bool) -> Arc<dyn Block> {
    if repeated && block.effects(input) == Effects::Once {
        Arc::new(AsksFirst(block))
    } else {
        block
    }
}

/// A block that runs when a person has allowed it.
struct AsksFirst(Arc<dyn Block>);

impl AsksFirst {
    fn instructions(&self) -> String {
        let name = self.0.descriptor().name;
        format!(
            "{name} was cut short while it was running: what it does outside of this run may have happened, or not. Look before you decide. \
             Approve to run it again with this input, which may do it twice; reject to let the node fail."
        )
    }
}

#[async_trait]
impl Block for AsksFirst {
    fn descriptor(&self) -> &BlockDescriptor {
        self.0.descriptor()
    }

    fn checks(&self) -> Cow<'_, PinChecks> {
        self.0.checks()
    }

    fn effects(&self, input: &Map) -> Effects {
        self.0.effects(input)
    }

    async fn run(&self, input: Map, context: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        match context.platform.ask_to_repeat(context, input.clone(), self.instructions()).await? {
            RepeatAnswer::Waiting => Err(Failure::Wait(Wait::Person)),
            RepeatAnswer::Granted => self.0.run(input, context, out).await,
            RepeatAnswer::Refused { message } => {
                let mut text = "the node was cut short, and running it again was rejected".to_owned();
                if !message.is_empty() {
                    text.push_str(": ");
                    text.push_str(&message);
                }
                Err(Failure::reported(text))
            }
        }
    }
}
