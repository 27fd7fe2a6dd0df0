//! Transcriptions of a Compass pendant.

use engine::block::BlockKind;
use engine::types::PinType;
use serde_json::json;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, output, required};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let number = || json!({ "type": "number" });
    let text = || json!({ "type": "string" });
    let line = json!({
        "type": "object",
        "properties": { "text": text(), "speaker": text(), "end": number(), "start": number(), "duration": number() },
        "required": ["text", "speaker", "end", "start", "duration"],
    });
    let payload = json!({
        "type": "object",
        "properties": { "date": text(), "transcription": text(), "transcriptions": { "type": "array", "items": line } },
        "required": ["date", "transcription", "transcriptions"],
    });
    let descriptor = Describe::new(
        uuid!("9464a020-ed1d-49e1-990f-7f2ac924a2b7"),
        "CompassAITriggerBlock",
        "Starts the agent when a Compass pendant sends a transcription.",
    )
    .categories(&["HARDWARE"])
    .kind(BlockKind::WebhookManual)
    .input(
        required("payload", PinType::Opaque)
            .schema(payload)
            .about("What the pendant sent.")
            .hidden(),
    )
    .output(output("transcription", PinType::Str).about("What was said."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    out.emit("transcription", input.map("payload").swap_remove("transcription").unwrap_or_default());
    Ok(())
}
