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
    pub class: Class,
}

/// What a model costs, roughly: prices of models change every month, the order of magnitude does not.
#[derive(Clone, Copy)]
pub(crate) enum Class {
    /// Somebody else pays: the user's own server, or providers that the contract leaves unpriced (internals §2.12).
    Free,
    Small,
    Large,
    Reasoning,
}

impl Class {
    /// Credits a run of a block.
    const fn price(self) -> i64 {
        match self {
            Self::Free => 0,
            Self::Small => 1,
            Self::Large => 4,
            Self::Reasoning => 12,
        }
    }
}

const fn model(name: &'static str, provider: &'static str, class: Class) -> Model {
    Model { name, provider, class }
}

pub(crate) const DEFAULT: &str = "gpt-4o-mini";

pub(crate) const MODELS: &[Model] = &[
    model("gpt-4o-mini", "openai", Class::Small),
    model("gpt-4o", "openai", Class::Large),
    model("gpt-4-turbo", "openai", Class::Large),
    model("gpt-3.5-turbo", "openai", Class::Small),
    model("gpt-4.1", "openai", Class::Large),
    model("gpt-4.1-mini", "openai", Class::Small),
    model("gpt-5", "openai", Class::Large),
    model("gpt-5-mini", "openai", Class::Small),
    model("gpt-5-nano", "openai", Class::Small),
    model("o1", "openai", Class::Reasoning),
    model("o3", "openai", Class::Reasoning),
    model("o3-mini", "openai", Class::Small),
    model("claude-opus-4-1-20250805", "anthropic", Class::Reasoning),
    model("claude-sonnet-4-20250514", "anthropic", Class::Large),
    model("claude-3-7-sonnet-20250219", "anthropic", Class::Large),
    model("claude-3-haiku-20240307", "anthropic", Class::Small),
    model("llama-3.3-70b-versatile", "groq", Class::Large),
    model("llama-3.1-8b-instant", "groq", Class::Small),
    model("google/gemini-2.5-pro", "open_router", Class::Large),
    model("google/gemini-2.5-flash", "open_router", Class::Small),
    model("mistralai/mistral-nemo", "open_router", Class::Small),
    model("deepseek/deepseek-chat", "open_router", Class::Large),
    model("openai/gpt-oss-120b", "open_router", Class::Small),
    model("Llama-4-Scout-17B-16E-Instruct-FP8", "llama_api", Class::Small),
    model("Llama-3.3-70B-Instruct", "llama_api", Class::Large),
    model("Qwen/Qwen2.5-72B-Instruct-Turbo", "aiml_api", Class::Large),
    model("meta-llama/Llama-3.3-70B-Instruct-Turbo", "aiml_api", Class::Large),
    model("v0-1.5-md", "v0", Class::Small),
    model("v0-1.5-lg", "v0", Class::Large),
    model("deepseek-chat", "deepseek", Class::Free),
    model("deepseek-reasoner", "deepseek", Class::Free),
    model("qwen-plus", "qwen", Class::Free),
    model("qwen-max", "qwen", Class::Free),
    model("glm-4-plus", "zhipuai", Class::Free),
    model("glm-4-flash", "zhipuai", Class::Free),
    model("moonshot-v1-32k", "moonshot", Class::Free),
    model("llama3.3", "ollama", Class::Free),
    model("llama3.2", "ollama", Class::Free),
    model("llama3", "ollama", Class::Free),
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
    let paid = MODELS.iter().filter(|model| model.class.price() > 0);
    paid.fold(list, |list, model| {
        let filter = [("model".to_owned(), model.name.into())].into_iter().collect();
        list.with(block, BlockCost::run(model.class.price(), filter))
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
