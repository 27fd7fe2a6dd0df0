//! A webhook of any service: whoever knows its address starts the agent.

use engine::block::BlockKind;
use engine::types::PinType;
use serde_json::json;
use uuid::uuid;

use crate::block::Failure;
use crate::describe::{Describe, optional, output};
use crate::immediate::{Immediate, Inputs, Outputs};

pub(crate) fn block() -> Immediate {
    let descriptor = Describe::new(
        uuid!("8fa8c167-2002-47ce-aba8-97572fc5d387"),
        "GenericWebhookTriggerBlock",
        "Starts the agent when something is sent to its webhook.",
    )
    .categories(&["INPUT"])
    .kind(BlockKind::WebhookManual)
    .input(optional("payload", PinType::object(), json!({})).about("What was sent.").hidden())
    .input(
        optional("constants", PinType::object(), json!({}))
            .basic()
            .about("Values to pass on with each delivery."),
    )
    .output(output("payload", PinType::object()).about("What was sent."))
    .output(output("constants", PinType::object()).about("The constants."));
    Immediate::new(descriptor.build(), run)
}

fn run(mut input: Inputs, out: &mut Outputs) -> Result<(), Failure> {
    out.emit("constants", input.map("constants"));
    out.emit("payload", input.map("payload"));
    Ok(())
}
