//! The server's half: routes, health checks, token, and the shapes of refusals (internals §1.1–1.3).

use std::future::Future;

use axum::body::Bytes;
use axum::extract::{DefaultBodyLimit, Request, State};
use axum::middleware::{Next, from_fn, from_fn_with_state};
use axum::response::{IntoResponse, Response};
use axum::routing::{get, post};
use axum::{Json, Router};
use http::{StatusCode, header};
use runtime::{Health, Secret, Settings};
use serde::Serialize;
use serde_json::json;
use tower_http::catch_panic::CatchPanicLayer;

use crate::RpcError;

/// Most bytes of a call's body. Journals carry large values several times: as an output, and twice for each node that gets it.
pub const BODY_LIMIT: usize = 128 << 20;

/// Collects the methods of a service.
pub struct Server {
    methods: Router,
    token: Option<Secret>,
    health: Health,
}

impl Server {
    pub fn new(settings: &Settings, health: &Health) -> Self {
        Self {
            methods: Router::new(),
            token: settings.rpc.token.clone(),
            health: health.clone(),
        }
    }

    pub fn method<F, Fut>(&mut self, name: &'static str, handler: F)
    where
        F: Fn(Bytes) -> Fut + Clone + Send + Sync + 'static,
        Fut: Future<Output = Response> + Send + 'static,
    {
        let handler = move |body: Bytes| Box::pin(handler(body));
        self.methods = std::mem::take(&mut self.methods).route(&format!("/{name}"), post(handler));
    }

    pub fn finish(self) -> Router {
        let check = get(health_check).post(health_check);
        let health = Router::new()
            .route("/health_check", check.clone())
            .route("/health_check_async", check)
            .with_state(self.health.clone())
            .merge(self.health.router());
        self.methods
            .route_layer(from_fn(runtime::trace::go_on))
            .route_layer(from_fn_with_state(self.token, require_token))
            // A panic answers like any other failure, and the connection stays usable.
            .layer(CatchPanicLayer::custom(panicked))
            .merge(health)
            .fallback(async || detail(StatusCode::NOT_FOUND, "Not Found"))
            .method_not_allowed_fallback(async || detail(StatusCode::METHOD_NOT_ALLOWED, "Method Not Allowed"))
            .layer(DefaultBodyLimit::max(BODY_LIMIT))
    }
}

/// The answer of a method: bare JSON, or the error with the status that follows from its class.
pub fn reply<T: Serialize>(outcome: Result<T, RpcError>) -> Response {
    match outcome {
        Ok(value) => Json(value).into_response(),
        Err(error) => {
            if error.kind.status().is_server_error() {
                // The caller logs what it makes of the failure; during an outage every call fails.
                tracing::debug!(%error, "RPC method failed");
            }
            error.into_response()
        }
    }
}

fn panicked(_: Box<dyn std::any::Any + Send>) -> Response {
    // The panic hook has printed where it happened; the caller learns no internals.
    RpcError::runtime("the method failed unexpectedly").into_response()
}

async fn health_check(State(health): State<Health>) -> Response {
    let failures = health.failures().await;
    if failures.is_empty() {
        return Json("OK").into_response();
    }
    let reasons: Vec<String> = failures.iter().map(|(name, reason)| format!("{name}: {reason}")).collect();
    RpcError::unhealthy(reasons.join("; ")).into_response()
}

async fn require_token(State(token): State<Option<Secret>>, request: Request, next: Next) -> Response {
    let presented = request
        .headers()
        .get(header::AUTHORIZATION)
        .and_then(|value| value.to_str().ok())
        .and_then(|value| value.strip_prefix("Bearer "));
    match token {
        Some(token) if !presented.is_some_and(|presented| same(presented, token.expose())) => {
            detail(StatusCode::UNAUTHORIZED, "Invalid or missing internal token")
        }
        _ => next.run(request).await,
    }
}

/// Comparison whose duration does not tell where the texts differ.
fn same(left: &str, right: &str) -> bool {
    left.len() == right.len() && left.bytes().zip(right.bytes()).fold(0, |difference, (a, b)| difference | (a ^ b)) == 0
}

fn detail(status: StatusCode, text: &str) -> Response {
    (status, Json(json!({"detail": text}))).into_response()
}
