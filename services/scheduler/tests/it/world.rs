//! Builders: a database with users and graphs, and scheduler services on it.

use std::time::Duration;

use blocks::Registry;
use indexmap::IndexMap;
use model::progress::{GraphSource, SubmitRequest};
use model::schedule::GraphExecutionJobInfo;
use model::{Graph, GraphId, Map, Timestamp, UserId};
use rpc::RpcError;
use rpc::services::{Scheduler, SchedulerClient};
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use sqlx::{Connection, PgConnection};
use store::{NewSchedule, Schedule, Store};
use submit::Submitter;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;
use uuid::Uuid;

const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";
const TEMPLATE: &str = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30";

pub struct World {
    pub store: Store,
    pub submitter: Submitter,
    pub url: String,
    pub settings: Settings,
}

/// A running service; it ends with the value.
pub struct Service {
    pub base: String,
    pub client: SchedulerClient,
    pub shutdown: Shutdown,
    pub task: JoinHandle<Result<(), scheduler::Error>>,
}

/// See [`World::serve_apart`].
pub struct Apart(Option<tokio::runtime::Runtime>);

impl Drop for Apart {
    fn drop(&mut self) {
        if let Some(runtime) = self.0.take() {
            runtime.shutdown_background();
        }
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A user's graph with one input `x` and one output `y`.
#[derive(Debug, Clone, Copy)]
pub struct TestGraph {
    pub user_id: UserId,
    pub id: GraphId,
}

impl World {
    pub async fn new() -> Self {
        let url = devservices::testing::database().await;
        let store = Store::connect(&url, 4).unwrap();
        store.migrate().await.unwrap();
        let amqp = devservices::testing::vhost().await;
        let redis = devservices::testing::redis_url();
        Self {
            submitter: Submitter::new(store.clone(), Registry::standard()),
            store,
            settings: settings(&url, &amqp, &redis),
            url,
        }
    }

    pub async fn serve(&self) -> Service {
        serve(self.settings.clone()).await
    }

    /// A service on threads of its own, which end wherever they are when the value is dropped.
    pub fn serve_apart(&self) -> Apart {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .unwrap();
        let settings = self.settings.clone();
        runtime.spawn(async move {
            let service = serve(settings).await;
            std::future::pending::<()>().await;
            drop(service);
        });
        Apart(Some(runtime))
    }

    pub async fn user(&self) -> UserId {
        let id = Uuid::new_v4();
        self.store.get_or_create_user(id, &format!("{id}@example.com"), None).await.unwrap();
        id
    }

    pub async fn graph(&self, user_id: UserId) -> TestGraph {
        let graph = self.submitter.create_graph(user_id, graph("stored")).await.unwrap();
        TestGraph { user_id, id: graph.id }
    }

    pub async fn user_with_graph(&self) -> TestGraph {
        let user_id = self.user().await;
        self.graph(user_id).await
    }

    /// A graph that can be saved, but not run: a required pin is empty.
    pub async fn unfinished_graph(&self) -> TestGraph {
        let user_id = self.user().await;
        let mut unfinished = graph("unfinished");
        unfinished
            .nodes
            .push(serde_json::from_value(json!({"id": "t", "block_id": TEMPLATE})).unwrap());
        let graph = self.submitter.create_graph(user_id, unfinished).await.unwrap();
        TestGraph { user_id, id: graph.id }
    }

    /// A schedule as the service would have stored it, due at `slot`.
    pub async fn scheduled(&self, graph: TestGraph, slot: &str) -> Schedule {
        let schedule = NewSchedule {
            id: Uuid::new_v4(),
            user_id: graph.user_id,
            graph_id: graph.id,
            graph_version: 1,
            name: "hourly".to_owned(),
            cron: "0 * * * *".to_owned(),
            timezone: "UTC".to_owned(),
            inputs: map(json!({"x": "from the schedule"})),
            credentials: IndexMap::new(),
            next_run_at: Some(slot.parse().unwrap()),
        };
        self.store.insert_schedule(schedule).await.unwrap()
    }

    pub async fn schedule(&self, id: Uuid) -> Option<Schedule> {
        self.store.get_schedule(id).await.unwrap()
    }

    /// Waits until the query yields the number.
    pub async fn until(&self, query: &'static str, number: i64) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let found = self.number(query).await;
            if found == number {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "{query}: {found}, never {number}");
            tokio::time::sleep(Duration::from_millis(30)).await;
        }
    }

    pub async fn number(&self, query: &'static str) -> i64 {
        sqlx::query_scalar(query).fetch_one(&mut self.connection().await).await.unwrap()
    }

    pub async fn text(&self, query: &'static str) -> String {
        sqlx::query_scalar(query).fetch_one(&mut self.connection().await).await.unwrap()
    }

    pub async fn sql(&self, statement: &'static str) {
        sqlx::raw_sql(statement).execute(&mut self.connection().await).await.unwrap();
    }

    async fn connection(&self) -> PgConnection {
        PgConnection::connect(&self.url).await.unwrap()
    }
}

impl Service {
    pub async fn add(&self, graph: TestGraph, cron: &str, zone: Option<&str>) -> Result<GraphExecutionJobInfo, RpcError> {
        self.client
            .add_graph_execution_schedule(
                graph.user_id,
                graph.id,
                1,
                cron.to_owned(),
                map(json!({"x": "given"})),
                IndexMap::new(),
                Some("mine".to_owned()),
                zone.map(str::to_owned),
            )
            .await
    }

    /// Status and body of a GET.
    pub async fn get(&self, path: &str) -> (u16, String) {
        let client = reqwest::Client::builder().no_proxy().build().unwrap();
        let response = client.get(format!("{}{path}", self.base)).send().await.unwrap();
        (response.status().as_u16(), response.text().await.unwrap())
    }

    pub async fn until_ready(&self) {
        let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
        loop {
            let (status, body) = self.get("/readyz").await;
            if status == 200 {
                return;
            }
            assert!(tokio::time::Instant::now() < deadline, "never ready: {body}");
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
    }
}

pub async fn serve(settings: Settings) -> Service {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let base = format!("http://{}", listener.local_addr().unwrap());
    let shutdown = Shutdown::new();
    Service {
        client: SchedulerClient::at(base.clone(), &settings).without_retries(),
        base,
        task: tokio::spawn(scheduler::run(settings, Registry::standard(), listener, shutdown.clone())),
        shutdown,
    }
}

pub fn settings(database: &str, amqp: &str, redis: &str) -> Settings {
    runtime::install_tls_provider();
    Settings::from_pairs([
        ("DATABASE_URL", database),
        ("DB_CONNECTION_LIMIT", "4"),
        ("RABBITMQ_URL", amqp),
        ("REDIS_URL", redis),
        ("SCHEDULER_STORE", "postgres"),
        ("ENABLE_METRICS", "true"),
        ("EXECUTION_EVENT_BUS_NAME", &format!("events_{}", Uuid::new_v4().simple())),
    ])
    .unwrap()
}

pub fn graph(name: &str) -> Graph {
    serde_json::from_value(json!({
        "name": name,
        "description": "passes x on as y",
        "nodes": [
            {"id": "in", "block_id": INPUT, "input_default": {"name": "x"}},
            {"id": "out", "block_id": OUTPUT, "input_default": {"name": "y"}},
        ],
        "links": [{"source_id": "in", "sink_id": "out", "source_name": "result", "sink_name": "value"}],
    }))
    .unwrap()
}

pub fn request(key: &str, graph: GraphSource) -> SubmitRequest {
    SubmitRequest {
        idempotency_key: key.to_owned(),
        platform_uid: "11111111-2222-4333-8444-555555555555".to_owned(),
        owner: None,
        graph,
        inputs: map(json!({"x": "given"})),
        inputs_from_schedule: None,
        credentials: IndexMap::new(),
        deadline: None,
    }
}

pub fn stored(graph: TestGraph, key: &str) -> SubmitRequest {
    let source = GraphSource::Stored { id: graph.id, version: None };
    SubmitRequest {
        owner: Some(graph.user_id),
        ..request(key, source)
    }
}

pub fn inline(name: &str, key: &str) -> SubmitRequest {
    request(
        key,
        GraphSource::Inline {
            graph: Box::new(graph(name)),
        },
    )
}

pub fn map(value: Value) -> Map {
    value.as_object().cloned().unwrap()
}

pub fn now() -> Timestamp {
    Timestamp::now()
}
