//! Between one operator and the API server: crashes at a chosen write, stale caches, lost watches, refusals. Or between it and the scheduler
//! service.
//!
//! The operator talks plain HTTP to it; every request goes on to the server with its token. The Lease is never touched: who leads is
//! disturbed by signals.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use tokio::net::TcpListener;
use tokio::sync::{oneshot, watch};
use tokio_util::task::AbortOnDropHandle;

use crate::Cluster;

/// A running proxy; it ends when it is dropped.
pub struct Proxy {
    /// Where it listens.
    pub url: String,
    relay: Relay,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Relay {
    server: String,
    http: reqwest::Client,
    plan: Arc<Mutex<Plan>>,
    /// A watch that has begun ends when this changes.
    cut: watch::Sender<u64>,
}

/// What is to go wrong.
#[derive(Default)]
struct Plan {
    silence: Option<Silence>,
    /// New watches of paths with this in them wait, and have lost their place when it goes.
    held: Option<String>,
    refuse_until: Option<Instant>,
    /// What watches show comes so much later.
    lag: Option<(Duration, Instant)>,
    writes: u64,
}

/// Whether a write is one by its method and path, as `POST /apis…`, and its body.
type Fits = dyn Fn(&str, &str) -> bool + Send;

/// A write whose answer is kept back.
struct Silence {
    fits: Box<Fits>,
    /// Writes until it comes.
    left: usize,
    /// Who wants to know that it was carried out.
    tell: oneshot::Sender<String>,
}

impl Proxy {
    /// Starts one before the API server.
    pub async fn start(cluster: &Cluster) -> Self {
        let authorities = reqwest::Certificate::from_pem_bundle(cluster.authorities().as_bytes()).unwrap();
        let http = reqwest::Client::builder().no_proxy().tls_certs_only(authorities).build().unwrap();
        Self::before(cluster.url.clone(), http).await
    }

    /// Starts one before a service that speaks plain HTTP.
    pub async fn before_service(url: String) -> Self {
        Self::before(url, reqwest::Client::builder().no_proxy().build().unwrap()).await
    }

    async fn before(server: String, http: reqwest::Client) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let relay = Relay {
            server,
            http,
            plan: Arc::default(),
            cut: watch::channel(0).0,
        };
        let router = Router::new().fallback(pass_on).with_state(relay.clone());
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self {
            url,
            relay,
            _server: AbortOnDropHandle::new(server),
        }
    }

    /// The `number`-th write from now on is carried out, and nobody is told but the receiver, which gets its method and path. Events and
    /// the Lease do not count.
    pub fn silence(&self, number: usize) -> oneshot::Receiver<String> {
        self.silence_where(|_| true, number)
    }

    /// The same of the writes whose method and path, as `POST /apis`, have this in them.
    pub fn silence_of(&self, part: &str, number: usize) -> oneshot::Receiver<String> {
        let part = part.to_owned();
        self.silence_where(move |write| write.contains(&part), number)
    }

    /// The same of the writes whose method and path fit.
    pub fn silence_where(&self, fits: impl Fn(&str) -> bool + Send + 'static, number: usize) -> oneshot::Receiver<String> {
        self.silence_about(move |write, _| fits(write), number)
    }

    /// The same of the writes whose method and path, and whose body, fit.
    pub fn silence_about(&self, fits: impl Fn(&str, &str) -> bool + Send + 'static, number: usize) -> oneshot::Receiver<String> {
        let (tell, told) = oneshot::channel();
        let (fits, left) = (Box::new(fits), number.max(1));
        self.plan(|plan| plan.silence = Some(Silence { fits, left, tell }));
        told
    }

    /// Everything goes on as usual, and what was to come does not.
    pub fn calm(&self) {
        self.plan(|plan| {
            plan.silence = None;
            plan.held = None;
            plan.refuse_until = None;
            plan.lag = None;
        });
    }

    /// For so long every request is answered with 429, as an overloaded server does.
    pub fn refuse(&self, time: Duration) {
        self.plan(|plan| plan.refuse_until = Some(Instant::now() + time));
    }

    /// For `time`, whatever a watch shows is shown `lag` later: caches are stale.
    pub fn lag(&self, lag: Duration, time: Duration) {
        self.plan(|plan| plan.lag = Some((lag, Instant::now() + time)));
    }

    /// Every watch ends in the middle.
    pub fn cut_watches(&self) {
        self.relay.cut.send_modify(|cuts| *cuts += 1);
    }

    /// Every watch ends in the middle. Those of paths with this in them begin anew only when it is [calm](Self::calm) again, and have lost
    /// their place then: what was to be shown meanwhile is in the next list, and nowhere else.
    pub fn blind(&self, part: &str) {
        self.plan(|plan| plan.held = Some(part.to_owned()));
        self.cut_watches();
    }

    /// How many writes have come so far, those of the Lease and of events excepted.
    pub fn writes(&self) -> u64 {
        self.plan(|plan| plan.writes)
    }

    fn plan<T>(&self, use_plan: impl FnOnce(&mut Plan) -> T) -> T {
        self.relay.plan(use_plan)
    }
}

impl Relay {
    fn plan<T>(&self, use_plan: impl FnOnce(&mut Plan) -> T) -> T {
        use_plan(&mut self.plan.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Who is told about this write instead of its sender, if it is the one.
    fn silenced(&self, method: &Method, path: &str, body: &[u8]) -> Option<oneshot::Sender<String>> {
        self.plan(|plan| {
            plan.writes += 1;
            let request = format!("{method} {path}");
            let silence = plan
                .silence
                .as_mut()
                .filter(|silence| (silence.fits)(&request, &String::from_utf8_lossy(body)))?;
            silence.left -= 1;
            if silence.left > 0 {
                return None;
            }
            plan.silence.take().map(|silence| silence.tell)
        })
    }

    /// Waits as long as new watches of this path are to wait; whether it had to.
    async fn wait_blindly(&self, path: &str) -> bool {
        let mut waited = false;
        while self.plan(|plan| plan.held.as_ref().is_some_and(|part| path.contains(part))) {
            waited = true;
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        waited
    }

    fn refuses(&self) -> bool {
        self.plan(|plan| plan.refuse_until.is_some_and(|until| Instant::now() < until))
    }

    fn lag_now(&self) -> Option<Duration> {
        self.plan(|plan| plan.lag.filter(|(_, until)| Instant::now() < *until).map(|(lag, _)| lag))
    }
}

async fn pass_on(State(relay): State<Relay>, method: Method, uri: Uri, mut headers: HeaderMap, body: Bytes) -> Response {
    let path = uri.path_and_query().map(ToString::to_string).unwrap_or_default();
    let about_the_lease = path.contains("/leases");
    if !about_the_lease && relay.refuses() {
        return refusal();
    }
    let writes = method != Method::GET && !about_the_lease && !path.contains("/events");
    let silenced = if writes { relay.silenced(&method, &path, &body) } else { None };
    let watches = path.contains("watch=true") || path.contains("watch=1");
    if watches && relay.wait_blindly(&path).await {
        return out_of_date();
    }
    headers.remove("host");
    let request = relay.http.request(method.clone(), format!("{}{path}", relay.server));
    let answer = match request.headers(headers).body(body).send().await {
        Ok(answer) => answer,
        Err(error) => return (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
    };
    if let Some(tell) = silenced {
        let _ = tell.send(format!("{method} {path}: {}", answer.status()));
        // Its sender is gone before it learns of this.
        std::future::pending::<()>().await;
    }
    let mut response = Response::builder().status(answer.status());
    for name in ["content-type", "content-encoding", "retry-after", "audit-id"] {
        if let Some(value) = answer.headers().get(name) {
            response = response.header(name, value);
        }
    }
    let body = if watches {
        relay.shown(answer)
    } else {
        Body::from_stream(answer.bytes_stream())
    };
    response.body(body).unwrap()
}

impl Relay {
    /// The events of a watch, late when caches are to be stale, until watches are cut.
    fn shown(&self, answer: reqwest::Response) -> Body {
        let mut cut = self.cut.subscribe();
        let relay = self.clone();
        let events = answer.bytes_stream().then(move |event| {
            let lag = relay.lag_now();
            async move {
                if let Some(lag) = lag {
                    tokio::time::sleep(lag).await;
                }
                event
            }
        });
        Body::from_stream(events.take_until(async move {
            let _ = cut.changed().await;
        }))
    }
}

fn refusal() -> Response {
    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "TooManyRequests",
        "message": "the test refuses this for a while", "code": 429, "details": {"retryAfterSeconds": 1}});
    (
        StatusCode::TOO_MANY_REQUESTS,
        [("retry-after", "1"), ("content-type", "application/json")],
        status.to_string(),
    )
        .into_response()
}

/// What a server says to a watch that begins where it remembers nothing.
fn out_of_date() -> Response {
    let status = serde_json::json!({"kind": "Status", "apiVersion": "v1", "status": "Failure", "reason": "Expired",
        "message": "too old resource version", "code": 410});
    let event = serde_json::json!({"type": "ERROR", "object": status});
    ([("content-type", "application/json")], format!("{event}\n")).into_response()
}
