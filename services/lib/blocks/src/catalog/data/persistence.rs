//! What agents of a user keep beyond their runs.

use engine::block::Effects;
use engine::types::PinType;
use serde_json::{Value, json};
use uuid::uuid;

use crate::acting::{Acted, Acting};
use crate::block::BlockContext;
use crate::describe::{Describe, PinSpec, optional, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;
use crate::python;

pub(crate) fn persist() -> Acting {
    let descriptor = Describe::new(
        uuid!("1d055e55-a2b9-4547-8311-907d05b0304d"),
        "PersistInformationBlock",
        "Keeps a value under a key, for later runs.",
    )
    .categories(&["DATA"])
    .effects(Effects::Idempotent)
    .input(key())
    .input(required("value", PinType::Any).about("The value to keep."))
    .input(scope())
    .output(output("value", PinType::Any).about("The value that is kept."));
    Acting::new(descriptor.build(), |mut input, context, out| {
        Box::pin(async move {
            let kept = context
                .platform
                .keep(context, storage_key(&mut input, context), input.value("value"))
                .await?;
            out.emit("value", kept.filter(python::truthy).unwrap_or_default()).await
        })
    })
}

pub(crate) fn retrieve() -> Acting {
    let descriptor = Describe::new(
        uuid!("d8710fc9-6e29-481e-a7d5-165eb16f8471"),
        "RetrieveInformationBlock",
        "Gives the value that was kept under a key.",
    )
    .categories(&["DATA"])
    // What it reads may change, so a run must not read ahead of what it has written.
    .effects(Effects::Idempotent)
    .static_output()
    .input(key())
    .input(scope())
    .input(optional("default_value", PinType::optional(PinType::Any), Value::Null).about("Given when nothing is kept under the key."))
    .output(output("value", PinType::Any).about("The value, or the default."));
    Acting::new(descriptor.build(), recall)
}

fn recall<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let kept = context.platform.recall(context, storage_key(&mut input, context)).await?;
        let value = kept.filter(python::truthy);
        out.emit("value", value.unwrap_or_else(|| input.value("default_value"))).await
    })
}

fn key() -> PinSpec {
    required("key", PinType::Str).about("The key.").placeholder("user_preferences")
}

fn scope() -> PinSpec {
    optional("scope", PinType::literal(["within_agent", "across_agents"]), json!("within_agent"))
        .about("Whether only this agent sees the key, or all agents of the user.")
}

fn storage_key(input: &mut Inputs, context: &BlockContext) -> String {
    let key = input.text("key");
    match input.text("scope").as_str() {
        "across_agents" => format!("global#{key}"),
        _ => format!("agent#{}#{key}", context.graph_id),
    }
}
