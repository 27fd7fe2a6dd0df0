//! `GET /ws`: who may connect (rest.md §3.2). A caller without a valid token is refused before the handshake.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use auth::Verifier;
use axum::extract::ws::WebSocketUpgrade;
use axum::extract::ws::rejection::WebSocketUpgradeRejection;
use axum::extract::{RawQuery, State};
use axum::response::{IntoResponse, Response};
use axum::{Extension, Json};
use http::StatusCode;
use model::UserId;
use prometheus_client::metrics::gauge::Gauge;
use runtime::Shutdown;
use runtime::serve::Linger;
use serde_json::json;
use tokio::time::Instant;
use tokio_util::task::TaskTracker;

use crate::outbox::outbox;
use crate::places::Places;
use crate::session::{Session, Surroundings};
use crate::socket::{self, Bounds, Conversation, Patience};

/// axum's default of 128 KiB a connection is sixteen times the memory that a connection should take. Requests have some hundred bytes; a longer
/// one grows the buffer.
const READ_BUFFER: usize = 1024;
/// Requests have some hundred bytes; the reference's limit is its server's default of 16 MiB. A message is kept whole while it comes, and
/// there are thousands of connections.
const MAX_REQUEST: usize = 1024 * 1024;

/// What the route needs.
#[derive(Clone)]
pub struct Door {
    /// None while `ENABLE_AUTH=false`: everybody is the default user.
    pub verifier: Option<Arc<Verifier>>,
    pub surroundings: Surroundings,
    pub connections: Gauge,
    /// How many connections there may be.
    pub places: Places,
    pub patience: Patience,
    /// Every connection's task.
    pub tasks: TaskTracker,
    /// Ends the connections.
    pub closing: Shutdown,
}

pub async fn connect(
    State(door): State<Door>,
    RawQuery(query): RawQuery,
    linger: Option<Extension<Linger>>,
    upgrade: Result<WebSocketUpgrade, WebSocketUpgradeRejection>,
) -> Response {
    let Ok(upgrade) = upgrade else {
        return refuse(StatusCode::NOT_FOUND, "Not Found");
    };
    let Caller { user_id, expires } = match door.caller(query.as_deref().unwrap_or_default()).await {
        Ok(caller) => caller,
        Err(reason) => return refuse(StatusCode::FORBIDDEN, &reason),
    };
    let place = match door.places.take(user_id) {
        Ok(place) => place,
        Err(full) => return refuse(full.status(), &full.to_string()),
    };
    if door.closing.is_cancelled() {
        return refuse(StatusCode::SERVICE_UNAVAILABLE, "The server is going away");
    }
    let upgrade = upgrade
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(READ_BUFFER)
        .max_message_size(MAX_REQUEST)
        .max_frame_size(MAX_REQUEST);
    // The token is held from here, so that the shutdown waits for a handshake under way too.
    let token = door.tasks.token();
    let (outbox, queue) = outbox();
    let session = Session::new(user_id, outbox, door.surroundings);
    upgrade.on_upgrade(move |socket| {
        let held = (Open::new(door.connections), place, token);
        let bounds = Bounds {
            patience: door.patience,
            expires,
            shutdown: door.closing,
            linger: linger.map(|Extension(linger)| linger).unwrap_or_default(),
        };
        Box::pin(socket::serve(Conversation::new(socket, session, queue, bounds, held)))
    })
}

impl Door {
    /// The user of `?token=…`.
    async fn caller(&self, query: &str) -> Result<Caller, String> {
        let Some(verifier) = &self.verifier else {
            return Ok(Caller {
                user_id: auth::DEFAULT_USER_ID,
                expires: None,
            });
        };
        let token = url::form_urlencoded::parse(query.as_bytes()).find(|(name, _)| name == "token");
        let token = token.map(|(_, token)| token).filter(|token| !token.is_empty());
        let token = token.ok_or_else(|| "Missing authentication token".to_owned())?;
        let claims = verifier.verify_fetching(&token).await.map_err(|error| error.to_string())?;
        Ok(Caller {
            user_id: claims.user_id,
            expires: claims.expires_at.and_then(instant),
        })
    }
}

/// Who connects, and until when the token says so.
struct Caller {
    user_id: UserId,
    expires: Option<Instant>,
}

/// A moment in Unix seconds by the process's clock. None when it is too far away to be told.
fn instant(unix_seconds: i64) -> Option<Instant> {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).ok()?;
    let left = Duration::from_secs(u64::try_from(unix_seconds).ok()?).saturating_sub(now);
    Instant::now().checked_add(left)
}

fn refuse(status: StatusCode, detail: &str) -> Response {
    (status, Json(json!({ "detail": detail }))).into_response()
}

/// Counts a connection while it lives.
struct Open(Gauge);

impl Open {
    fn new(gauge: Gauge) -> Self {
        gauge.inc();
        Self(gauge)
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}
