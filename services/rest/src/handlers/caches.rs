//! What this process remembers, for Prometheus (rest.md §1 area 8).

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::header::CONTENT_TYPE;
use submit::Submitter;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use crate::keys::KeyRing;
use crate::state::AppState;
use crate::users::Users;

pub fn routes() -> OpenApiRouter<AppState> {
    OpenApiRouter::new().routes(routes!(metrics))
}

/// How much is in each cache of this process. The catalogue itself is read from the database each time.
#[utoipa::path(
    get, path = "/api/store/metrics/cache",
    operation_id = "getV2Get cache metrics in prometheus format", tags = ["v2", "store", "metrics"],
    security(()),
    responses((status = 200, body = String, content_type = "text/plain")),
)]
pub async fn metrics(State(users): State<Users>, State(keys): State<KeyRing>, State(submitter): State<Submitter>) -> Response {
    let graphs = submitter.remembered().await;
    let entries = [
        ("api_keys", keys.remembered().await),
        ("graph_interfaces", graphs.interfaces),
        ("graph_plans", graphs.plans),
        ("users", users.remembered().await),
    ];
    let mut text = "# HELP autogpt_cache_entries Entries of a cache of this process\n# TYPE autogpt_cache_entries gauge\n".to_owned();
    text.extend(
        entries
            .iter()
            .map(|(cache, count)| format!("autogpt_cache_entries{{cache=\"{cache}\"}} {count}\n")),
    );
    ([(CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], text).into_response()
}
