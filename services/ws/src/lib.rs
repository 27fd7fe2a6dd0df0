//! The WebSocket service: live events of runs for browsers (internals §3.2).
//!
//! `connect` lets a caller in, `socket` talks to it, `session` knows what it subscribed to, `rooms` hands each event to
//! those who asked for it, `source` hears the events on Redis, `resync` makes good for what was lost there.

mod abreast;
mod connect;
pub mod frame;
mod outbox;
mod places;
mod resync;
mod rooms;
mod session;
mod socket;
mod source;

use std::sync::Arc;
use std::time::Duration;

use auth::Verifier;
use axum::Json;
use axum::Router;
use axum::routing::get;
use rpc::services::{DatabaseManager, DatabaseManagerClient};
use runtime::{Health, Metrics, Settings, Shutdown};
use serde_json::json;
use tokio::net::TcpListener;
use tokio_util::task::TaskTracker;

use crate::connect::Door;
use crate::places::Places;
use crate::resync::Resync;
use crate::rooms::Rooms;
use crate::session::Surroundings;
use crate::source::Source;

pub use crate::socket::Patience;

/// Between readiness going off and the first closed connection: time for load balancers to notice.
const NOTICE: Duration = Duration::from_secs(1);
/// How long connections may take to say good-bye.
const FAREWELL: Duration = Duration::from_secs(3);

/// What ends the service at start. Once it runs, an absent dependency is waited for.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Key(#[from] auth::KeyError),
    #[error(transparent)]
    Cors(#[from] auth::cors::CorsError),
    #[error("cannot serve HTTP: {0}")]
    Serve(#[from] std::io::Error),
}

/// Serves until the shutdown.
pub async fn run(settings: Settings, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    run_with(settings, listener, shutdown, Patience::default()).await
}

/// The same with another patience with connections that say nothing.
pub async fn run_with(settings: Settings, listener: TcpListener, shutdown: Shutdown, patience: Patience) -> Result<(), Error> {
    let database: Arc<dyn DatabaseManager> = Arc::new(DatabaseManagerClient::new(&settings));
    let verifier = if settings.auth.enable_auth {
        Some(Arc::new(Verifier::from_settings(&settings)?))
    } else {
        tracing::warn!("ENABLE_AUTH is false: every WebSocket connection is the default user");
        None
    };
    let cors = auth::cors::layer(&settings.cors_allow_origins, settings.app_env)?;
    let health = Health::new(&shutdown);
    let metrics = Metrics::new();
    let connections = metrics.gauge("autogpt_websocket_connections_total", "WebSocket connections that are open");
    let (closing, tasks) = (Shutdown::new(), TaskTracker::new());
    let door = Door {
        verifier,
        surroundings: Surroundings {
            rooms: Rooms::new(
                Source::start(&settings, &closing),
                Resync::new(database.clone(), settings.max_message_size_limit, &closing),
            ),
            database,
        },
        connections,
        places: Places::new(&settings.websocket),
        patience,
        tasks: tasks.clone(),
        closing: closing.clone(),
    };
    let mut router = Router::new()
        .route("/", get(async || Json(json!({ "status": "healthy" }))))
        .route("/ws", get(connect::connect))
        .with_state(door)
        .merge(health.router());
    if settings.enable_metrics {
        router = router.merge(metrics.router());
    }
    let farewell = tokio::spawn(say_goodbye(shutdown, closing.clone(), tasks));
    runtime::serve::http(listener, router.layer(cors), closing).await?;
    // The connections have left the HTTP server's hands.
    let _ = farewell.await;
    Ok(())
}

/// Readiness is off since the shutdown began; the connections follow a moment later.
async fn say_goodbye(shutdown: Shutdown, closing: Shutdown, tasks: TaskTracker) {
    shutdown.cancelled().await;
    tokio::time::sleep(NOTICE).await;
    closing.trigger();
    tasks.close();
    if tokio::time::timeout(FAREWELL, tasks.wait()).await.is_err() {
        tracing::warn!(left = tasks.len(), "connections were still open at the end");
    }
}
