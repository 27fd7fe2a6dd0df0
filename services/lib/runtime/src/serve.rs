//! HTTP servers that end in bounded time.

use std::io;
use std::time::Duration;

use axum::serve::ListenerExt;
use tokio::net::TcpListener;

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
    let started = shutdown.clone();
    // An answer in two writes must not wait for the client's acknowledgement of the first.
    let listener = listener.tap_io(|socket| {
        if let Err(error) = socket.set_nodelay(true) {
            tracing::debug!(%error, "TCP_NODELAY could not be set");
        }
    });
    let server = axum::serve(listener, router).with_graceful_shutdown(async move { started.cancelled().await });
    tokio::select! {
        outcome = server => outcome,
        () = async { shutdown.cancelled().await; tokio::time::sleep(DRAIN).await } => {
            tracing::warn!("requests were still in flight at the end of the drain time");
            Ok(())
        }
    }
}
