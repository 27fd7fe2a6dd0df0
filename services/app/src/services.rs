//! The six services as tasks of this process, ended in the order in which they need each other.

use std::future::Future;

use blocks::Registry;
use runtime::{BoxError, Settings, Shutdown, serve};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// A bound port for each service.
pub struct Listeners {
    rest: TcpListener,
    websocket: TcpListener,
    executor: TcpListener,
    scheduler: TcpListener,
    db: TcpListener,
    notification: TcpListener,
}

impl Listeners {
    pub async fn bind(settings: &Settings) -> std::io::Result<Self> {
        let (ports, internal) = (&settings.ports, &settings.rpc.bind_host);
        Ok(Self {
            rest: serve::bind(&settings.hosts.agent_api, ports.agent_api).await?,
            websocket: serve::bind(&settings.hosts.websocket, ports.websocket).await?,
            executor: serve::bind(internal, ports.execution_manager).await?,
            scheduler: serve::bind(internal, ports.scheduler).await?,
            db: serve::bind(internal, ports.database_api).await?,
            notification: serve::bind(internal, ports.notification).await?,
        })
    }
}

/// Tells the person at the terminal where everything is.
#[allow(clippy::print_stdout)]
pub fn announce(settings: &Settings) {
    let ports = &settings.ports;
    println!("REST          http://localhost:{}", ports.agent_api);
    println!("WebSocket     ws://localhost:{}/ws", ports.websocket);
    println!("executor      http://localhost:{}  (metrics)", ports.execution_manager);
    println!("scheduler     http://localhost:{}", ports.scheduler);
    println!("database      http://localhost:{}", ports.database_api);
    println!("notification  http://localhost:{}", ports.notification);
    println!("A user's token: make token EMAIL=you@example.com");
}

type Ended = (&'static str, Result<(), BoxError>);

/// Runs all services until the shutdown, or until one of them ends, which ends the others.
pub async fn run(settings: Settings, listeners: Listeners, shutdown: Shutdown) -> Result<(), BoxError> {
    let Listeners {
        rest,
        websocket,
        executor,
        scheduler,
        db,
        notification,
    } = listeners;
    let registry = Registry::standard();
    // The database manager goes last: the others still write through it while they end.
    let (front, back) = (Shutdown::new(), Shutdown::new());
    let mut fronts: JoinSet<Ended> = JoinSet::new();
    let mut backs: JoinSet<Ended> = JoinSet::new();
    add(&mut backs, "db", db::run(settings.clone(), registry.clone(), db, back.clone()));
    add(&mut fronts, "rest", rest::run(settings.clone(), registry.clone(), rest, front.clone()));
    add(&mut fronts, "ws", ws::run(settings.clone(), websocket, front.clone()));
    add(
        &mut fronts,
        "scheduler",
        scheduler::run(settings.clone(), registry.clone(), scheduler, front.clone()),
    );
    add(
        &mut fronts,
        "executor",
        executor::run(settings.clone(), registry.clone(), executor, front.clone()),
    );
    add(&mut fronts, "notification", notification::run(settings, notification, front.clone()));

    let first = tokio::select! {
        () = shutdown.cancelled() => None,
        ended = fronts.join_next() => ended,
        ended = backs.join_next() => ended,
    };
    let mut outcome = Ok(());
    if let Some(ended) = first {
        outcome = Err(unexpected(ended));
    }
    front.trigger();
    while let Some(ended) = fronts.join_next().await {
        log_failure(ended);
    }
    back.trigger();
    while let Some(ended) = backs.join_next().await {
        log_failure(ended);
    }
    outcome
}

fn add<E: Into<BoxError>>(tasks: &mut JoinSet<Ended>, name: &'static str, service: impl Future<Output = Result<(), E>> + Send + 'static) {
    tasks.spawn(async move { (name, service.await.map_err(Into::into)) });
}

fn unexpected(ended: Result<Ended, tokio::task::JoinError>) -> BoxError {
    match ended {
        Ok((name, Ok(()))) => format!("{name} ended by itself").into(),
        Ok((name, Err(error))) => format!("{name}: {error}").into(),
        Err(panic) => format!("a service panicked: {panic}").into(),
    }
}

fn log_failure(ended: Result<Ended, tokio::task::JoinError>) {
    match ended {
        Ok((_, Ok(()))) => {}
        Ok((name, Err(error))) => tracing::error!(service = name, %error, "ended with an error"),
        Err(panic) => tracing::error!(%panic, "a service panicked"),
    }
}
