//! The service on a free port with a database of its own, and users to call it.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use hmac::{Hmac, Mac};
use http::{HeaderMap, Method, StatusCode};
use indexmap::IndexMap;
use model::credentials::{CredentialCopy, PutCredential};
use model::progress::{ProgressCursor, ProgressPage, RunProgress, SubmitRequest, Submitted};
use model::schedule::{GraphExecutionJobInfo, ScheduleDecision};
use model::{CredentialsMetaInput, ExecutionStatus, GraphExecId, GraphId, Map, Timestamp, UserId};
use rpc::RpcError;
use rpc::services::Scheduler;
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use sha2::Sha256;
use store::Store;
use tokio::net::TcpListener;
use uuid::Uuid;

const SECRET: &str = "a secret of the tests, long enough for HS256";

/// What callers are told of a database that is away or out of room.
pub const NO_DATABASE: &str = "The database does not answer: try again in a moment";

/// A running service. Ends with its owner.
pub struct TestApp {
    pub base: String,
    pub store: Store,
    /// For what no operation changes.
    pub database: String,
    /// Of the broker, when there is one.
    pub vhost: Option<String>,
    pub scheduler: Arc<FakeScheduler>,
    client: reqwest::Client,
    shutdown: Shutdown,
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// How the service is set up.
#[derive(Default)]
pub struct Builder {
    settings: Vec<(String, String)>,
    without_database: bool,
    vhost: Option<String>,
}

impl Builder {
    /// A setting under its name in the environment.
    pub fn set(mut self, name: &str, value: &str) -> Self {
        self.settings.push((name.to_owned(), value.to_owned()));
        self
    }

    /// With a RabbitMQ of its own.
    pub async fn with_broker(mut self) -> Self {
        let url = devservices::testing::vhost().await;
        self.vhost = url.rsplit('/').next().map(str::to_owned);
        self.set("RABBITMQ_URL", &url)
    }

    /// Nothing listens where the service looks for PostgreSQL.
    pub fn without_database(mut self) -> Self {
        self.without_database = true;
        self
    }

    pub async fn start(self) -> TestApp {
        runtime::install_tls_provider();
        let database = if self.without_database {
            "postgresql://nobody@127.0.0.1:1/nowhere".to_owned()
        } else {
            devservices::testing::database().await
        };
        let store = Store::connect(&database, 4).unwrap();
        if !self.without_database {
            store.migrate().await.unwrap();
        }
        let given = [
            ("DATABASE_URL", database.clone()),
            ("REDIS_URL", devservices::testing::redis_url()),
            ("JWT_VERIFY_KEY", SECRET.to_owned()),
            ("ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
        ];
        let pairs = given.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(self.settings);
        let settings = Settings::from_pairs(pairs).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        let (shutdown, scheduler) = (Shutdown::new(), Arc::new(FakeScheduler::new(store.clone())));
        let service = rest::run_with(settings, blocks::Registry::standard(), listener, shutdown.clone(), scheduler.clone());
        tokio::spawn(async move { service.await.unwrap() });
        TestApp {
            base,
            store,
            database,
            vhost: self.vhost,
            scheduler,
            client: reqwest::Client::builder()
                .no_proxy()
                .redirect(reqwest::redirect::Policy::none())
                .build()
                .unwrap(),
            shutdown,
        }
    }
}

impl TestApp {
    pub async fn start() -> Self {
        Builder::default().start().await
    }

    pub fn builder() -> Builder {
        Builder::default()
    }

    pub fn request(&self, method: Method, path: &str) -> Request {
        Request {
            builder: self.client.request(method, format!("{}{path}", self.base)),
            base: self.base.clone(),
            client: self.client.clone(),
        }
    }

    pub async fn get(&self, user: &TestUser, path: &str) -> Answer {
        self.request(Method::GET, path).by(user).send().await
    }

    pub async fn post(&self, user: &TestUser, path: &str, body: Value) -> Answer {
        self.request(Method::POST, path).by(user).json(&body).send().await
    }

    /// Waits until `/readyz` has that status and says that.
    /// An answer that goes on.
    pub async fn stream(&self, user: &TestUser, path: &str) -> reqwest::Response {
        let request = self.client.get(format!("{}{path}", self.base)).bearer_auth(&user.token);
        request.send().await.unwrap()
    }

    /// Publishes a live event as an executor does.
    pub async fn publish(&self, channel: String, event: &Value) {
        let settings = Settings::from_pairs([("REDIS_URL", devservices::testing::redis_url())]).unwrap();
        let bus = bus::events::EventBus::start(&settings);
        bus.publish_bytes(channel, event.to_string().into_bytes());
        bus.flush().await;
    }

    pub async fn readiness(&self, status: u16, text: &str) {
        for _ in 0..100 {
            let answer = self.request(Method::GET, "/readyz").send().await;
            if answer.status == status && answer.text.contains(text) {
                return;
            }
            tokio::time::sleep(std::time::Duration::from_millis(100)).await;
        }
        panic!("/readyz never said {status} {text}");
    }

    /// A graph that is stored; panics when it is refused.
    pub async fn graph(&self, user: &TestUser, graph: Value) -> Value {
        let answer = self.post(user, "/api/graphs", json!({ "graph": graph })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.body
    }

    /// A run that is accepted; panics when it is refused.
    pub async fn run(&self, user: &TestUser, graph: &Value, inputs: Value) -> Value {
        let path = format!("/api/graphs/{}/execute/{}", text(graph, "id"), graph["version"]);
        let answer = self.post(user, &path, json!({ "inputs": inputs })).await;
        assert_eq!(answer.status, StatusCode::OK, "{}", answer.text);
        answer.body
    }
}

/// A request under construction.
pub struct Request {
    builder: reqwest::RequestBuilder,
    base: String,
    client: reqwest::Client,
}

impl Request {
    fn map(mut self, change: impl FnOnce(reqwest::RequestBuilder) -> reqwest::RequestBuilder) -> Self {
        self.builder = change(self.builder);
        self
    }

    pub fn by(self, user: &TestUser) -> Self {
        self.map(|builder| builder.bearer_auth(&user.token))
    }

    pub fn header(self, name: &str, value: &str) -> Self {
        self.map(|builder| builder.header(name, value))
    }

    pub fn json(self, body: &Value) -> Self {
        self.map(|builder| builder.json(body))
    }

    /// A JSON body as it stands.
    pub fn raw(self, body: impl Into<Vec<u8>>) -> Self {
        self.map(|builder| builder.header("content-type", "application/json").body(body.into()))
    }

    /// A body of another type.
    pub fn body(self, content_type: &str, body: Vec<u8>) -> Self {
        self.map(|builder| builder.header("content-type", content_type).body(body))
    }

    /// Sends it; a successful answer must have the form that the service's own document gives it.
    pub async fn send(self) -> Answer {
        let request = self.builder.build().unwrap();
        let (method, path) = (request.method().clone(), request.url().path().to_owned());
        let response = self.client.execute(request).await.unwrap();
        let (status, headers) = (response.status(), response.headers().clone());
        let bytes = response.bytes().await.unwrap().to_vec();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let parsed = serde_json::from_str(&text);
        if let Ok(body) = &parsed {
            crate::conformance::check(&self.base, &self.client, (&method, &path), status, body).await;
        }
        let body = parsed.unwrap_or(Value::Null);
        Answer {
            status,
            headers,
            body,
            text,
            bytes,
        }
    }
}

pub struct Answer {
    pub status: StatusCode,
    pub headers: HeaderMap,
    /// Null when the text is no JSON.
    pub body: Value,
    pub text: String,
    pub bytes: Vec<u8>,
}

impl Answer {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// Status and `detail`.
    pub fn refusal(&self) -> (u16, &Value) {
        (self.status.as_u16(), &self.body["detail"])
    }
}

pub fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_else(|| panic!("{name} of {value} is no text"))
}

/// Somebody with a token.
pub struct TestUser {
    pub id: Uuid,
    pub email: String,
    pub token: String,
}

impl TestUser {
    pub fn new() -> Self {
        Self::with(json!({}))
    }

    /// With claims laid over the usual ones; a null removes one.
    pub fn with(claims: Value) -> Self {
        let id = Uuid::new_v4();
        let email = format!("{id}@example.test");
        let mut payload = json!({"sub": id, "email": email, "role": "authenticated", "aud": "authenticated", "exp": 4_000_000_000_i64});
        for (name, value) in claims.as_object().unwrap() {
            if value.is_null() {
                payload.as_object_mut().unwrap().remove(name);
            } else {
                payload[name] = value.clone();
            }
        }
        let message = format!(
            "{}.{}",
            URL_SAFE_NO_PAD.encode(r#"{"alg":"HS256","typ":"JWT"}"#),
            URL_SAFE_NO_PAD.encode(payload.to_string())
        );
        let mut mac = Hmac::<Sha256>::new_from_slice(SECRET.as_bytes()).unwrap();
        mac.update(message.as_bytes());
        let token = format!("{message}.{}", URL_SAFE_NO_PAD.encode(mac.finalize().into_bytes()));
        Self { id, email, token }
    }
}

/// The scheduler service, in memory; a stop goes straight to the database.
pub struct FakeScheduler {
    store: Store,
    pub schedules: Mutex<HashMap<String, GraphExecutionJobInfo>>,
    /// What the next call answers instead.
    pub failure: Mutex<Option<RpcError>>,
}

impl FakeScheduler {
    fn new(store: Store) -> Self {
        Self {
            store,
            schedules: Mutex::default(),
            failure: Mutex::default(),
        }
    }

    pub fn fail_next(&self, error: RpcError) {
        *self.failure.lock().unwrap() = Some(error);
    }

    fn failure(&self) -> Result<(), RpcError> {
        self.failure.lock().unwrap().take().map_or(Ok(()), Err)
    }
}

#[async_trait::async_trait]
impl Scheduler for FakeScheduler {
    async fn add_graph_execution_schedule(
        &self,
        user_id: UserId,
        graph_id: GraphId,
        graph_version: i32,
        cron: String,
        input_data: Map,
        input_credentials: IndexMap<String, CredentialsMetaInput>,
        name: Option<String>,
        user_timezone: Option<String>,
    ) -> Result<GraphExecutionJobInfo, RpcError> {
        self.failure()?;
        let id = Uuid::now_v7().to_string();
        let info = GraphExecutionJobInfo {
            schedule_id: Some(id.clone()),
            user_id,
            graph_id,
            graph_version,
            agent_name: name.clone(),
            cron,
            input_data,
            input_credentials,
            id: id.clone(),
            name: name.unwrap_or_default(),
            next_run_time: "2030-01-01T09:00:00+00:00".to_owned(),
            timezone: user_timezone.unwrap_or_else(|| "UTC".to_owned()),
        };
        self.schedules.lock().unwrap().insert(id, info.clone());
        Ok(info)
    }

    async fn delete_graph_execution_schedule(&self, schedule_id: String, user_id: UserId) -> Result<GraphExecutionJobInfo, RpcError> {
        let mut schedules = self.schedules.lock().unwrap();
        match schedules.get(&schedule_id) {
            None => Err(RpcError::not_found(format!("Job {schedule_id} not found"))),
            Some(info) if info.user_id != user_id => Err(RpcError::not_authorized("not yours")),
            Some(_) => Ok(schedules.remove(&schedule_id).unwrap()),
        }
    }

    async fn get_graph_execution_schedules(
        &self,
        graph_id: Option<GraphId>,
        user_id: Option<UserId>,
    ) -> Result<Vec<GraphExecutionJobInfo>, RpcError> {
        self.failure()?;
        let schedules = self.schedules.lock().unwrap();
        let wanted = schedules
            .values()
            .filter(|info| graph_id.is_none_or(|id| id == info.graph_id) && user_id.is_none_or(|id| id == info.user_id));
        Ok(wanted.cloned().collect())
    }

    async fn submit_graph_execution(&self, _: SubmitRequest) -> Result<Submitted, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn put_credential(&self, _: Option<UserId>, _: PutCredential) -> Result<CredentialsMetaInput, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn list_credential_copies(&self, _: String, _: Option<Uuid>) -> Result<Vec<CredentialCopy>, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn forget_credentials(&self, _: Vec<CredentialCopy>) -> Result<u64, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn get_progress_cursor(&self) -> Result<ProgressCursor, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn get_progress_by_keys(&self, _: Vec<String>) -> Result<Vec<RunProgress>, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn get_progress_of(&self, _: Vec<GraphExecId>) -> Result<Vec<RunProgress>, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn record_decisions(&self, _: Vec<ScheduleDecision>) -> Result<u64, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn list_decisions(&self, _: Uuid, _: Option<Timestamp>, _: Option<Timestamp>, _: u32) -> Result<Vec<ScheduleDecision>, RpcError> {
        Err(RpcError::value("not used here"))
    }

    async fn stop_graph_execution(&self, graph_exec_id: GraphExecId) -> Result<ExecutionStatus, RpcError> {
        self.failure()?;
        let requests = self.store.request_cancel(None, graph_exec_id).await.map_err(RpcError::database)?;
        Ok(requests[0].status)
    }

    async fn get_execution_progress(&self, _: Option<ProgressCursor>, _: u64, _: u32) -> Result<ProgressPage, RpcError> {
        Err(RpcError::value("not used here"))
    }
}
