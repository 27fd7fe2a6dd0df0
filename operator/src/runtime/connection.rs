//! The way to the API server: how long an answer is waited for, and when somebody asks again who got none.
//!
//! A server that was away must find everybody there within seconds: no wait for it grows beyond a few, and what is lost on the way is noticed.

use std::future::Future;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use ::runtime::retry::Backoff;
use http::{Request, Response};
use kube::client::Body;
use kube::client::retry::RetryPolicy;
use kube::runtime::{utils, watcher};
use kube::{Client, Config};
use tower::retry::RetryLayer;
use tower::{BoxError, Layer, Service, ServiceBuilder, timeout::TimeoutLayer};

/// A connection takes no longer to come about.
const CONNECT: Duration = Duration::from_secs(5);
/// The beginning of an answer takes no longer. Longer than any answer of a server that works, shorter than the minutes after which the kernel
/// gives up a connection whose other end has gone without a word.
const ANSWER: Duration = Duration::from_secs(20);
/// A request that is answered with 429, 503 or 504 is sent again after the time that the answer asks for, else after a wait that grows from
const FIRST_REPETITION: Duration = Duration::from_millis(20);
/// to this,
const LONGEST_REPETITION: Duration = Duration::from_secs(3);
/// so often.
const REPETITIONS: u32 = 15;
/// A watch is begun anew so often: one that has died without a word shows nothing for no longer than this and five seconds.
const WATCH_SECONDS: u32 = 60;
/// Waits between two tries of a watch.
const FIRST_TRY: Duration = Duration::from_secs(1);
const LONGEST_TRY: Duration = Duration::from_secs(3);

/// A connection whose requests are [repeated](asking) by whoever sends them.
pub fn connect(mut config: Config) -> kube::Result<Client> {
    config.connect_timeout = Some(CONNECT);
    config.default_retry = false;
    // Long lists would cost both ends more processor time than the way between them is worth.
    config.disable_compression = true;
    Client::try_from(config)
}

/// What all watches have in common.
pub fn watching() -> watcher::Config {
    watcher::Config::default().timeout(WATCH_SECONDS)
}

/// When a watch that ended with an error is tried again.
pub struct Reconnect(Backoff);

impl Default for Reconnect {
    fn default() -> Self {
        Self(Backoff::new(FIRST_TRY, LONGEST_TRY))
    }
}

impl Iterator for Reconnect {
    type Item = Duration;

    fn next(&mut self) -> Option<Duration> {
        Some(self.0.next_delay())
    }
}

impl utils::Backoff for Reconnect {
    fn reset(&mut self) {
        self.0.reset();
    }
}

/// Sends requests; those that the server has no time for are sent again, as long as it asks for.
pub type Asking = <RetryLayer<RetryPolicy> as Layer<tower::timeout::Timeout<Direct>>>::Service;

/// See [`Asking`].
pub fn asking(client: Client) -> Asking {
    let policy = RetryPolicy::new(FIRST_REPETITION, LONGEST_REPETITION, REPETITIONS, true);
    // It is refused only when the first wait is longer than the longest.
    let policy = policy.unwrap_or_else(|_| RetryPolicy::server_retry());
    ServiceBuilder::new()
        .layer(RetryLayer::new(policy))
        .layer(TimeoutLayer::new(ANSWER))
        .service(Direct(client))
}

/// A client as a service.
#[derive(Clone)]
pub struct Direct(Client);

impl Service<Request<Body>> for Direct {
    type Response = Response<Body>;
    type Error = BoxError;
    type Future = Pin<Box<dyn Future<Output = Result<Self::Response, Self::Error>> + Send>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<Body>) -> Self::Future {
        let client = self.0.clone();
        Box::pin(async move { client.send(request).await.map_err(BoxError::from) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::{Arc, Mutex};
    use std::time::Instant;

    use axum::Router;
    use axum::http::StatusCode;
    use axum::response::IntoResponse;
    use kube::runtime::utils::Backoff as _;
    use tower::ServiceExt as _;

    /// Asks a server that answers so, one after the other; the last answer, and when it was asked.
    async fn asked(answers: &[(StatusCode, Option<&'static str>)]) -> (StatusCode, Vec<Instant>) {
        ::runtime::install_tls_provider();
        let (left, times) = (Arc::new(Mutex::new(answers.to_vec())), Arc::new(Mutex::new(Vec::new())));
        let noted = times.clone();
        let answer = move || {
            noted.lock().unwrap().push(Instant::now());
            let (status, after) = left.lock().unwrap().remove(0);
            let headers = after.map(|after| [("retry-after", after)]);
            std::future::ready(match headers {
                Some(headers) => (status, headers).into_response(),
                None => status.into_response(),
            })
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let server = tokio::spawn(async move { axum::serve(listener, Router::new().fallback(answer)).await });
        let client = connect(Config::new(url.parse().unwrap())).unwrap();
        let request = Request::post("/api").body(Body::from(b"x".to_vec())).unwrap();
        let status = asking(client).oneshot(request).await.unwrap().status();
        server.abort();
        let times = times.lock().unwrap().clone();
        (status, times)
    }

    #[tokio::test]
    async fn the_time_that_the_server_asks_for_is_waited() {
        let busy = (StatusCode::TOO_MANY_REQUESTS, Some("1"));
        let (status, times) = asked(&[busy, busy, (StatusCode::CREATED, None)]).await;
        assert_eq!((status, times.len()), (StatusCode::CREATED, 3));
        assert!(times.windows(2).all(|pair| pair[1] - pair[0] >= Duration::from_secs(1)), "{times:?}");
    }

    #[tokio::test]
    async fn a_server_that_is_not_ready_is_asked_again_and_a_refusal_is_an_answer() {
        let away = (StatusCode::SERVICE_UNAVAILABLE, None);
        let (status, times) = asked(&[away, away, away, (StatusCode::OK, None)]).await;
        assert_eq!((status, times.len()), (StatusCode::OK, 4));
        let (status, times) = asked(&[(StatusCode::FORBIDDEN, None)]).await;
        assert_eq!((status, times.len()), (StatusCode::FORBIDDEN, 1));
    }

    #[test]
    fn a_watch_is_tried_again_within_seconds_however_long_the_server_was_away() {
        let mut waits = Reconnect::default();
        let longest = waits.by_ref().take(100).max().unwrap();
        assert!(longest <= LONGEST_TRY && longest > FIRST_TRY, "{longest:?}");
        waits.reset();
        assert!(waits.next().unwrap() <= FIRST_TRY);
    }
}
