//! What the platform asks of services elsewhere: a model that speaks OpenAI's chat protocol, Otto, and a provider at which users log in.

use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::AbortHandle;

use crate::Result;

/// What the model always says: words in a chat, and a verdict on a run.
const SAID: &str = r#"{"activity_status": "It is done.", "correctness_score": 0.5}"#;

/// The services, on a free port of this machine. They end with their owner.
pub struct Around {
    url: String,
    serving: AbortHandle,
}

impl Drop for Around {
    fn drop(&mut self) {
        self.serving.abort();
    }
}

impl Around {
    /// # Errors
    /// When there is no free port.
    pub async fn start() -> Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let url = format!("http://{}", listener.local_addr()?);
        let router = Router::new()
            .route("/v1/chat/completions", post(speak))
            .route("/ask", post(answer))
            .route("/login/oauth/access_token", post(token))
            .route("/user", get(user));
        let serving = tokio::spawn(async move { axum::serve(listener, router).await }).abort_handle();
        Ok(Self { url, serving })
    }

    /// Settings of the platform that lead here.
    pub fn settings(&self) -> Vec<(&'static str, String)> {
        vec![
            ("CHAT_BASE_URL", format!("{}/v1", self.url)),
            ("CHAT_MODEL", "small".to_owned()),
            ("OTTO_API_URL", format!("{}/ask", self.url)),
            ("OAUTH_HOSTS", json!([format!("github={}", self.url)]).to_string()),
            ("GITHUB_CLIENT_ID", "client".to_owned()),
            ("GITHUB_CLIENT_SECRET", "hush".to_owned()),
        ]
    }
}

async fn speak() -> Response {
    let piece = |piece: Value| format!("data: {piece}\n\n");
    let (first, second) = SAID.split_at(SAID.len() / 2);
    let said = |words: &str| piece(json!({"choices": [{"delta": {"content": words}}]}));
    let usage = piece(json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}));
    let body = format!("{}{}{usage}data: [DONE]\n\n", said(first), said(second));
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn answer() -> Json<Value> {
    Json(json!({"answer": "so", "documents": [], "success": true}))
}

async fn token() -> Json<Value> {
    Json(json!({"access_token": "access", "token_type": "bearer", "scope": "a b"}))
}

async fn user() -> Json<Value> {
    Json(json!({"login": "ada"}))
}
