//! How many requests were answered, how, and how long it took. Labels are routes, never paths or users.

use std::time::Instant;

use axum::extract::{MatchedPath, Request, State};
use axum::middleware::Next;
use axum::response::Response;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use runtime::Metrics;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    method: String,
    route: String,
    status: u16,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RouteLabels {
    method: String,
    route: String,
}

#[derive(Clone)]
pub struct HttpMetrics {
    requests: Family<Labels, Counter>,
    seconds: Family<RouteLabels, Histogram>,
}

impl HttpMetrics {
    pub fn new(metrics: &Metrics) -> Self {
        // 1 ms to about 16 s.
        let seconds: Family<RouteLabels, Histogram> = Family::new_with_constructor(|| Histogram::new(exponential_buckets(0.001, 2.0, 15)));
        Self {
            requests: metrics.register("autogpt_http_requests", "Requests by route and status", Family::default()),
            seconds: metrics.register("autogpt_http_request_seconds", "Time to the answer's head by route", seconds),
        }
    }
}

/// Measures one request. Must be a route layer: the route is known only behind the router.
pub async fn measure(State(metrics): State<HttpMetrics>, request: Request, next: Next) -> Response {
    let route = request.extensions().get::<MatchedPath>().map_or("", MatchedPath::as_str).to_owned();
    let method = request.method().to_string();
    let began = Instant::now();
    let response = next.run(request).await;
    let by_route = RouteLabels { method, route };
    metrics.seconds.get_or_create(&by_route).observe(began.elapsed().as_secs_f64());
    let RouteLabels { method, route } = by_route;
    let status = response.status().as_u16();
    metrics.requests.get_or_create(&Labels { method, route, status }).inc();
    response
}
