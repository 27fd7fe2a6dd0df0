//! The models that the AI blocks know, who answers for them, and what one question costs.

use ::model::BlockId;
use uuid::uuid;

use crate::price::{BlockCost, PriceList};

/// The blocks that ask one of these models.
pub(crate) const BLOCKS: [BlockId; 2] = [TEXT_GENERATOR, STRUCTURED_RESPONSE];
pub(super) const TEXT_GENERATOR: BlockId = uuid!("1f292d4a-41a4-4977-9684-7c8d560b9f91");
pub(super) const STRUCTURED_RESPONSE: BlockId = uuid!("ed55ac19-356e-4243-a6cb-bc599e9b716f");

pub(crate) struct Model {
    pub name: &'static str,
    /// The provider's word for credentials and base URLs.
    pub provider: &'static str,
    /// Credits a run of a block (internals §2.12: 1 to 21; nothing for the user's own and the fork's providers).
    pub price: i64,
}

const fn model(name: &'static str, provider: &'static str, price: i64) -> Model {
    Model { name, provider, price }
}

pub(crate) const DEFAULT: &str = "gpt-4o-mini";

pub(crate) const MODELS: &[Model] = &[
    model("gpt-4o-mini", "openai", 1),
    model("gpt-4o", "openai", 3),
    model("gpt-4-turbo", "openai", 10),
    model("gpt-3.5-turbo", "openai", 1),
    model("gpt-4.1", "openai", 2),
    model("gpt-4.1-mini", "openai", 1),
    model("gpt-5", "openai", 2),
    model("gpt-5-mini", "openai", 1),
    model("gpt-5-nano", "openai", 1),
    model("o1", "openai", 16),
    model("o3", "openai", 4),
    model("o3-mini", "openai", 2),
    model("claude-opus-4-1-20250805", "anthropic", 21),
    model("claude-sonnet-4-20250514", "anthropic", 5),
    model("claude-3-7-sonnet-20250219", "anthropic", 5),
    model("claude-3-haiku-20240307", "anthropic", 1),
    model("llama-3.3-70b-versatile", "groq", 1),
    model("llama-3.1-8b-instant", "groq", 1),
    model("google/gemini-2.5-pro", "open_router", 4),
    model("google/gemini-2.5-flash", "open_router", 1),
    model("mistralai/mistral-nemo", "open_router", 1),
    model("deepseek/deepseek-chat", "open_router", 1),
    model("openai/gpt-oss-120b", "open_router", 1),
    model("Llama-4-Scout-17B-16E-Instruct-FP8", "llama_api", 1),
    model("Llama-3.3-70B-Instruct", "llama_api", 1),
    model("Qwen/Qwen2.5-72B-Instruct-Turbo", "aiml_api", 1),
    model("meta-llama/Llama-3.3-70B-Instruct-Turbo", "aiml_api", 1),
    model("v0-1.5-md", "v0", 1),
    model("v0-1.5-lg", "v0", 2),
    model("deepseek-chat", "deepseek", 0),
    model("deepseek-reasoner", "deepseek", 0),
    model("qwen-plus", "qwen", 0),
    model("qwen-max", "qwen", 0),
    model("glm-4-plus", "zhipuai", 0),
    model("glm-4-flash", "zhipuai", 0),
    model("moonshot-v1-32k", "moonshot", 0),
    model("llama3.3", "ollama", 0),
    model("llama3.2", "ollama", 0),
    model("llama3", "ollama", 0),
];

pub(crate) fn provider_of(name: &str) -> Option<&'static str> {
    MODELS.iter().find(|model| model.name == name).map(|model| model.provider)
}

/// Providers in the order of their first models.
pub(crate) fn providers() -> Vec<&'static str> {
    let mut providers: Vec<&str> = Vec::new();
    for model in MODELS {
        if !providers.contains(&model.provider) {
            providers.push(model.provider);
        }
    }
    providers
}

/// The prices of a block that asks one of the models.
pub(crate) fn priced(list: PriceList, block: BlockId) -> PriceList {
    let paid = MODELS.iter().filter(|model| model.price > 0);
    paid.fold(list, |list, model| {
        let filter = [("model".to_owned(), model.name.into())].into_iter().collect();
        list.with(block, BlockCost::run(model.price, filter))
    })
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{DEFAULT, MODELS, provider_of};

    #[test]
    fn each_model_stands_once_and_has_a_base_url() {
        let names: HashSet<_> = MODELS.iter().map(|model| model.name).collect();
        assert_eq!(names.len(), MODELS.len());
        assert_eq!(provider_of(DEFAULT), Some("openai"));
        let settings = runtime::Settings::for_test();
        let bases: HashSet<&str> = settings.models.base_urls().map(|(provider, _)| provider).collect();
        for model in MODELS {
            assert!(model.provider == "ollama" || bases.contains(model.provider), "{}", model.name);
        }
    }
}
