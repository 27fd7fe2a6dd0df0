//! Blocks that only let values flow.

use std::sync::Arc;
use std::time::Duration;

use ::blocks::describe::{Describe, optional, output, required};
use ::blocks::{Block, BlockContext, BlockCost, Emitter, Failure, PriceList};
use async_trait::async_trait;
use engine::block::Effects;
use engine::types::PinType;
use model::{BlockId, Map};
use serde_json::{Value, json};
use tokio::time::Instant;
use uuid::uuid;

use super::{Action, block, number, take};

const PRICED: BlockId = uuid!("7e570000-0000-4000-8000-00000000000c");

/// The most that one output may have; the platform allows less.
const LARGEST: u64 = 64 << 20;

fn describe(id: BlockId, name: &'static str, description: &'static str, effects: Effects) -> Describe {
    Describe::new(id, name, description).categories(&["BASIC"]).effects(effects)
}

fn passing(block: Describe) -> Describe {
    block
        .input(required("input", PinType::Any).about("Passed on."))
        .output(output("output", PinType::Any).about("The input."))
}

struct Pass;

#[async_trait]
impl Action for Pass {
    async fn act(&self, mut input: Map, _: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        out.emit("output", take(&mut input, "input")).await
    }
}

pub fn pass() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000003");
    let text = "Passes its input on. Counts as a block with effects, so its start and its end are durable.";
    block(passing(describe(id, "PassBlock", text, Effects::Idempotent)).build(), Pass)
}

pub fn pure_pass() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000004");
    let text = "Passes its input on, without effects.";
    block(passing(describe(id, "PurePassBlock", text, Effects::Pure)).build(), Pass)
}

struct Sleep;

#[async_trait]
impl Action for Sleep {
    async fn act(&self, mut input: Map, _: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        tokio::time::sleep(Duration::from_millis(number(&input, "ms"))).await;
        out.emit("output", take(&mut input, "input")).await
    }
}

pub fn priced() -> Arc<dyn Block> {
    let described = passing(describe(
        PRICED,
        "PricedBlock",
        "Waits, then passes its input on, for money.",
        Effects::Pure,
    ));
    let described = described
        .input(optional("ms", PinType::Int, json!(0)).about("How long, in milliseconds."))
        .input(optional("tier", PinType::Str, json!("")).about("What it costs: nothing, `small` or `large`."));
    block(described.build(), Sleep)
}

pub fn prices() -> PriceList {
    [("small", 3), ("large", 400)]
        .into_iter()
        .fold(PriceList::default(), |list, (tier, amount)| {
            list.with(PRICED, BlockCost::run(amount, Map::from_iter([("tier".to_owned(), tier.into())])))
        })
}

pub fn sleep() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000007");
    let described = passing(describe(id, "SleepBlock", "Waits, then passes its input on.", Effects::Pure));
    let described = described.input(optional("ms", PinType::Int, json!(1000)).about("How long, in milliseconds."));
    block(described.build(), Sleep)
}

struct Join;

#[async_trait]
impl Action for Join {
    async fn act(&self, input: Map, _: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let count = input.get("values").and_then(Value::as_object).map_or(0, Map::len);
        out.emit("output", count).await
    }
}

pub fn join() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-00000000000b");
    let text = "Waits for one value from each of its links and counts them.";
    let described = describe(id, "JoinBlock", text, Effects::Idempotent)
        .input(required("values", PinType::dict(PinType::Str, PinType::Any)).about("One value per link."))
        .output(output("output", PinType::Int).about("How many there are."));
    block(described.build(), Join)
}

struct LargeOutput;

#[async_trait]
impl Action for LargeOutput {
    async fn act(&self, input: Map, _: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let bytes = number(&input, "bytes");
        let length = usize::try_from(bytes).ok().filter(|_| bytes <= LARGEST);
        let length = length.ok_or_else(|| Failure::reported(format!("{bytes} bytes are more than the {LARGEST} that this block gives")))?;
        out.emit("output", "x".repeat(length)).await
    }
}

pub fn large_output() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-000000000009");
    let described = describe(id, "LargeOutputBlock", "Gives a long text.", Effects::Pure)
        .input(required("input", PinType::Any).about("Triggers the block."))
        .input(optional("bytes", PinType::Int, json!(1024)).about("How long the text is, in bytes."))
        .output(output("output", PinType::Str).about("The text."));
    block(described.build(), LargeOutput)
}

struct TokenStream;

#[async_trait]
impl Action for TokenStream {
    async fn act(&self, input: Map, _: &BlockContext, out: &mut Emitter<'_>) -> Result<(), Failure> {
        let tokens = number(&input, "tokens");
        let total = Duration::from_millis(number(&input, "total_ms"));
        let started = Instant::now();
        let mut response = String::new();
        for index in 1..=tokens {
            let due = total.mul_f64(index as f64 / tokens as f64);
            tokio::time::sleep_until(started + due).await;
            let token = format!("token{index} ");
            response.push_str(&token);
            out.emit("token", token).await?;
        }
        tokio::time::sleep_until(started + total).await;
        out.emit("response", response).await
    }
}

pub fn token_stream() -> Arc<dyn Block> {
    let id = uuid!("7e570000-0000-4000-8000-00000000000a");
    let text = "Stands for a call of a language model that streams its answer.";
    let described = describe(id, "TokenStreamBlock", text, Effects::Idempotent)
        .input(required("input", PinType::Any).about("The prompt."))
        .input(optional("tokens", PinType::Int, json!(50)).about("How many tokens the answer has."))
        .input(optional("total_ms", PinType::Int, json!(2000)).about("How long the answer takes, in milliseconds."))
        .output(output("token", PinType::Str).about("Each part of the answer as it comes."))
        .output(output("response", PinType::Str).about("The whole answer."));
    block(described.build(), TokenStream)
}
