//! The service on a free port, with a database manager that knows what the test tells it, and clients.

use std::collections::HashMap;
use std::sync::atomic::{AtomicI64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Json;
use axum::Router;
use axum::extract::State;
use axum::routing::post;
use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use bus::events::EventBus;
use futures::{SinkExt, StreamExt};
use hmac::{Hmac, Mac};
use model::{ExecutionEvent, ExecutionStatus, GraphExecution, GraphExecutionMeta, GraphExecutionWithNodes, NodeExecutionResult, Timestamp};
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use sha2::Sha256;
use tokio::net::{TcpListener, TcpStream};
use tokio::task::JoinHandle;
use tokio_tungstenite::tungstenite::protocol::frame::Frame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::{Data, OpCode};
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};
use uuid::Uuid;

const SECRET: &str = "a secret of the tests, long enough for HS256";
/// Long enough for anything that happens, on a busy machine too.
const PATIENCE: Duration = Duration::from_secs(60);
/// Long enough to notice something that must not happen.
const QUIET: Duration = Duration::from_millis(300);

type Runs = Arc<Mutex<HashMap<Uuid, GraphExecutionMeta>>>;
type Nodes = Arc<Mutex<HashMap<Uuid, Vec<NodeExecutionResult>>>>;

/// Where the journals of all runs are, and how much further each time somebody asks.
#[derive(Default)]
struct Journal {
    gone: AtomicI64,
    step: AtomicI64,
    /// Held while nobody may read a state, and how many have asked for one.
    states: tokio::sync::Mutex<()>,
    asked: AtomicI64,
}

/// A running service.
pub struct TestApp {
    pub address: String,
    pub shutdown: Shutdown,
    pub service: JoinHandle<()>,
    bus: EventBus,
    redis: redis::Client,
    runs: Runs,
    nodes: Nodes,
    journal: Arc<Journal>,
}

impl TestApp {
    pub async fn start() -> Self {
        Self::with(&[]).await
    }

    pub async fn with(settings: &[(&str, &str)]) -> Self {
        Self::with_patience(settings, ws::Patience::default()).await
    }

    pub async fn with_patience(settings: &[(&str, &str)], patience: ws::Patience) -> Self {
        runtime::install_tls_provider();
        let (runs, nodes, journal) = (Runs::default(), Nodes::default(), Arc::<Journal>::default());
        let database = serve_database(runs.clone(), nodes.clone(), journal.clone()).await;
        let redis_url = devservices::testing::redis_url();
        let given = [
            ("REDIS_URL", redis_url.as_str()),
            ("JWT_VERIFY_KEY", SECRET),
            ("PYRO_HOST", "127.0.0.1"),
            ("DATABASE_API_PORT", database.as_str()),
        ];
        let settings = Settings::from_pairs(given.iter().chain(settings).copied()).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let (shutdown, bus) = (Shutdown::new(), EventBus::start(&settings));
        let service = ws::run_with(settings, listener, shutdown.clone(), patience);
        let service = tokio::spawn(async move { service.await.unwrap() });
        Self {
            address,
            shutdown,
            service,
            bus,
            redis: redis::Client::open(redis_url).unwrap(),
            runs,
            nodes,
            journal,
        }
    }

    /// Lets nobody read a state until the guard is dropped.
    pub async fn hold_states(&self) -> tokio::sync::MutexGuard<'_, ()> {
        self.journal.asked.store(0, Ordering::Relaxed);
        self.journal.states.lock().await
    }

    /// Returns when so many have asked for a state since it is held.
    pub async fn states_asked(&self, count: i64) {
        let asked = async {
            while self.journal.asked.load(Ordering::Relaxed) < count {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(PATIENCE, asked).await.expect("nobody asks for the state");
    }

    /// From now on something happens in every run between two looks at its journal.
    pub fn let_runs_go_on(&self) {
        self.journal.step.store(1, Ordering::Relaxed);
    }

    /// A run that the database manager knows.
    pub fn run_of(&self, user: Uuid) -> GraphExecutionMeta {
        let now = Timestamp::now();
        let run = GraphExecutionMeta {
            id: Uuid::now_v7(),
            user_id: user,
            graph_id: Uuid::now_v7(),
            graph_version: 1,
            inputs: Some(Default::default()),
            credential_inputs: None,
            nodes_input_masks: None,
            preset_id: None,
            status: ExecutionStatus::Running,
            started_at: now,
            ended_at: now,
            is_shared: false,
            share_token: None,
            stats: None,
        };
        self.runs.lock().unwrap().insert(run.id, run.clone());
        run
    }

    /// A run whose nodes have these outputs.
    pub fn run_with_outputs(&self, user: Uuid, outputs: impl IntoIterator<Item = String>) -> GraphExecutionMeta {
        let run = self.run_of(user);
        let node = |(number, output)| NodeExecutionResult {
            node_exec_id: Uuid::from_u128(number),
            output_data: [("result".to_owned(), vec![json!(output)])].into_iter().collect(),
            ..node_of(&run)
        };
        self.nodes.lock().unwrap().insert(run.id, (0..).zip(outputs).map(node).collect());
        run
    }

    /// A run that is over.
    pub fn ended_run_of(&self, user: Uuid) -> GraphExecutionMeta {
        let mut run = self.run_of(user);
        run.status = ExecutionStatus::Completed;
        self.runs.lock().unwrap().insert(run.id, run.clone());
        run
    }

    pub async fn connect(&self, user: Uuid) -> Client {
        self.try_connect(&format!("?token={}", token(user))).await.unwrap()
    }

    /// Connects with a query string; the status when the handshake is refused.
    pub async fn try_connect(&self, query: &str) -> Result<Client, u16> {
        match connect_async(format!("ws://{}/ws{query}", self.address)).await {
            Ok((stream, _)) => Ok(Client(stream)),
            Err(Error::Http(response)) => Err(response.status().as_u16()),
            Err(error) => panic!("{error}"),
        }
    }

    /// Publishes as the executor does.
    pub fn publish(&self, event: &ExecutionEvent) {
        self.bus.publish(event, Some(1), None);
    }

    /// With a place in the run's journal.
    pub fn publish_at(&self, event: &ExecutionEvent, seq: i64, prev: i64) {
        self.bus.publish(event, Some(seq), Some(prev));
    }

    pub async fn publish_raw(&self, channel: &str, text: &str) {
        let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
        redis::cmd("PUBLISH")
            .arg(channel)
            .arg(text)
            .query_async::<i64>(&mut connection)
            .await
            .unwrap();
    }

    /// Readers of a channel, as Redis counts them.
    pub async fn readers(&self, channel: &str) -> i64 {
        let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
        let answer: (String, i64) = redis::cmd("PUBSUB")
            .arg("NUMSUB")
            .arg(channel)
            .query_async(&mut connection)
            .await
            .unwrap();
        answer.1
    }

    /// Cuts the subscribers' connections that `user` of Redis has.
    pub async fn cut_redis(&self, user: &str) {
        let mut connection = self.redis.get_multiplexed_async_connection().await.unwrap();
        let cut: i64 = redis::cmd("CLIENT")
            .arg(&["KILL", "TYPE", "pubsub", "USER", user])
            .query_async(&mut connection)
            .await
            .unwrap();
        assert_eq!(cut, 1);
    }

    pub async fn status(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("http://{}{path}", self.address)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// Adds a user to Redis; returns the address for that user, whose connections can be told from other tests'.
pub async fn add_redis_user(user: &str) -> String {
    let url = devservices::testing::redis_url();
    let mut connection = redis::Client::open(url.as_str())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    redis::cmd("ACL")
        .arg(&["SETUSER", user, "on", ">secret", "~*", "&*", "+@all"])
        .exec_async(&mut connection)
        .await
        .unwrap();
    url.replace("redis://", &format!("redis://{user}:secret@"))
}

/// How far the journal of every run has come.
pub const POSITION: i64 = 5;

/// The methods that the service asks for; returns the port.
async fn serve_database(runs: Runs, nodes: Nodes, journal: Arc<Journal>) -> String {
    let meta = async |State(runs): State<Runs>, Json(body): Json<Value>| Json(find(&runs, &body, "execution_id"));
    let states = journal.clone();
    let snapshot = async move |State(runs): State<Runs>, Json(body): Json<Value>| {
        states.asked.fetch_add(1, Ordering::Relaxed);
        drop(states.states.lock().await);
        Json(find(&runs, &body, "graph_exec_id").map(|meta| GraphExecutionWithNodes {
            waiting: None,
            node_executions: nodes.lock().unwrap().get(&meta.id).cloned().unwrap_or_else(|| vec![node_of(&meta)]),
            execution: GraphExecution {
                meta,
                outputs: Default::default(),
            },
        }))
    };
    let list = async |State(runs): State<Runs>| Json(runs.lock().unwrap().values().cloned().collect::<Vec<_>>());
    let position = async move |State(runs): State<Runs>, Json(body): Json<Value>| {
        let gone = journal.gone.fetch_add(journal.step.load(Ordering::Relaxed), Ordering::Relaxed);
        Json(find(&runs, &body, "graph_exec_id").map(|_| POSITION + gone))
    };
    let router = Router::new()
        .route("/get_execution_position", post(position))
        .route("/get_graph_execution_meta", post(meta))
        .route("/get_execution_snapshot", post(snapshot))
        .route("/get_graph_executions", post(list))
        .with_state(runs);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = listener.local_addr().unwrap().port();
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    port.to_string()
}

fn find(runs: &Runs, body: &Value, id: &str) -> Option<GraphExecutionMeta> {
    let id: Uuid = body[id].as_str()?.parse().ok()?;
    let run = runs.lock().unwrap().get(&id)?.clone();
    (body["user_id"] == json!(run.user_id)).then_some(run)
}

pub fn node_of(run: &GraphExecutionMeta) -> NodeExecutionResult {
    NodeExecutionResult {
        user_id: run.user_id,
        graph_id: run.graph_id,
        graph_version: 1,
        graph_exec_id: run.id,
        node_exec_id: Uuid::from_u128(7),
        node_id: Uuid::from_u128(8),
        block_id: Uuid::from_u128(9),
        status: ExecutionStatus::Completed,
        input_data: Default::default(),
        output_data: [("result".to_owned(), vec![json!(1.5)])].into_iter().collect(),
        add_time: Timestamp::now(),
        queue_time: None,
        start_time: None,
        end_time: None,
    }
}

pub fn node_event(run: &GraphExecutionMeta) -> ExecutionEvent {
    ExecutionEvent::NodeExecutionUpdate(node_of(run))
}

pub fn graph_event(run: &GraphExecutionMeta) -> ExecutionEvent {
    ExecutionEvent::GraphExecutionUpdate(GraphExecution {
        meta: run.clone(),
        outputs: Default::default(),
    })
}

pub fn token(user: Uuid) -> String {
    sign(&json!({"sub": user, "email": "a@example.test", "role": "authenticated", "aud": "authenticated", "exp": 4_000_000_000_i64}))
}

pub fn sign(payload: &Value) -> String {
    let header = URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#);
    let message = format!("{header}.{}", URL_SAFE_NO_PAD.encode(payload.to_string()));
    let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
    mac.update(message.as_bytes());
    format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()))
}

pub struct Client(WebSocketStream<MaybeTlsStream<TcpStream>>);

impl Client {
    pub async fn send(&mut self, text: impl Into<String>) {
        self.0.send(Message::text(text.into())).await.unwrap();
    }

    pub async fn send_binary(&mut self, bytes: Vec<u8>) {
        self.0.send(Message::binary(bytes)).await.unwrap();
    }

    /// Sends a frame of a message, whatever rules it breaks.
    pub async fn send_frame(&mut self, kind: Data, payload: Vec<u8>, is_final: bool) {
        let frame = Frame::message(payload, OpCode::Data(kind), is_final);
        self.0.send(Message::Frame(frame)).await.unwrap();
    }

    /// The next text frame as it stands.
    pub async fn text(&mut self) -> String {
        match self.message().await {
            Message::Text(text) => text.to_string(),
            other => panic!("no text: {other:?}"),
        }
    }

    pub async fn json(&mut self) -> Value {
        serde_json::from_str(&self.text().await).unwrap()
    }

    /// Sends a request and reads the next frame.
    pub async fn ask(&mut self, request: Value) -> Value {
        self.send(request.to_string()).await;
        self.json().await
    }

    /// The close code and reason that the connection ends with.
    pub async fn closed(&mut self) -> (u16, String) {
        match self.message().await {
            Message::Close(Some(frame)) => (frame.code.into(), frame.reason.to_string()),
            other => panic!("no close: {other:?}"),
        }
    }

    /// The next text frame, or the code and reason of the close.
    pub async fn frame_or_close(&mut self) -> Result<String, (u16, String)> {
        match self.message().await {
            Message::Text(text) => Ok(text.to_string()),
            Message::Close(Some(frame)) => Err((frame.code.into(), frame.reason.to_string())),
            other => panic!("neither frame nor close: {other:?}"),
        }
    }

    /// Reads on until the close, whatever comes before; returns its code.
    pub async fn closed_after_events(&mut self) -> u16 {
        loop {
            match self.message().await {
                Message::Close(Some(frame)) => return frame.code.into(),
                Message::Text(_) => {}
                other => panic!("neither event nor close: {other:?}"),
            }
        }
    }

    pub async fn expect_quiet(&mut self) {
        if let Ok(message) = tokio::time::timeout(QUIET, self.0.next()).await {
            panic!("unexpected: {message:?}");
        }
    }

    async fn message(&mut self) -> Message {
        loop {
            let received = tokio::time::timeout(PATIENCE, self.0.next()).await;
            match received.expect("nothing came").expect("the connection is gone").unwrap() {
                Message::Ping(_) | Message::Pong(_) => {}
                message => return message,
            }
        }
    }
}
