//! The client's half: one HTTP call per method call, repeated only where that is safe (internals §1.4).

use std::time::Duration;

use http::{HeaderMap, HeaderValue, StatusCode, header};
use runtime::retry::Backoff;
use runtime::spans::{About, Kind};
use runtime::trace::Step;
use runtime::{Secret, Settings, Trace};
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::{RpcError, RpcErrorKind};

/// The waits between two attempts start here (internals §1.4); `PYRO_CLIENT_MAX_WAIT` is their cap.
const FIRST_WAIT: Duration = Duration::from_secs(1);
/// A server that does not even accept a connection for so long is absent.
const CONNECT_TIMEOUT: Duration = Duration::from_secs(5);

/// A client of one server. Cheap to clone; clones share the connections.
#[derive(Clone)]
pub struct Client {
    http: reqwest::Client,
    base_url: String,
    attempts: u32,
    first_wait: Duration,
    longest_wait: Duration,
}

impl Client {
    pub fn new(base_url: String, settings: &Settings) -> Self {
        let rpc = &settings.rpc;
        let longest_wait = Duration::from_secs(rpc.max_wait);
        let http = reqwest::Client::builder()
            .timeout(Duration::from_secs(rpc.call_timeout))
            .connect_timeout(CONNECT_TIMEOUT)
            .pool_idle_timeout(Duration::from_secs(30))
            .pool_max_idle_per_host(200)
            .default_headers(authorization(rpc.token.as_ref()))
            // Peers are inside the platform: a proxy meant for the outside must not see them.
            .no_proxy()
            .build()
            .unwrap_or_else(|error| {
                tracing::error!(%error, "the HTTP client was built without its options");
                reqwest::Client::new()
            });
        Self {
            http,
            base_url: base_url.trim_end_matches('/').to_owned(),
            attempts: rpc.comm_retry.max(1),
            first_wait: FIRST_WAIT.min(longest_wait),
            longest_wait,
        }
    }

    pub fn without_retries(mut self) -> Self {
        self.attempts = 1;
        self
    }

    pub async fn call<T: DeserializeOwned>(&self, method: &'static str, body: Body, repeatable: bool) -> Result<T, RpcError> {
        let body = bytes_of(body);
        let attempts = if repeatable { self.attempts } else { 1 };
        let mut backoff = Backoff::new(self.first_wait, self.longest_wait);
        loop {
            let error = match self.attempt(method, body.clone()).await {
                Ok(value) => return Ok(value),
                Err(error) => error,
            };
            if !error.is_transient() || backoff.attempts() + 1 >= attempts {
                return Err(error);
            }
            if backoff.attempts() == 0 {
                tracing::warn!(method, server = %self.base_url, %error, "RPC failed, trying again");
            }
            tokio::time::sleep(backoff.next_delay()).await;
        }
    }

    pub async fn health_check(&self) -> Result<(), RpcError> {
        let answer: String = self.attempt("health_check", bytes_of(Body::new())).await?;
        if answer == "OK" { Ok(()) } else { Err(RpcError::unhealthy(answer)) }
    }

    async fn attempt<T: DeserializeOwned>(&self, method: &str, body: axum::body::Bytes) -> Result<T, RpcError> {
        let url = format!("{}/{method}", self.base_url);
        let mut step = runtime::trace::current().map(|trace| trace.step(|| About::new(Kind::Client, method.to_owned()).with("url.full", &url)));
        let answer = self.answer(&url, body, step.as_ref().map(Step::trace)).await;
        if let (Some(step), Err(error)) = (&mut step, &answer) {
            step.fail(error);
        }
        answer
    }

    async fn answer<T: DeserializeOwned>(&self, url: &str, body: axum::body::Bytes, trace: Option<Trace>) -> Result<T, RpcError> {
        let mut request = self.http.post(url).header(header::CONTENT_TYPE, "application/json").body(body);
        if let Some(trace) = trace {
            request = request.header(runtime::trace::HEADER, trace.to_string());
        }
        let response = request.send().await.map_err(|error| self.lost(&error))?;
        let status = response.status();
        let body = response.bytes().await.map_err(|error| self.lost(&error))?;
        if status != StatusCode::OK {
            return Err(RpcError::from_answer(status, &body));
        }
        // An answer of another shape will not get better by asking again.
        serde_json::from_slice(&body).map_err(|error| {
            RpcError::new(
                RpcErrorKind::HttpClient,
                format!("{url} answered in another shape than expected: {error}"),
            )
        })
    }

    fn lost(&self, error: &reqwest::Error) -> RpcError {
        let kind = if error.is_timeout() && !error.is_connect() {
            RpcErrorKind::Timeout
        } else {
            RpcErrorKind::Connection
        };
        let mut text = error.to_string();
        let mut cause = std::error::Error::source(error);
        while let Some(inner) = cause {
            text = format!("{text}: {inner}");
            cause = inner.source();
        }
        RpcError::new(kind, text)
    }
}

fn authorization(token: Option<&Secret>) -> HeaderMap {
    let mut headers = HeaderMap::new();
    if let Some(token) = token {
        match HeaderValue::from_str(&format!("Bearer {}", token.expose())) {
            Ok(mut value) => {
                value.set_sensitive(true);
                headers.insert(header::AUTHORIZATION, value);
            }
            Err(_) => tracing::error!("INTERNAL_RPC_TOKEN holds characters that a header cannot carry: calls will be refused"),
        }
    }
    headers
}

fn bytes_of(mut body: Body) -> axum::body::Bytes {
    body.0.push(b'}');
    body.0.into()
}

/// The JSON object of arguments, written as it is put together.
pub struct Body(Vec<u8>);

impl Body {
    #[allow(clippy::new_without_default)]
    pub fn new() -> Self {
        Self(vec![b'{'])
    }

    pub fn argument(&mut self, name: &str, value: &(impl Serialize + ?Sized)) -> Result<(), RpcError> {
        if self.0.len() > 1 {
            self.0.push(b',');
        }
        let unwritable = |error: serde_json::Error| RpcError::value(format!("argument {name} cannot be sent: {error}"));
        serde_json::to_writer(&mut self.0, name).map_err(unwritable)?;
        self.0.push(b':');
        serde_json::to_writer(&mut self.0, value).map_err(unwritable)
    }
}
