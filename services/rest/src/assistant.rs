//! The model that the platform itself asks: for the chat, and to score runs for administrators.

use std::sync::Arc;
use std::time::Duration;

use blocks::Outside;
use outside::{ASSISTANT, Asked, Completion, Message, ModelError, Speech};
use runtime::Settings;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

/// Answers that this process may be waiting for.
const MOST_AT_ONCE: usize = 64;
/// How long somebody waits for one of these places.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why there is no answer.
#[derive(Debug, thiserror::Error)]
pub enum NoAnswer {
    #[error("too many answers of the model are waited for: try again in a moment")]
    Busy,
    #[error(transparent)]
    Model(#[from] ModelError),
}

/// A configured model. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Assistant {
    outside: Outside,
    model: String,
    api_key: String,
    places: Arc<Semaphore>,
}

impl Assistant {
    /// None when no model is configured.
    pub fn new(settings: &Settings, outside: Outside) -> Option<Self> {
        let configured = &settings.assistant;
        configured.is_there().then(|| Self {
            outside,
            model: configured.model.clone(),
            api_key: configured.api_key.expose().to_owned(),
            places: Arc::new(Semaphore::new(MOST_AT_ONCE)),
        })
    }

    /// The name of the model.
    pub fn model(&self) -> &str {
        &self.model
    }

    /// An answer as a whole, as one JSON object.
    pub async fn answer_in_json(&self, messages: &[Message], max_tokens: i64) -> Result<Completion, NoAnswer> {
        let _place = self.place().await?;
        let asked = Asked {
            max_tokens: Some(max_tokens),
            json_object: true,
            ..self.asked(messages)
        };
        Ok(self.outside.models().complete(&asked, self.outside.web()).await?)
    }

    /// An answer while it is given. The place is held until it is dropped.
    pub async fn speak(&self, messages: &[Message]) -> Result<(Speech, OwnedSemaphorePermit), NoAnswer> {
        let place = self.place().await?;
        Ok((self.outside.models().stream(&self.asked(messages)).await?, place))
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, NoAnswer> {
        let place = tokio::time::timeout(PATIENCE, self.places.clone().acquire_owned()).await;
        place.ok().and_then(Result::ok).ok_or(NoAnswer::Busy)
    }

    fn asked<'a>(&'a self, messages: &'a [Message]) -> Asked<'a> {
        Asked {
            provider: ASSISTANT,
            model: &self.model,
            api_key: &self.api_key,
            messages,
            max_tokens: None,
            json_object: false,
            ollama_host: "",
        }
    }
}
