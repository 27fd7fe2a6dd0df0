//! A user with a token.

use std::time::{Duration, Instant};

use base64::Engine;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use reqwest::Method;
use serde_json::{Value, json};
use sha2::Sha256;
use uuid::Uuid;

/// Signs the tokens of every platform that the tests start.
pub const SECRET: &str = "a secret of the contract tests, long enough for HS256";

/// Statuses at which a run rests.
pub const TERMINAL: &[&str] = &["COMPLETED", "FAILED", "TERMINATED", "REVIEW"];

#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    token: String,
    pub user: Uuid,
}

/// A status and a body; null when the body is no JSON.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    pub status: u16,
    pub body: Value,
}

impl Client {
    /// A new user of the REST service at `base`, who exists when this returns.
    pub async fn new_user(base: &str) -> Self {
        let user = Uuid::new_v4();
        let client = Self::with_token(base, user, token(user));
        let answer = client.post("/api/auth/user", &json!({})).await;
        assert_eq!(answer.status, 200, "creating a user: {answer:?}");
        client
    }

    /// A user who has a token from elsewhere.
    pub fn with_token(base: &str, user: Uuid, token: String) -> Self {
        runtime::install_tls_provider();
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(30))
            .no_proxy()
            .build()
            .expect("HTTP client");
        Self {
            http,
            base: base.to_owned(),
            token,
            user,
        }
    }

    pub async fn get(&self, path: &str) -> Answer {
        self.send(Method::GET, path, None).await
    }

    pub async fn post(&self, path: &str, body: &Value) -> Answer {
        self.send(Method::POST, path, Some(body)).await
    }

    pub async fn send(&self, method: Method, path: &str, body: Option<&Value>) -> Answer {
        let mut request = self.http.request(method, format!("{}{path}", self.base)).bearer_auth(&self.token);
        if let Some(body) = body {
            request = request.json(body);
        }
        match request.send().await {
            Ok(response) => {
                let status = response.status().as_u16();
                Answer {
                    status,
                    body: response.json().await.unwrap_or_default(),
                }
            }
            Err(error) => Answer {
                status: 0,
                body: json!({"detail": error.to_string()}),
            },
        }
    }

    /// Creates a graph; the answer's id.
    pub async fn create_graph(&self, graph: &Value) -> Uuid {
        let answer = self.post("/api/graphs", &json!({"graph": graph})).await;
        assert_eq!(answer.status, 200, "creating a graph: {answer:?}");
        id_of(&answer.body)
    }

    /// Starts version 1 of a graph; the id of the run, which is accepted from here on.
    pub async fn execute(&self, graph: Uuid, inputs: Value) -> Uuid {
        let answer = self.post(&format!("/api/graphs/{graph}/execute/1"), &json!({"inputs": inputs})).await;
        assert_eq!(answer.status, 200, "starting a run: {answer:?}");
        id_of(&answer.body)
    }

    /// The run as it is; waits while the service is away.
    pub async fn execution(&self, graph: Uuid, run: Uuid) -> Value {
        let deadline = Instant::now() + Duration::from_secs(60);
        loop {
            let answer = self.get(&format!("/api/graphs/{graph}/executions/{run}")).await;
            if answer.status == 200 {
                return answer.body;
            }
            assert!(Instant::now() < deadline, "reading a run: {answer:?}");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }

    /// Waits until the run rests.
    pub async fn finished(&self, graph: Uuid, run: Uuid, within: Duration) -> Value {
        self.wait_for(graph, run, within, |execution| TERMINAL.contains(&status(execution))).await
    }

    pub async fn wait_for(&self, graph: Uuid, run: Uuid, within: Duration, reached: impl Fn(&Value) -> bool) -> Value {
        let deadline = Instant::now() + within;
        loop {
            let execution = self.execution(graph, run).await;
            if reached(&execution) {
                return execution;
            }
            assert!(Instant::now() < deadline, "not reached within {within:?}: {execution:#}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub fn status(execution: &Value) -> &str {
    execution["status"].as_str().unwrap_or_default()
}

fn id_of(body: &Value) -> Uuid {
    body["id"]
        .as_str()
        .and_then(|id| id.parse().ok())
        .unwrap_or_else(|| panic!("no id in {body}"))
}

/// A user's token, signed with [`SECRET`].
pub fn token(user: Uuid) -> String {
    token_of(user, "authenticated")
}

/// The token of a user with that role.
pub fn token_of(user: Uuid, role: &str) -> String {
    let now = std::time::SystemTime::now()
        .duration_since(std::time::UNIX_EPOCH)
        .unwrap_or_default()
        .as_secs();
    let claims =
        json!({"sub": user, "email": format!("{user}@example.test"), "role": role, "aud": "authenticated", "iat": now, "exp": now + 24 * 3600});
    let encode = |value: &Value| BASE64_URL_SAFE_NO_PAD.encode(value.to_string());
    let body = format!("{}.{}", encode(&json!({"alg": "HS256", "typ": "JWT"})), encode(&claims));
    let mut signer = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).expect("HMAC takes any key");
    signer.update(body.as_bytes());
    format!("{body}.{}", BASE64_URL_SAFE_NO_PAD.encode(signer.finalize().into_bytes()))
}
