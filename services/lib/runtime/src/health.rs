//! Health: `/livez` says that the process works, `/readyz` that it can do its job, and if not, why.

use std::collections::BTreeMap;
use std::future::Future;
use std::pin::Pin;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::extract::State;
use axum::http::StatusCode;
use axum::response::{IntoResponse, Json, Response};
use axum::routing::get;

use crate::Shutdown;

type Probe = Arc<dyn Fn() -> Pin<Box<dyn Future<Output = Result<(), String>> + Send>> + Send + Sync>;

/// A probe that takes longer counts as failed.
const PROBE_TIMEOUT: Duration = Duration::from_secs(3);

/// The named checks of one service. Cheap to clone; all clones share the checks.
#[derive(Clone, Default)]
pub struct Health {
    state: Arc<Mutex<Checks>>,
    shutdown: Option<Shutdown>,
}

#[derive(Default)]
struct Checks {
    /// Reason why the check fails, or none.
    reported: BTreeMap<&'static str, Option<String>>,
    probes: BTreeMap<&'static str, Probe>,
}

/// One condition that its owner reports. It fails until it is first reported good.
#[derive(Clone)]
pub struct Check {
    name: &'static str,
    health: Health,
}

impl Check {
    pub fn ok(&self) {
        self.health.report(self.name, None);
    }

    pub fn fail(&self, reason: impl Into<String>) {
        self.health.report(self.name, Some(reason.into()));
    }
}

impl Health {
    /// A service without checks is ready at once, and unready from the start of the shutdown.
    pub fn new(shutdown: &Shutdown) -> Self {
        Self {
            state: Arc::default(),
            shutdown: Some(shutdown.clone()),
        }
    }

    /// Adds a condition that is reported by whoever knows it, such as a connection's supervisor.
    pub fn check(&self, name: &'static str) -> Check {
        self.report(name, Some("starting".to_owned()));
        Check { name, health: self.clone() }
    }

    /// Adds a condition that is asked for at every look, such as `SELECT 1`.
    pub fn probe<F, Fut>(&self, name: &'static str, probe: F)
    where
        F: Fn() -> Fut + Send + Sync + 'static,
        Fut: Future<Output = Result<(), String>> + Send + 'static,
    {
        let probe: Probe = Arc::new(move || Box::pin(probe()));
        self.locked(|state| state.probes.insert(name, probe));
    }

    /// The failing checks with their reasons; empty when the service is ready.
    pub async fn failures(&self) -> BTreeMap<&'static str, String> {
        let (mut failures, probes) = self.locked(|state| {
            let failures: BTreeMap<_, _> = state
                .reported
                .iter()
                .filter_map(|(name, reason)| Some((*name, reason.clone()?)))
                .collect();
            (failures, state.probes.clone())
        });
        for (name, probe) in probes {
            let outcome = tokio::time::timeout(PROBE_TIMEOUT, probe()).await;
            if let Err(reason) = outcome.unwrap_or_else(|_| Err(format!("no answer within {} s", PROBE_TIMEOUT.as_secs()))) {
                failures.insert(name, reason);
            }
        }
        failures
    }

    /// Whether the service has been asked to end.
    pub fn is_draining(&self) -> bool {
        self.shutdown.as_ref().is_some_and(Shutdown::is_cancelled)
    }

    /// `GET /livez` and `GET /readyz`.
    pub fn router<S: Clone + Send + Sync + 'static>(&self) -> axum::Router<S> {
        axum::Router::new()
            .route("/livez", get(async || "ok"))
            .route("/readyz", get(readyz))
            .with_state(self.clone())
    }

    fn report(&self, name: &'static str, reason: Option<String>) {
        self.locked(|state| state.reported.insert(name, reason));
    }

    fn locked<T>(&self, use_state: impl FnOnce(&mut Checks) -> T) -> T {
        use_state(&mut self.state.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

async fn readyz(State(health): State<Health>) -> Response {
    let mut failures = health.failures().await;
    if health.is_draining() {
        failures.insert("shutdown", "draining".to_owned());
    }
    if failures.is_empty() {
        Json(serde_json::json!({"status": "ready"})).into_response()
    } else {
        (
            StatusCode::SERVICE_UNAVAILABLE,
            Json(serde_json::json!({"status": "unavailable", "checks": failures})),
        )
            .into_response()
    }
}
