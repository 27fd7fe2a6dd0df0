//! Every route of the service, and the layers around them.

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::routing::{delete, get, post};
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::SizeAbove;
use tower_http::cors::CorsLayer;

use crate::handlers::{blocks, credits, executions, graphs, health, review, schedules, users};
use crate::metrics::{self, HttpMetrics};
use crate::state::AppState;
use crate::wire::body::MAX_BODY_BYTES;
use crate::wire::{ApiError, error, headers};

/// Smaller answers are not worth compressing (rest.md §2.10).
const COMPRESS_FROM: u64 = 50_000;

/// The operations of rest.md §1 that exist so far.
fn operations() -> Router<AppState> {
    Router::new()
        .route("/health", get(health::health))
        // 1 Auth / user
        .route("/api/auth/user", post(users::get_or_create))
        .route("/api/auth/user/timezone", get(users::get_timezone).post(users::set_timezone))
        // 3 Blocks
        .route("/api/blocks", get(blocks::list))
        .route("/api/blocks/{block_id}/execute", post(blocks::execute))
        // 4 Graphs
        .route("/api/graphs", get(graphs::list).post(graphs::create))
        .route("/api/graphs/{graph_id}", get(graphs::get).put(graphs::update))
        .route("/api/graphs/{graph_id}/versions", get(graphs::versions))
        .route("/api/graphs/{graph_id}/versions/{version}", get(graphs::get_version))
        // 5 Executions
        .route("/api/graphs/{graph_id}/execute/{graph_version}", post(executions::execute))
        .route("/api/graphs/{graph_id}/executions", get(executions::list_of_graph))
        .route("/api/graphs/{graph_id}/executions/{graph_exec_id}", get(executions::get))
        .route("/api/graphs/{graph_id}/executions/{graph_exec_id}/stop", post(executions::stop))
        .route("/api/executions", get(executions::list_all))
        .route("/api/executions/{graph_exec_id}", delete(executions::delete))
        // 6 Schedules
        .route("/api/graphs/{graph_id}/schedules", get(schedules::list_of_graph).post(schedules::create))
        .route("/api/schedules", get(schedules::list))
        .route("/api/schedules/{schedule_id}", delete(schedules::delete))
        // 10 Credits
        .route("/api/credits", get(credits::balance))
        // 14 Human review
        .route("/api/review/pending", get(review::pending))
        .route("/api/review/execution/{graph_exec_id}", get(review::pending_of_run))
        .route("/api/review/action", post(review::act))
}

/// `probes` are the routes for Kubernetes; they need no user.
pub fn router(state: AppState, cors: CorsLayer, probes: Router, metrics: HttpMetrics) -> Router {
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::from_fn(headers::add))
        .layer(cors)
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM)))
        .layer(axum::middleware::from_fn(error::render))
        .layer(CatchPanicLayer::custom(|_| {
            axum::response::IntoResponse::into_response(ApiError::Internal("a handler panicked".to_owned()))
        }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    operations()
        .route_layer(axum::middleware::from_fn(runtime::trace::begin_or_continue))
        .route_layer(axum::middleware::from_fn_with_state(metrics, metrics::measure))
        .with_state(state)
        .merge(probes)
        .method_not_allowed_fallback(error::wrong_method)
        .fallback(error::unknown_route)
        .layer(layers)
}
