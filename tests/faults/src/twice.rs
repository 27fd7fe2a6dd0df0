//! Everything twice and out of order: a proxy that repeats calls to the database manager, and a reader that repeats run messages.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Response};
use futures::StreamExt;
use lapin::options::{BasicConsumeOptions, BasicPublishOptions, QueueBindOptions, QueueDeclareOptions};
use lapin::types::FieldTable;
use lapin::{BasicProperties, Connection, ConnectionProperties};
use rand::rngs::StdRng;
use rand::seq::SliceRandom;
use rand::{Rng, SeedableRng};
use tokio::net::TcpListener;
use tokio_util::task::AbortOnDropHandle;

use crate::Result;

/// Calls of an executor that change something.
const REPEATED: &[&str] = &["/claim", "/append_journal", "/renew_lease", "/release_runs", "/release_lease"];
/// The second of two calls comes so much later at most, so that later calls overtake it.
const LATEST_MS: u64 = 60;
/// The names of the contract.
const RUN_EXCHANGE: &str = "graph_execution";
const RUN_KEY: &str = "graph_execution.run";
const RUN_QUEUE: &str = "graph_execution_queue";
const CANCEL_EXCHANGE: &str = "graph_execution_cancel";
/// Marks what comes from here: copies sent to an exchange are heard again.
const COPY: &str = "faults-copy";
/// Messages that are held back and shuffled.
const SHUFFLED: usize = 8;
const SHUFFLE_AFTER: Duration = Duration::from_millis(200);

/// Stands before the database manager.
pub struct CallsTwice {
    pub port: u16,
    repeated: Arc<AtomicU64>,
    _server: AbortOnDropHandle<()>,
}

#[derive(Clone)]
struct Relay {
    target: String,
    http: reqwest::Client,
    repeated: Arc<AtomicU64>,
}

impl CallsTwice {
    /// Passes calls on to the database manager on `port`. Of each changing call a second copy is sent a little later, and by turns one
    /// of the two answers is thrown away.
    pub async fn start(port: u16) -> Result<Self> {
        runtime::install_tls_provider();
        let listener = TcpListener::bind("127.0.0.1:0").await?;
        let own = listener.local_addr()?.port();
        let repeated = Arc::new(AtomicU64::new(0));
        let relay = Relay {
            target: format!("http://127.0.0.1:{port}"),
            http: reqwest::Client::builder().no_proxy().build()?,
            repeated: repeated.clone(),
        };
        let router = Router::new().fallback(pass_on).with_state(relay);
        // Journal batches of large values pass through.
        let router = router.layer(axum::extract::DefaultBodyLimit::disable());
        let server = tokio::spawn(async move {
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self {
            port: own,
            repeated,
            _server: AbortOnDropHandle::new(server),
        })
    }

    pub fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }
}

async fn pass_on(State(relay): State<Relay>, method: Method, uri: Uri, headers: HeaderMap, body: Bytes) -> Response {
    let request = Arc::new((method, uri.path().to_owned(), headers, body));
    if !REPEATED.contains(&request.1.as_str()) {
        return relay.call(&request).await;
    }
    let turn = relay.repeated.fetch_add(1, Ordering::Relaxed);
    let later = Duration::from_millis(rand::rng().random_range(0..LATEST_MS));
    let (second, again) = (relay.clone(), request.clone());
    let second = tokio::spawn(async move {
        tokio::time::sleep(later).await;
        second.call(&again).await
    });
    let first = relay.call(&request).await;
    match turn % 2 {
        0 => first,
        _ => second.await.unwrap_or_else(|_| StatusCode::BAD_GATEWAY.into_response()),
    }
}

impl Relay {
    async fn call(&self, request: &(Method, String, HeaderMap, Bytes)) -> Response {
        let (method, path, headers, body) = request;
        let mut headers = headers.clone();
        headers.remove("host");
        let sent = self
            .http
            .request(method.clone(), format!("{}{path}", self.target))
            .headers(headers)
            .body(body.clone())
            .send()
            .await;
        let answered = match sent {
            Ok(response) => {
                let status = response.status();
                response.bytes().await.map(|body| (status, body))
            }
            Err(error) => Err(error),
        };
        match answered {
            Ok((status, body)) => (status, [("content-type", "application/json")], body).into_response(),
            Err(error) => (StatusCode::BAD_GATEWAY, error.to_string()).into_response(),
        }
    }
}

/// Messages of an exchange that are heard and sent again, each two times more, shuffled.
struct Shuffler {
    repeated: Arc<AtomicU64>,
    _task: AbortOnDropHandle<()>,
}

/// Where messages are heard, and where their copies go.
struct Route {
    exchange: &'static str,
    key: &'static str,
    to_exchange: &'static str,
    to_key: &'static str,
}

impl Shuffler {
    /// The exchange must be there.
    async fn start(amqp_url: &str, route: Route) -> Result<Self> {
        let connection = Connection::connect(amqp_url, ConnectionProperties::default()).await?;
        let channel = connection.create_channel().await?;
        let options = QueueDeclareOptions {
            exclusive: true,
            auto_delete: true,
            ..QueueDeclareOptions::default()
        };
        let queue = channel.queue_declare("".into(), options, FieldTable::default()).await?;
        let name = queue.name().clone();
        channel
            .queue_bind(
                name.clone(),
                route.exchange.into(),
                route.key.into(),
                QueueBindOptions::default(),
                FieldTable::default(),
            )
            .await?;
        let options = BasicConsumeOptions {
            no_ack: true,
            ..BasicConsumeOptions::default()
        };
        let mut messages = channel.basic_consume(name, "".into(), options, FieldTable::default()).await?;
        let repeated = Arc::new(AtomicU64::new(0));
        let counter = repeated.clone();
        let task = tokio::spawn(async move {
            let _connection = connection;
            let mut random = StdRng::seed_from_u64(4);
            let mut held: Vec<Vec<u8>> = Vec::new();
            loop {
                let mut quiet = false;
                match tokio::time::timeout(SHUFFLE_AFTER, messages.next()).await {
                    Ok(Some(Ok(delivery))) if is_copy(&delivery.properties) => {}
                    Ok(Some(Ok(delivery))) => held.extend([delivery.data.clone(), delivery.data]),
                    Ok(_) => return,
                    Err(_) => quiet = true,
                }
                if held.len() >= SHUFFLED || quiet {
                    held.shuffle(&mut random);
                    for message in held.drain(..) {
                        let (options, properties) = (BasicPublishOptions::default(), BasicProperties::default().with_app_id(COPY.into()));
                        let sent = channel
                            .basic_publish(route.to_exchange.into(), route.to_key.into(), options, &message, properties)
                            .await;
                        if sent.is_err() {
                            return;
                        }
                        counter.fetch_add(1, Ordering::Relaxed);
                    }
                }
            }
        });
        Ok(Self {
            repeated,
            _task: AbortOnDropHandle::new(task),
        })
    }

    fn repeated(&self) -> u64 {
        self.repeated.load(Ordering::Relaxed)
    }
}

fn is_copy(properties: &BasicProperties) -> bool {
    properties.app_id().as_ref().is_some_and(|id| id.as_str() == COPY)
}

/// Repeats every run message.
pub struct MessagesTwice(Shuffler);

impl MessagesTwice {
    pub async fn start(amqp_url: &str) -> Result<Self> {
        let route = Route {
            exchange: RUN_EXCHANGE,
            key: RUN_KEY,
            // To the queue itself.
            to_exchange: "",
            to_key: RUN_QUEUE,
        };
        Ok(Self(Shuffler::start(amqp_url, route).await?))
    }

    pub fn repeated(&self) -> u64 {
        self.0.repeated()
    }
}

/// Repeats every cancel message, to all executors.
pub struct CancelsTwice(Shuffler);

impl CancelsTwice {
    /// The executors must be there: they declare the exchange.
    pub async fn start(amqp_url: &str) -> Result<Self> {
        let route = Route {
            exchange: CANCEL_EXCHANGE,
            key: "",
            to_exchange: CANCEL_EXCHANGE,
            to_key: "",
        };
        Ok(Self(Shuffler::start(amqp_url, route).await?))
    }

    pub fn repeated(&self) -> u64 {
        self.0.repeated()
    }
}
