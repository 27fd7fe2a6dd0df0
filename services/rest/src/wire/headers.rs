//! Headers that every answer carries (rest.md §2.10).

use axum::extract::Request;
use axum::middleware::Next;
use axum::response::Response;
use http::header::{CACHE_CONTROL, EXPIRES, PRAGMA, REFERRER_POLICY, RETRY_AFTER, X_CONTENT_TYPE_OPTIONS, X_FRAME_OPTIONS, X_XSS_PROTECTION};
use http::{HeaderName, HeaderValue, StatusCode};

const SECURITY: [(HeaderName, &str); 4] = [
    (X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (X_FRAME_OPTIONS, "DENY"),
    (X_XSS_PROTECTION, "1; mode=block"),
    (REFERRER_POLICY, "strict-origin-when-cross-origin"),
];

const UNCACHED: [(HeaderName, &str); 3] = [
    (CACHE_CONTROL, "no-store, no-cache, must-revalidate, private"),
    (PRAGMA, "no-cache"),
    (EXPIRES, "0"),
];

/// Answers below these prefixes may be kept by caches. The comparison is by text, so `/api/blocks/x/execute` is free too.
const CACHEABLE: [&str; 11] = [
    "/api/blocks",
    "/api/store/agents",
    // Ours.
    "/api/store/media",
    "/docs",
    "/openapi.json",
    "/static",
    "/assets",
    "/images",
    "/css",
    "/js",
    "/fonts",
];

/// When to come again, in seconds: what is away or full is looked for as often.
const SOON: &str = "2";

pub async fn add(request: Request, next: Next) -> Response {
    let cacheable = CACHEABLE.iter().any(|prefix| request.uri().path().starts_with(prefix));
    let mut response = next.run(request).await;
    let uncached = UNCACHED.into_iter().filter(|_| !cacheable);
    for (name, value) in SECURITY.into_iter().chain(uncached) {
        response.headers_mut().insert(name, HeaderValue::from_static(value));
    }
    if response.status() == StatusCode::SERVICE_UNAVAILABLE {
        response.headers_mut().entry(RETRY_AFTER).or_insert(HeaderValue::from_static(SOON));
    }
    response
}
