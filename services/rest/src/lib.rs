//! The REST service: the public operations of the platform (rest.md §1), exact on the wire.
//!
//! From an operation to its code: `router.rs` names the handler, `handlers/` has one file an area, and a handler calls the
//! domain: `store` to read, `submit` to create, the scheduler service for schedules and stops.

mod absent;
mod assistant;
mod direct;
mod events;
mod graph_json;
mod handlers;
mod keys;
mod live;
mod metrics;
mod oauth;
mod openapi;
mod partner;
mod router;
mod state;
mod stop;
mod users;
mod wire;

use std::sync::Arc;
use std::time::Duration;

use auth::Verifier;
use axum::routing::get;
use blocks::Registry;
use rpc::services::{Scheduler, SchedulerClient};
use runtime::{Health, Metrics, Settings, Shutdown};
use store::Store;
use tokio::net::TcpListener;
use vault::Credentials;

use crate::events::Announcer;
use crate::handlers::auth::{Embedded, Mails};
use crate::live::Live;
use crate::metrics::HttpMetrics;
use crate::state::{AppState, Heralds};

pub use handlers::graphs::of_body as graph_of_body;

/// How often the database is looked at.
const BETWEEN_CHECKS: Duration = Duration::from_secs(2);

/// What ends the service at start. Once it runs, an absent dependency is waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Key(#[from] auth::KeyError),
    #[error(transparent)]
    Cors(#[from] auth::cors::CorsError),
    #[error(transparent)]
    Credentials(#[from] vault::KeyError),
    #[error(transparent)]
    Auth(#[from] handlers::auth::Error),
    #[error(transparent)]
    Store(#[from] store::Error),
    #[error("cannot write the OpenAPI document: {0}")]
    OpenApi(#[from] serde_json::Error),
    #[error("cannot serve HTTP: {0}")]
    Serve(#[from] std::io::Error),
}

/// Serves until the shutdown; `registry` holds the blocks that are shown and that graphs may have.
pub async fn run(settings: Settings, registry: Arc<Registry>, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let scheduler: Arc<dyn Scheduler> = Arc::new(SchedulerClient::new(&settings));
    run_with(settings, registry, listener, shutdown, scheduler).await
}

/// The same with another way to the scheduler service.
pub async fn run_with(
    settings: Settings,
    registry: Arc<Registry>,
    listener: TcpListener,
    shutdown: Shutdown,
    scheduler: Arc<dyn Scheduler>,
) -> Result<(), Error> {
    let verifier = Verifier::from_settings(&settings)?;
    let cors = auth::cors::layer(&settings.cors_allow_origins, settings.app_env)?;
    let store = Store::connect(&settings.database.url, settings.database.connection_limit)?.with_credits(submit::credit_rules(&settings.credits));
    let health = Health::new(&shutdown);
    watch_database(&store, &health, &shutdown);
    let mails = settings.auth.is_embedded().then(|| Mails::start(&settings));
    let heralds = Heralds {
        announcer: Announcer::new(&settings),
        live: Live::new(&settings, &shutdown),
        mails: mails.clone(),
    };
    let metrics = Metrics::new();
    let http_metrics = HttpMetrics::new(&metrics);
    let probes = probes(&settings, &health, &metrics);
    let verifier = Arc::new(verifier);
    let embedded = mails.map(|mails| Embedded::new(&settings, store.clone(), verifier.clone(), mails));
    let credentials = Credentials::new(store.clone(), settings.auth.encryption_key.expose())?;
    let state = AppState::new(settings, verifier, store.clone(), registry, scheduler, heralds, credentials)?;
    runtime::serve::http(
        listener,
        router::router(state, embedded.transpose()?, cors, probes, http_metrics)?,
        shutdown,
    )
    .await?;
    store.close().await;
    Ok(())
}

/// Where others reach this service: on this machine, when nothing else is said.
fn public_url(settings: &Settings) -> String {
    match settings.platform_base_url.as_str() {
        "" => format!("http://localhost:{}", settings.ports.agent_api),
        url => url.to_owned(),
    }
}

/// Keeps readiness at what the database says; the log tells once that it is missing and once that it is there.
fn watch_database(store: &Store, health: &Health, shutdown: &Shutdown) {
    let (store, shutdown, check) = (store.clone(), shutdown.clone(), health.check("postgres"));
    tokio::spawn(async move {
        let mut missing = false;
        while !shutdown.is_cancelled() {
            match store.check_schema().await {
                Ok(()) => {
                    if std::mem::replace(&mut missing, false) {
                        tracing::info!("PostgreSQL recovered");
                    }
                    check.ok();
                }
                Err(error) => {
                    if !std::mem::replace(&mut missing, true) {
                        tracing::warn!(%error, "waiting for PostgreSQL");
                    }
                    check.fail(error.to_string());
                }
            }
            tokio::select! {
                () = tokio::time::sleep(BETWEEN_CHECKS) => {}
                () = shutdown.cancelled() => {}
            }
        }
    });
}

fn probes(settings: &Settings, health: &Health, metrics: &Metrics) -> axum::Router {
    if settings.enable_metrics {
        let of_external = metrics.clone();
        let of_external = axum::Router::new().route("/external-api/metrics", get(async move || of_external.response()));
        health.router().merge(metrics.router()).merge(of_external)
    } else {
        health.router()
    }
}
