//! Asks a model for a text.

use engine::block::Effects;
use engine::types::PinType;

use super::chat::{self, Chat};
use super::models;
use crate::acting::{Acted, Acting};
use crate::block::{BlockContext, Failure};
use crate::describe::{Describe, output, required};
use crate::emit::Emitter;
use crate::immediate::Inputs;

pub(crate) fn block() -> Acting {
    let descriptor = Describe::new(models::TEXT_GENERATOR, "AITextGeneratorBlock", "Asks a language model for a text.")
        .categories(&["AI"])
        .effects(Effects::Idempotent)
        .input(
            required("prompt", PinType::Str)
                .about("What to ask; {{ name }} stands for a value.")
                .placeholder("Write a poem about {{ topic }}"),
        )
        .input(chat::model_pin())
        .input(chat::credentials_pin())
        .input(chat::system_prompt_pin())
        .input(chat::retry_pin())
        .input(chat::prompt_values_pin())
        .input(chat::ollama_pin())
        .input(chat::max_tokens_pin())
        .output(output("response", PinType::Str).about("The answer."))
        .output(output("prompt", PinType::list(PinType::Any)).about("What was sent to the model."));
    Acting::new(descriptor.build(), run)
}

fn run<'a>(mut input: Inputs, context: &'a BlockContext, out: &'a mut Emitter<'_>) -> Acted<'a> {
    Box::pin(async move {
        let (system, prompt) = chat::filled(&mut input)?;
        let chat = Chat::open(&mut input, context).await?;
        let mut messages = Vec::new();
        if !system.is_empty() {
            messages.push(chat::message("system", system));
        }
        messages.push(chat::message("user", prompt));
        for _ in 0..input.integer("retry").max(1) {
            let text = chat.ask(&messages, false, &mut out.stats).await?;
            // Nothing is no answer.
            if !text.trim().is_empty() {
                out.emit("response", text).await?;
                return out.emit("prompt", chat::shown(&messages)).await;
            }
        }
        Err(Failure::raised("the model gave no text"))
    })
}
