//! The operator: three controllers that make the world agree with what custom resources say.

pub mod config;
pub mod execution;
pub mod platform;
pub mod release;
pub mod runtime;
pub mod schedule;

use std::sync::Arc;
use std::time::Duration;

use ::runtime::retry::Backoff;
use ::runtime::{Health, Settings, Shutdown, serve};
use crds::GraphExecution;
use futures::future::join_all;
use futures::{Stream, StreamExt, stream};
use kube::Client;
use kube::api::Api;
use kube::runtime::watcher::{self, Event};
use tokio::net::TcpListener;
use tokio::sync::mpsc;

use crate::config::{Config, ConfigError};
use crate::execution::scheduler::Ways;
use crate::runtime::cache::keep;
use crate::runtime::connection::{connect, watching};
use crate::runtime::crds::CrdError;
use crate::runtime::events::Events;
use crate::runtime::kept::Kept;
use crate::runtime::leadership::Leadership;
use crate::runtime::lease::Contender;
use crate::runtime::metrics::OperatorMetrics;
use crate::runtime::task::beside;
use crate::schedule::children::{Children, News};

/// Why the operator ended.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error("no way to the API server: {0}; run in a cluster with a ServiceAccount, or set KUBECONFIG")]
    NoCluster(#[source] Box<kube::Error>),
    #[error(transparent)]
    Crds(#[from] CrdError),
    #[error("the executions cannot be let go of: {0}; remove the finalizer autogpt.dev/run from them by hand")]
    Release(#[source] Box<kube::Error>),
    #[error(transparent)]
    Io(#[from] std::io::Error),
}

/// Runs until the shutdown, as the environment says.
pub async fn run(_settings: Settings, shutdown: Shutdown) -> Result<(), Error> {
    let config = Config::from_env()?;
    let refused = |error: kube::Error| Error::NoCluster(Box::new(error));
    let found = kube::Config::infer().await.map_err(|error| refused(kube::Error::InferConfig(error)))?;
    // The Lease has a connection of its own: a busy one must not cost the leadership.
    let clients = Clients {
        main: connect(found.clone()).map_err(refused)?,
        lease: connect(found).map_err(refused)?,
    };
    let listener = serve::bind("0.0.0.0", config.port).await?;
    Box::pin(operate(config, clients, listener, shutdown)).await
}

/// Takes the operator's finalizers away, and ends.
pub async fn run_release(_settings: Settings, _shutdown: Shutdown) -> Result<(), Error> {
    let config = Config::from_env()?;
    let client = Client::try_default().await.map_err(|error| Error::NoCluster(Box::new(error)))?;
    let released = release::release(&client, &config.watch_namespaces)
        .await
        .map_err(|error| Error::Release(Box::new(error)))?;
    tracing::info!(executions = released, "let go of everything");
    Ok(())
}

/// The connections to the API server.
pub struct Clients {
    pub main: Client,
    pub lease: Client,
}

/// Runs until the shutdown, as it is told.
pub async fn operate(config: Config, clients: Clients, listener: TcpListener, shutdown: Shutdown) -> Result<(), Error> {
    let health = Health::new(&shutdown);
    let metrics = OperatorMetrics::new();
    let router = health.router().merge(metrics.registry.router());
    let server = tokio::spawn(serve::http(listener, router, shutdown.clone()));
    if config.apply_crds && !definitions_are_up_to_date(&clients.main, &shutdown).await? {
        return Ok(());
    }
    let kubernetes = health.check("kubernetes");
    let contender = Contender::new(clients.lease, &config.namespace, &config.identity, kubernetes, metrics.fail_over.clone());
    let work = |leadership: Leadership, stop| {
        let client = runtime::lanes::client(clients.main.clone(), metrics.clone(), leadership.clone());
        lead(client, config.clone(), metrics.clone(), leadership, stop)
    };
    contender.run(shutdown.clone(), work).await;
    let _ = server.await;
    Ok(())
}

/// Tries for a while: at the start of a cluster neither the API server nor our rights need to be there yet. False when
/// the shutdown came first.
async fn definitions_are_up_to_date(client: &Client, shutdown: &Shutdown) -> Result<bool, CrdError> {
    const ATTEMPTS: u32 = 8;
    let mut backoff = Backoff::new(Duration::from_millis(500), Duration::from_secs(5));
    loop {
        match runtime::crds::update(client).await {
            Ok(()) => return Ok(true),
            Err(error) if backoff.attempts() + 1 >= ATTEMPTS => return Err(error),
            Err(error) if backoff.attempts() == 0 => tracing::warn!(%error, "trying again"),
            Err(_) => {}
        }
        tokio::select! {
            () = tokio::time::sleep(backoff.next_delay()) => {}
            () = shutdown.cancelled() => return Ok(false),
        }
    }
}

/// What the controllers of one namespace share.
#[derive(Clone)]
pub struct Shared {
    pub client: Client,
    pub namespace: String,
    pub config: Arc<Config>,
    pub ways: Ways,
    pub events: Events,
    pub metrics: OperatorMetrics,
    pub leadership: Leadership,
    pub stop: Shutdown,
}

/// What the leader does, in every namespace that is watched; and a standby, except that it only looks.
async fn lead(client: Client, config: Config, metrics: OperatorMetrics, leadership: Leadership, stop: Shutdown) {
    let events = Events::new(client.clone(), &config.identity);
    let config = Arc::new(config);
    let ways = Ways::new(client.clone(), config.clone());
    let namespaces = config.watch_namespaces.iter().map(|namespace| {
        let shared = Shared {
            client: client.clone(),
            namespace: namespace.clone(),
            config: config.clone(),
            ways: ways.clone(),
            events: events.clone(),
            metrics: metrics.clone(),
            leadership: leadership.clone(),
            stop: stop.clone(),
        };
        async move {
            let (decided, decisions) = schedule::decided::Decided::new();
            let executions: Api<GraphExecution> = Api::namespaced(shared.client.clone(), &shared.namespace);
            let (executions, events_of_executions) = keep(executions, watching());
            let children = Children::new(executions.clone());
            let (changes, news) = mpsc::channel(QUEUE);
            let news = stream::unfold(news, async |mut news: mpsc::Receiver<News>| news.recv().await.map(|one| (one, news)));
            let events_of_executions = tell_schedules(events_of_executions, children.clone(), changes);
            // Each in a task of its own: a long list of one kind keeps neither the others nor the Lease waiting.
            futures::join!(
                beside(platform::controller::run(
                    shared.client.clone(),
                    shared.namespace.clone(),
                    shared.config.images.clone(),
                    shared.events.clone(),
                    shared.metrics.clone(),
                    shared.leadership.clone(),
                    shared.stop.clone()
                )),
                beside(schedule::controller::run(shared.clone(), (children, news), decided.clone())),
                beside(execution::controller::run(
                    shared,
                    (executions.store(), events_of_executions),
                    (decided, decisions)
                )),
            );
        }
    });
    let mut begins = Box::pin(leadership.begins());
    let flag = async {
        if begins.next().await.is_some() {
            metrics.leader.set(1);
        }
    };
    // Also when all of this is dropped.
    let _down = Down(&metrics);
    futures::join!(join_all(namespaces), flag);
}

/// News that schedules have not heard yet.
const QUEUE: usize = 1024;

/// Keeps the index of the executions that schedules have, and tells schedules the news of theirs.
fn tell_schedules(
    events: impl Stream<Item = Told> + Send + 'static,
    children: Children,
    news: mpsc::Sender<News>,
) -> impl Stream<Item = Told> + Send + 'static {
    events.then(move |event| {
        let concerned = event.as_ref().ok().and_then(|event| children.note(event));
        let news = news.clone();
        async move {
            if let Some(concerned) = concerned {
                // The reader is gone only when everything ends.
                let _ = news.send(concerned).await;
            }
            event
        }
    })
}

/// What a watch of executions says.
type Told = watcher::Result<Event<Kept<GraphExecution>>>;

/// Says that this process does not lead, whatever ended its work.
struct Down<'a>(&'a OperatorMetrics);

impl Drop for Down<'_> {
    fn drop(&mut self) {
        self.0.leader.set(0);
    }
}
