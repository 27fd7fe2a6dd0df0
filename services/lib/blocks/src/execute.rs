//! Running one block (internals §2.10).

use std::time::Duration;

use indexmap::IndexMap;
use model::{Map, NodeStats};
use serde_json::Value;
use tokio::sync::mpsc;

use crate::block::{Block, BlockContext, BlockError, BlockErrorKind, Failure, Wait};
use crate::emit::{Emitted, Emitter};

/// Outputs that may wait for their receiver.
const COLLECT_BUFFER: usize = 16;
/// Bytes of memory that collected outputs may take, about, and how long collecting them may: some blocks never end by themselves.
const MOST_COLLECTED: usize = 256 << 20;
const COLLECT_WITHIN: Duration = Duration::from_secs(300);
/// Bytes that a value takes beside its text.
const VALUE_BYTES: usize = 64;

/// How a block ended, and what it says it has cost.
#[derive(Debug)]
pub struct Executed {
    pub ended: Result<Done, BlockError>,
    /// Only what the block itself knows is set.
    pub stats: NodeStats,
}

/// A block that did not fail.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Done {
    Completed,
    /// To be run again when what it waits for has happened.
    Waiting(Wait),
}

/// Runs a block on one map of inputs and sends its outputs to `sink` in order.
///
/// Nulls count as absent. Inputs that do not fit the schema are refused before the block starts; outputs sent before a failure stay sent.
pub async fn execute(block: &dyn Block, input: Map, context: &BlockContext, sink: &mpsc::Sender<Emitted>) -> Executed {
    let descriptor = block.descriptor();
    let checks = block.checks();
    let mut input: Map = input.into_iter().filter(|(_, value)| !value.is_null()).collect();
    if let Err(misfit) = checks.complete(&mut input) {
        let error = BlockError::new(descriptor, BlockErrorKind::Input, format!("the input does not fit the schema: {misfit}"));
        return Executed {
            ended: Err(error),
            stats: NodeStats::default(),
        };
    }
    let mut emitter = Emitter::new(descriptor, &checks, sink);
    let ended = match block.run(input, context, &mut emitter).await {
        Ok(()) => Ok(Done::Completed),
        Err(Failure::Wait(wait)) => Ok(Done::Waiting(wait)),
        Err(failure) => Err(BlockError::from_failure(descriptor, failure)),
    };
    Executed { ended, stats: emitter.stats }
}

/// Runs a block outside a graph and collects its outputs per pin, as direct execution answers them (rest.md §2.1).
///
/// # Errors
/// Those of the block, and when it takes longer than 300 s or gives more than a process can hold.
pub async fn collect(block: &dyn Block, input: Map, context: &BlockContext) -> Result<IndexMap<String, Vec<Value>>, BlockError> {
    let too_much = |what: String| {
        let text = format!("it {what}: run it in an agent, which passes its outputs on one by one");
        BlockError::new(block.descriptor(), BlockErrorKind::Execution, text)
    };
    let (sink, mut outputs) = mpsc::channel(COLLECT_BUFFER);
    let running = async move {
        let Executed { ended, .. } = execute(block, input, context, &sink).await;
        drop(sink);
        match ended {
            Ok(Done::Completed) => Ok(()),
            Ok(Done::Waiting(wait)) => Err(BlockError::from_failure(block.descriptor(), Failure::Wait(wait))),
            Err(error) => Err(error),
        }
    };
    let collecting = async {
        let mut collected: IndexMap<String, Vec<Value>> = IndexMap::new();
        let mut taken = 0_usize;
        while let Some(Emitted { pin, value }) = outputs.recv().await {
            let value = value.into_json_or_null();
            taken = taken.saturating_add(weight(&value));
            if taken > MOST_COLLECTED {
                return Err(too_much(format!("gives more than {} MiB", MOST_COLLECTED >> 20)));
            }
            collected.entry(pin).or_default().push(value);
        }
        Ok(collected)
    };
    match tokio::time::timeout(COLLECT_WITHIN, async { tokio::try_join!(running, collecting) }).await {
        Ok(ended) => ended.map(|((), collected)| collected),
        Err(_) => Err(too_much(format!("has not ended within {} s", COLLECT_WITHIN.as_secs()))),
    }
}

/// About the memory that a value takes.
fn weight(value: &Value) -> usize {
    let within = match value {
        Value::String(text) => text.len(),
        Value::Array(items) => items.iter().map(weight).sum(),
        Value::Object(map) => map.iter().map(|(name, value)| VALUE_BYTES + name.len() + weight(value)).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    };
    VALUE_BYTES + within
}

#[cfg(test)]
mod tests {
    use engine::types::PinType;
    use serde_json::{Value, json};
    use tokio::sync::mpsc;
    use uuid::{Uuid, uuid};

    use super::{collect, execute};
    use crate::block::{BlockContext, BlockErrorKind, Failure};
    use crate::describe::{Describe, optional, output, required};
    use crate::emit::{NotJson, PinValue};
    use crate::immediate::Immediate;
    use crate::registry::Registry;

    /// Emits its input on the pin that it is told.
    fn echo() -> Immediate {
        let described = Describe::new(Uuid::nil(), "EchoBlock", "")
            .input(required("value", PinType::Any))
            .input(optional("pin", PinType::Str, json!("number")))
            .output(output("number", PinType::Float));
        Immediate::new(described.build(), |mut input, out| {
            let value = input.value("value");
            match input.text("pin").as_str() {
                "number" if value == "inf" => out.emit("number", f64::INFINITY),
                "number" => out.emit("number", value),
                "error" => out.emit("error", value),
                _ => return Err(Failure::raised("what?")),
            }
            Ok(())
        })
    }

    fn direct() -> BlockContext {
        let settings = runtime::Settings::for_test();
        BlockContext::direct(Uuid::nil(), outside::Outside::new(&settings).unwrap())
    }

    async fn run(input: Value) -> Result<Value, (BlockErrorKind, String)> {
        let collected = collect(&echo(), input.as_object().cloned().unwrap(), &direct()).await;
        collected.map(|outputs| json!(outputs)).map_err(|error| (error.kind, error.to_string()))
    }

    #[tokio::test]
    async fn nulls_count_as_absent() {
        let (kind, text) = run(json!({ "value": null })).await.unwrap_err();
        assert_eq!(kind, BlockErrorKind::Input);
        assert!(
            text.starts_with("raised by EchoBlock with message: ") && text.ends_with(". block_id: 00000000-0000-0000-0000-000000000000"),
            "{text}"
        );
        assert_eq!(run(json!({ "value": 1, "pin": null })).await.unwrap(), json!({ "number": [1] }));
    }

    #[tokio::test]
    async fn each_way_to_fail_has_its_kind() {
        let kind_of = async |input| run(input).await.unwrap_err().0;
        assert_eq!(kind_of(json!({ "value": "text" })).await, BlockErrorKind::Output);
        assert_eq!(kind_of(json!({ "value": "text", "pin": "error" })).await, BlockErrorKind::Execution);
        assert_eq!(kind_of(json!({ "value": "text", "pin": "other" })).await, BlockErrorKind::Unknown);
    }

    #[tokio::test]
    async fn infinity_is_null_directly_and_an_error_in_a_graph() {
        assert_eq!(run(json!({ "value": "inf" })).await.unwrap(), json!({ "number": [null] }));
        let (sink, mut outputs) = mpsc::channel(1);
        let input = json!({ "value": "inf" }).as_object().cloned().unwrap();
        execute(&echo(), input, &direct(), &sink).await.ended.unwrap();
        let value = outputs.recv().await.unwrap().value;
        assert_eq!(value, PinValue::NonFinite(f64::INFINITY));
        assert_eq!(value.into_json(), Err(NotJson));
        assert_eq!(NotJson.to_string(), "Out of range float values are not JSON compliant");
    }

    const COUNTDOWN: Uuid = uuid!("d67a9c52-5e4e-11e2-bcfd-0800200c9a71");

    async fn counted_down(input: Value) -> (BlockErrorKind, String) {
        let timer = Registry::standard().get(COUNTDOWN).unwrap();
        let collected = collect(timer.as_ref(), input.as_object().cloned().unwrap(), &direct()).await;
        let error = collected.unwrap_err();
        (error.kind, error.to_string())
    }

    #[tokio::test]
    async fn a_block_that_gives_without_end_is_stopped_directly() {
        let (kind, text) = counted_down(json!({ "repeat": i64::MAX, "input_message": "x".repeat(100_000) })).await;
        assert_eq!(kind, BlockErrorKind::Execution);
        assert!(text.contains("gives more than 256 MiB"), "{text}");
    }

    #[tokio::test(start_paused = true)]
    async fn a_block_that_does_not_end_is_not_waited_for_directly() {
        let (kind, text) = counted_down(json!({ "days": 1000 })).await;
        assert_eq!(kind, BlockErrorKind::Execution);
        assert!(text.contains("has not ended within 300 s"), "{text}");
    }

    #[tokio::test]
    async fn a_stopped_run_stops_the_block() {
        let (sink, outputs) = mpsc::channel(1);
        drop(outputs);
        let input = json!({ "value": 1 }).as_object().cloned().unwrap();
        assert!(execute(&echo(), input, &direct(), &sink).await.ended.is_err());
    }
}
