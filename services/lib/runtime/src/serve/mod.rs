//! HTTP servers that end in bounded time, and that no silent or slow client holds on to.

mod linger;
mod patience;

use std::io;
use std::time::Duration;

use axum::extract::Request;
use axum::serve::Listener;
use hyper::body::Incoming;
use hyper::header::UPGRADE;
use hyper::server::conn::http1;
use hyper::service::{Service, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::service::TowerToHyperService;
use tokio::net::{TcpListener, TcpStream};
use tokio_util::task::TaskTracker;

pub use self::linger::Linger;
pub use self::patience::{Patience, TooSlow};

use self::linger::Lingering;
use self::patience::{Arriving, Taking};
use crate::Shutdown;

/// How long requests in flight may take after the shutdown began.
const DRAIN: Duration = Duration::from_secs(5);

/// Binds `host:port`, saying which address is the problem.
pub async fn bind(host: &str, port: u16) -> io::Result<TcpListener> {
    TcpListener::bind((host, port)).await.map_err(|error| {
        let remedy = match error.kind() {
            io::ErrorKind::AddrInUse => "another process uses the port: stop it or set another port",
            io::ErrorKind::PermissionDenied => "ports below 1024 need privileges: set another port",
            _ => "check the host setting (PYRO_HOST for internal servers)",
        };
        io::Error::new(error.kind(), format!("cannot listen on {host}:{port}: {error}; {remedy}"))
    })
}

/// Serves until the shutdown, then finishes requests in flight for at most 5 s.
pub async fn http(listener: TcpListener, router: axum::Router, shutdown: Shutdown) -> io::Result<()> {
    http_with(listener, router, shutdown, Patience::default()).await
}

/// The same with another patience for clients.
pub async fn http_with(mut listener: TcpListener, router: axum::Router, shutdown: Shutdown, patience: Patience) -> io::Result<()> {
    let arriving = move |request: Request| std::future::ready(request.map(|body| Arriving::wrap(body, patience.body)));
    let router: axum::Router = router.layer(axum::middleware::map_request(arriving)).with_state(());
    let connections = TaskTracker::new();
    loop {
        tokio::select! {
            (socket, _) = Listener::accept(&mut listener) => {
                connections.spawn(serve(socket, router.clone(), shutdown.clone(), patience));
            }
            () = shutdown.cancelled() => break,
        }
    }
    drop(listener);
    connections.close();
    if tokio::time::timeout(DRAIN, connections.wait()).await.is_err() {
        tracing::warn!("requests were still in flight at the end of the drain time");
    }
    Ok(())
}

/// One connection, until one of both sides has enough.
async fn serve(socket: TcpStream, router: axum::Router, shutdown: Shutdown, patience: Patience) {
    // An answer in two writes must not wait for the client's acknowledgement of the first.
    if let Err(error) = socket.set_nodelay(true) {
        tracing::debug!(%error, "TCP_NODELAY could not be set");
    }
    let mut server = http1::Builder::new();
    server.timer(TokioTimer::new()).header_read_timeout(patience.head);
    let linger = Linger::default();
    let socket = TokioIo::new(Lingering::new(Taking::new(socket, patience.answer), linger.clone()));
    let router = TowerToHyperService::new(router);
    let service = service_fn(move |mut request: hyper::Request<Incoming>| {
        if request.headers().contains_key(UPGRADE) {
            request.extensions_mut().insert(linger.clone());
        }
        router.call(request)
    });
    let connection = server.serve_connection(socket, service).with_upgrades();
    tokio::pin!(connection);
    let outcome = tokio::select! {
        outcome = connection.as_mut() => outcome,
        () = shutdown.cancelled() => {
            connection.as_mut().graceful_shutdown();
            connection.await
        }
    };
    if let Err(error) = outcome {
        tracing::debug!(%error, "a connection ended early");
    }
}
