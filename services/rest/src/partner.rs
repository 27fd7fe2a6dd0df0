//! Services of others that the operator of the platform has configured. What is configured is believed: any address is called.

use std::time::Duration;

use http::StatusCode;
use outside::reply::{self, BodyError};
use reqwest::redirect::Policy;
use reqwest::{Client, RequestBuilder};
use serde_json::Value;

/// For a whole answer.
const PATIENCE: Duration = Duration::from_secs(60);
const CONNECT_WITHIN: Duration = Duration::from_secs(10);
/// Bytes of an answer.
const LONGEST_ANSWER: usize = 4 * 1024 * 1024;

/// Calls them. Cheap to clone.
#[derive(Debug, Clone)]
pub struct Partner(Client);

/// Why there is no answer. Names no secret.
#[derive(Debug, thiserror::Error)]
pub enum Silence {
    #[error("it cannot be reached: {0}")]
    Unreachable(String),
    #[error("its answer is longer than {0} bytes")]
    TooLong(usize),
}

impl Partner {
    pub fn new() -> Result<Self, reqwest::Error> {
        // For tests: a service has done so already.
        runtime::install_tls_provider();
        let client = Client::builder()
            .redirect(Policy::none())
            .timeout(PATIENCE)
            .connect_timeout(CONNECT_WITHIN);
        client.build().map(Self)
    }

    pub fn client(&self) -> &Client {
        &self.0
    }

    /// The status and the whole body; null for a body that is no JSON.
    pub async fn ask(&self, request: RequestBuilder) -> Result<(StatusCode, Value), Silence> {
        // Without the address: it may carry what is nobody's business.
        let unreachable = |error: reqwest::Error| Silence::Unreachable(error.without_url().to_string());
        let answer = request.send().await.map_err(unreachable)?;
        let status = answer.status();
        let body = reply::whole(answer, LONGEST_ANSWER).await.map_err(|error| match error {
            BodyError::TooLarge(limit) => Silence::TooLong(limit),
            BodyError::Broken(error) => unreachable(error),
        })?;
        Ok((status, serde_json::from_slice(&body).unwrap_or_default()))
    }
}
