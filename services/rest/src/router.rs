//! Every route of the service, and the layers around them.

use std::sync::Arc;

use axum::Router;
use axum::extract::DefaultBodyLimit;
use axum::response::Html;
use axum::routing::{MethodRouter, get};
use bytes::Bytes;
use http::{HeaderMap, Uri};
use runtime::settings::AppEnv;
use serde_json::Value;
use tower::ServiceBuilder;
use tower_http::catch_panic::CatchPanicLayer;
use tower_http::compression::CompressionLayer;
use tower_http::compression::predicate::{NotForContentType, Predicate, SizeAbove};
use tower_http::cors::CorsLayer;
use utoipa_axum::router::OpenApiRouter;

use crate::handlers::auth::{self, Embedded};
use crate::handlers::{
    admin, analytics, api_keys, blocks, builder, caches, catalogue, chat, credits, executions, external, files, graphs, health, integrations,
    library, mails, media, onboarding, otto, presets, review, schedules, scores, sharing, submissions, users, webhooks,
};
use crate::metrics::{self, HttpMetrics};
use crate::state::AppState;
use crate::wire::body::MAX_BODY_BYTES;
use crate::wire::slash::Addresses;
use crate::wire::{ApiError, Prepared, error, headers};
use crate::{Error, absent, openapi};

/// Smaller answers are not worth compressing (rest.md §2.10).
const COMPRESS_FROM: u64 = 50_000;

/// The operations of rest.md §1 that exist so far, one line an area.
fn operations() -> OpenApiRouter<AppState> {
    OpenApiRouter::new()
        .merge(health::routes())
        .merge(users::routes())
        .merge(onboarding::routes())
        .merge(blocks::routes())
        .merge(files::routes())
        .merge(graphs::routes())
        .merge(executions::routes())
        .merge(sharing::routes())
        .merge(schedules::routes())
        .merge(library::routes())
        .merge(presets::routes())
        .merge(catalogue::routes())
        .merge(submissions::routes())
        .merge(credits::routes())
        .merge(review::routes())
        .merge(api_keys::routes())
        .merge(integrations::routes())
        .merge(webhooks::routes())
        .merge(analytics::routes())
        .merge(builder::routes())
        .merge(media::routes())
        .merge(admin::routes())
        .merge(scores::routes())
        .merge(chat::routes())
        .merge(otto::routes())
        .merge(mails::routes())
        .merge(caches::routes())
}

/// `probes` are the routes for Kubernetes; they need no user.
pub fn router(state: AppState, embedded: Option<Embedded>, cors: CorsLayer, probes: Router, metrics: HttpMetrics) -> Result<Router, Error> {
    let layers = ServiceBuilder::new()
        .layer(axum::middleware::from_fn(headers::add))
        .layer(cors)
        .layer(CompressionLayer::new().compress_when(SizeAbove::new(COMPRESS_FROM).and(NotForContentType::SSE)))
        .layer(axum::middleware::from_fn(error::render))
        .layer(CatchPanicLayer::custom(|_| {
            axum::response::IntoResponse::into_response(ApiError::Internal("a handler panicked".to_owned()))
        }))
        .layer(DefaultBodyLimit::max(MAX_BODY_BYTES));
    let (operations, told) = operations().split_for_parts();
    let told = serde_json::to_value(told)?;
    let (absent, described) = absent::routes(&told["paths"])?;
    let document = openapi::complete(told, described)?;
    let addresses = Arc::new(Addresses::of(&document));
    let pages = if state.settings.app_env == AppEnv::Local {
        pages(&document)?
    } else {
        Router::new()
    };
    let document = document_at(&document)?;
    let routes = operations
        .merge(absent)
        .route("/openapi.json", document)
        .merge(pages)
        .merge(external::router())
        // Ours, so not in the document, which is the contract's.
        .route("/api/graphs/{graph_id}/executions/{graph_exec_id}/events", get(executions::events))
        // As the frontend calls it (rest.md trap 17).
        .route("/api/admin/users", get(admin::users))
        .with_state(state)
        .merge(embedded.map(auth::router).unwrap_or_default())
        .route_layer(axum::middleware::from_fn(runtime::trace::begin_or_continue))
        .route_layer(axum::middleware::from_fn_with_state(metrics, metrics::measure))
        .merge(probes)
        .method_not_allowed_fallback(error::wrong_method)
        .fallback(move |uri: Uri| async move { addresses.answer(&uri) });
    // Around all of them at once: layers of a route are cloned with it for every request, layer by layer.
    Ok(Router::new().fallback_service(layers.service(routes)))
}

/// Serves a document.
fn document_at(document: &Value) -> Result<MethodRouter<AppState>, Error> {
    let document = Arc::new(Prepared::new(document)?);
    Ok(get(move |headers: HeaderMap| async move { document.answer(&headers) }))
}

/// For the machine of a developer only (rest.md §1): pages about both interfaces, and the document of the external one.
fn pages(document: &Value) -> Result<Router<AppState>, Error> {
    let external = openapi::external::document()?;
    let page = |document: &Value, address: &str| {
        let page = Html(Bytes::from(openapi::page(document, address)));
        get(async move || page)
    };
    Ok(Router::new()
        .route("/docs", page(document, "/openapi.json"))
        .route("/external-api/docs", page(&external, "/external-api/openapi.json"))
        .route("/external-api/openapi.json", document_at(&external)?))
}
