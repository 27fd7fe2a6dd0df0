//! A running database manager, its client, and a user with a graph.

use std::future::Future;
use std::time::Duration;

use blocks::Registry;
use model::{GraphModel, RunMessage, UserId};
use rpc::services::DatabaseManagerClient;
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use store::Store;
use submit::{SubmitCommand, Submitter};
use tokio::net::TcpListener;
use uuid::Uuid;

pub const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
pub const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";

/// Ends its server when it is dropped.
pub struct Server {
    pub url: String,
    pub client: DatabaseManagerClient,
    shutdown: Shutdown,
    task: Option<tokio::task::JoinHandle<Result<(), db::Error>>>,
}

impl Server {
    pub async fn start(pairs: &[(&str, &str)]) -> Self {
        let mut settings = vec![("PYRO_CLIENT_COMM_RETRY", "1")];
        settings.extend_from_slice(pairs);
        let settings = Settings::from_pairs(settings).unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shutdown = Shutdown::new();
        let task = tokio::spawn(Box::pin(db::run(settings.clone(), Registry::standard(), listener, shutdown.clone())));
        Self {
            client: DatabaseManagerClient::at(&url, &settings),
            url,
            shutdown,
            task: Some(task),
        }
    }

    /// Status and body of `/readyz`.
    pub async fn readiness(&self) -> (u16, String) {
        let answer = reqwest::get(format!("{}/readyz", self.url)).await.unwrap();
        (answer.status().as_u16(), answer.text().await.unwrap())
    }

    pub async fn stop(mut self) {
        self.shutdown.trigger();
        self.task.take().unwrap().await.unwrap().unwrap();
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// A migrated database, a user and a graph in it, and an empty virtual host.
pub struct World {
    pub database: String,
    pub amqp: String,
    pub store: Store,
    pub submitter: Submitter,
    pub user: UserId,
    pub graph: GraphModel,
}

impl World {
    pub async fn new() -> Self {
        let (database, amqp) = (devservices::testing::database().await, devservices::testing::vhost().await);
        let store = Store::connect(&database, 4).unwrap();
        store.migrate().await.unwrap();
        let user = Uuid::new_v4();
        store
            .get_or_create_user(user, &format!("{user}@example.com"), Some("Somebody"))
            .await
            .unwrap();
        let submitter = Submitter::new(store.clone(), Registry::standard());
        let graph = json!({"name": "echo", "description": "", "nodes": [
            {"id": "1", "block_id": INPUT, "input_default": {"name": "x"}},
            {"id": "2", "block_id": OUTPUT, "input_default": {"name": "y"}},
        ], "links": [{"source_id": "1", "source_name": "result", "sink_id": "2", "sink_name": "value"}]});
        let graph = submitter.create_graph(user, serde_json::from_value(graph).unwrap()).await.unwrap();
        Self {
            database,
            amqp,
            store,
            submitter,
            user,
            graph,
        }
    }

    pub async fn server(&self) -> Server {
        Server::start(&[("DATABASE_URL", &self.database), ("RABBITMQ_URL", &self.amqp)]).await
    }

    pub async fn submit(&self) -> Uuid {
        let command = SubmitCommand {
            user_id: self.user,
            graph_id: self.graph.id,
            graph_version: Some(1),
            inputs: json!({"x": "hello"}).as_object().cloned().unwrap(),
            ..SubmitCommand::default()
        };
        self.submitter.submit(command).await.unwrap().id
    }

    /// Takes the run messages out of the queue.
    pub async fn run_messages(&self) -> Vec<RunMessage> {
        let vhost = self.amqp.rsplit('/').next().unwrap();
        let path = format!("/api/queues/{vhost}/graph_execution_queue/get");
        let request = json!({"count": 1000, "ackmode": "ack_requeue_false", "encoding": "auto"});
        let answer = devservices::testing::management(reqwest::Method::POST, &path, request.to_string()).await;
        let messages: Vec<Value> = serde_json::from_str(&answer).unwrap();
        messages
            .iter()
            .map(|message| serde_json::from_str(message["payload"].as_str().unwrap()).unwrap())
            .collect()
    }
}

/// Repeats `look` until it yields something.
pub async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut look: impl FnMut() -> F) -> T {
    for _ in 0..300 {
        if let Some(found) = look().await {
            return found;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    panic!("never: {what}");
}
