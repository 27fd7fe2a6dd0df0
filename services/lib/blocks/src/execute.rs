//! Running one block (internals §2.10).

use indexmap::IndexMap;
use model::Map;
use serde_json::Value;
use tokio::sync::mpsc;

use crate::block::{Block, BlockContext, BlockError, BlockErrorKind};
use crate::emit::{Emitted, Emitter};

/// Outputs that may wait for their receiver.
const COLLECT_BUFFER: usize = 16;

/// Runs a block on one map of inputs and sends its outputs to `sink` in order.
///
/// Nulls count as absent. Inputs that do not fit the schema are refused before the block starts; outputs sent before a failure stay sent.
pub async fn execute(block: &dyn Block, input: Map, context: &BlockContext, sink: &mpsc::Sender<Emitted>) -> Result<(), BlockError> {
    let descriptor = block.descriptor();
    let checks = block.checks();
    let mut input: Map = input.into_iter().filter(|(_, value)| !value.is_null()).collect();
    checks
        .complete(&mut input)
        .map_err(|misfit| BlockError::new(descriptor, BlockErrorKind::Input, format!("the input does not fit the schema: {misfit}")))?;
    let mut emitter = Emitter::new(descriptor, &checks, sink);
    let ended = block.run(input, context, &mut emitter).await;
    ended.map_err(|failure| BlockError::from_failure(descriptor, failure))
}

/// Runs a block outside a graph and collects its outputs per pin, as direct execution answers them (rest.md §2.1).
pub async fn collect(block: &dyn Block, input: Map, context: &BlockContext) -> Result<IndexMap<String, Vec<Value>>, BlockError> {
    let (sink, mut outputs) = mpsc::channel(COLLECT_BUFFER);
    let running = async move {
        let ended = execute(block, input, context, &sink).await;
        drop(sink);
        ended
    };
    let collecting = async {
        let mut collected: IndexMap<String, Vec<Value>> = IndexMap::new();
        while let Some(Emitted { pin, value }) = outputs.recv().await {
            collected.entry(pin).or_default().push(value.into_json_or_null());
        }
        collected
    };
    let (ended, collected) = tokio::join!(running, collecting);
    ended.map(|()| collected)
}
