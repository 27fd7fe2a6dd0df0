//! What the AI blocks have in common: their pins, and one conversation with a model.

use engine::types::PinType;
use model::NodeStats;
use outside::{Asked, Completion, Message, Models, Web};
use serde_json::{Map, Value, json};

use super::models;
use crate::block::{BlockContext, Failure};
use crate::catalog::credentials;
use crate::describe::{PinSpec, optional};
use crate::immediate::Inputs;
use crate::template;

pub(super) fn model_pin() -> PinSpec {
    let names = models::MODELS.iter().map(|model| model.name);
    optional("model", PinType::literal(names), json!(models::DEFAULT))
        .basic()
        .about("The model to ask.")
}

pub(super) fn credentials_pin() -> PinSpec {
    let mapping: Map<String, Value> = models::MODELS
        .iter()
        .map(|model| (model.name.to_owned(), Value::from(model.provider)))
        .collect();
    credentials::pin(&models::providers(), "api_key")
        .extra("discriminator", "model")
        .extra("discriminator_mapping", mapping)
}

pub(super) fn system_prompt_pin() -> PinSpec {
    optional("sys_prompt", PinType::Str, json!("")).about("What the model is told before the question.")
}

pub(super) fn retry_pin() -> PinSpec {
    optional("retry", PinType::Int, json!(3)).about("How often to ask for an answer that can be used.")
}

pub(super) fn prompt_values_pin() -> PinSpec {
    optional("prompt_values", PinType::dict(PinType::Str, PinType::Str), json!({}))
        .basic()
        .about("Values for the places in the prompt, by name: {{ name }}.")
}

pub(super) fn max_tokens_pin() -> PinSpec {
    optional("max_tokens", PinType::optional(PinType::Int), Value::Null).about("The longest answer, in tokens.")
}

pub(super) fn ollama_pin() -> PinSpec {
    optional("ollama_host", PinType::Str, json!("localhost:11434")).about("Where your Ollama server is, for its models.")
}

/// A model, and the way to it.
pub(super) struct Chat<'a> {
    models: &'a Models,
    web: &'a Web,
    model: String,
    provider: &'static str,
    api_key: String,
    max_tokens: Option<i64>,
    ollama_host: String,
}

impl<'a> Chat<'a> {
    /// Takes the common pins out of the input and opens the credentials.
    pub(super) async fn open(input: &mut Inputs, context: &'a BlockContext) -> Result<Self, Failure> {
        let model = input.text("model");
        let provider = models::provider_of(&model).ok_or_else(|| Failure::raised(format!("there is no model {model:?}")))?;
        let opened = credentials::open(input, context).await?;
        if opened.provider != provider {
            return Err(Failure::raised(format!(
                "Invalid credentials: {model} needs credentials of {provider}, these are of {}",
                opened.provider
            )));
        }
        let api_key = match opened.secret {
            model::credentials::CredentialSecret::ApiKey { api_key, .. } => api_key,
            _ => return Err(Failure::raised("Invalid credentials: type/provider mismatch")),
        };
        Ok(Self {
            models: context.outside.models(),
            web: context.outside.web(),
            model,
            provider,
            api_key,
            max_tokens: input.optional_integer("max_tokens").filter(|limit| *limit > 0),
            ollama_host: input.text("ollama_host"),
        })
    }

    /// One question. What it took goes into the statistics of the node.
    pub(super) async fn ask(&self, messages: &[Message], json_object: bool, stats: &mut NodeStats) -> Result<String, Failure> {
        let asked = Asked {
            provider: self.provider,
            model: &self.model,
            api_key: &self.api_key,
            messages,
            max_tokens: self.max_tokens,
            json_object,
            ollama_host: &self.ollama_host,
        };
        let Completion { text, usage, retries } = self
            .models
            .complete(&asked, self.web)
            .await
            .map_err(|error| Failure::raised(error.to_string()))?;
        stats.llm_call_count += 1;
        stats.llm_retry_count += i64::from(retries);
        stats.input_token_count += usage.prompt_tokens;
        stats.output_token_count += usage.completion_tokens;
        Ok(text)
    }
}

pub(super) fn message(role: &str, content: impl Into<String>) -> Message {
    Message {
        role: role.to_owned(),
        content: content.into(),
    }
}

/// The prompts with their values filled in; a prompt without values is taken as it is.
pub(super) fn filled(input: &mut Inputs) -> Result<(String, String), Failure> {
    let (system, prompt) = (input.text("sys_prompt"), input.text("prompt"));
    let values = input.map("prompt_values");
    if values.is_empty() {
        return Ok((system, prompt));
    }
    let fill = |text: &str| template::render(text, values.clone(), false).map_err(Failure::Raised);
    Ok((fill(&system)?, fill(&prompt)?))
}

/// The conversation as the `prompt` output shows it.
pub(super) fn shown(messages: &[Message]) -> Vec<Value> {
    messages
        .iter()
        .map(|message| json!({ "role": message.role, "content": message.content }))
        .collect()
}
