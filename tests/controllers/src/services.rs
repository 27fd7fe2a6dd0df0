//! The services behind a platform: the real ones, in this process, on a database, a virtual host and ports of their own.

use std::net::SocketAddr;
use std::sync::Arc;

use blocks::{PriceList, Registry};
use devservices::process::free_ports;
use model::execution::GraphExecutionWithNodes;
use rpc::services::SchedulerClient;
use runtime::{Settings, Shutdown};
use serde_json::json;
use store::{IoBlocks, Store};
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::reveal::reveal;
use crate::{Operator, World};

/// The token of the services' platform.
const TOKEN: &str = "the-token-of-a-test";

/// The scheduler service, the database manager and, when wanted, an executor.
pub struct Services {
    settings: Settings,
    scheduler: SocketAddr,
    shutdown: Shutdown,
}

impl Services {
    /// Prepares a database and addresses; nothing answers yet.
    pub async fn prepare() -> Self {
        runtime::install_tls_provider();
        let database = devservices::testing::database().await;
        let store = Store::connect(&database, 2).unwrap();
        store.migrate().await.unwrap();
        store.close().await;
        let [scheduler, manager] = free_ports().unwrap();
        let settings = Settings::from_pairs([
            ("DATABASE_URL", database),
            ("REDIS_URL", devservices::testing::redis_url()),
            ("RABBITMQ_URL", devservices::testing::vhost().await),
            ("EXECUTION_EVENT_BUS_NAME", format!("test_{}", Uuid::new_v4().simple())),
            ("INTERNAL_RPC_TOKEN", TOKEN.to_owned()),
            ("ENABLE_METRICS", "true".to_owned()),
            ("ENCRYPTION_KEY", "AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8=".to_owned()),
            ("PYRO_HOST", "127.0.0.1".to_owned()),
            ("EXECUTION_SCHEDULER_PORT", scheduler.to_string()),
            ("DATABASE_API_PORT", manager.to_string()),
        ]);
        Self {
            settings: settings.unwrap(),
            scheduler: SocketAddr::from(([127, 0, 0, 1], scheduler)),
            shutdown: Shutdown::new(),
        }
    }

    /// Starts the scheduler service and the database manager.
    pub async fn start(&self) {
        let listener = TcpListener::bind(self.scheduler).await.unwrap();
        tokio::spawn(scheduler::run(self.settings.clone(), catalog(), listener, self.shutdown.child()));
        let listener = TcpListener::bind(("127.0.0.1", self.settings.ports.database_api)).await.unwrap();
        tokio::spawn(db::run(self.settings.clone(), catalog(), listener, self.shutdown.child()));
    }

    /// Starts an executor: accepted runs begin.
    pub async fn start_executor(&self) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        tokio::spawn(executor::run(self.settings.clone(), catalog(), listener, self.shutdown.child()));
    }

    /// Where the scheduler service is or will be.
    pub fn url(&self) -> String {
        format!("http://{}", self.scheduler)
    }

    /// A client of the scheduler service.
    pub fn client(&self) -> SchedulerClient {
        SchedulerClient::at(self.url(), &self.settings)
    }

    /// A counter of the scheduler service.
    pub async fn count(&self, name: &str) -> u64 {
        let answer = reqwest::get(format!("{}/metrics", self.url())).await.unwrap();
        let text = answer.text().await.unwrap();
        let line = text.lines().find_map(|line| line.strip_prefix(&format!("{name} ")));
        line.unwrap_or_else(|| panic!("there is no {name} in {text}")).parse().unwrap()
    }

    /// A run as the database has it.
    pub async fn execution(&self, id: &str) -> GraphExecutionWithNodes {
        let store = Store::connect(&self.settings.database.url, 1).unwrap();
        let found = store.get_execution_with_nodes(None, id.parse().unwrap(), &IoBlocks::default()).await;
        store.close().await;
        found.unwrap().unwrap()
    }

    /// A namespace with a platform `p` in front of them, and an operator that knows where they are.
    pub async fn in_cluster(&self) -> (World, Operator) {
        let world = World::new().await;
        let url = self.url();
        let operator = world.operator_with("a", |config| config.scheduler_url = url).await;
        self.platform(&world).await;
        (world, operator)
    }

    /// A platform `p` in front of them that is ready as far as the operator can see.
    pub async fn platform(&self, world: &World) {
        world.secret("p-rpc-token", &[("token", TOKEN)]).await;
        let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {}});
        world.apply(&platform).await.unwrap();
        world.bring_up("p").await;
    }
}

impl Drop for Services {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

/// The real blocks, and the one that shows what a block is given.
fn catalog() -> Arc<Registry> {
    Registry::with(vec![reveal()], PriceList::default())
}
