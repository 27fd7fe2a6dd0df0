//! Health answers, retries and the end of an HTTP server, by a paused clock and real sockets.

#![allow(clippy::unwrap_used)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::time::Duration;

use axum::routing::get;
use runtime::retry::{Backoff, retry_forever};
use runtime::{Health, Metrics, Shutdown, serve};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};

async fn get_path(address: std::net::SocketAddr, path: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(address).await.unwrap();
    stream
        .write_all(format!("GET {path} HTTP/1.1\r\nhost: x\r\nconnection: close\r\n\r\n").as_bytes())
        .await
        .unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).await.unwrap();
    let status = text.split(' ').nth(1).unwrap().parse().unwrap();
    (status, text.split("\r\n\r\n").nth(1).unwrap_or_default().to_owned())
}

#[tokio::test]
async fn readiness_names_what_is_missing_and_liveness_does_not_care() {
    let shutdown = Shutdown::new();
    let health = Health::new(&shutdown);
    let broker = health.check("rabbitmq");
    let database_up = Arc::new(AtomicBool::new(false));
    let probed = database_up.clone();
    health.probe("postgres", move || {
        let up = probed.load(Ordering::SeqCst);
        async move { if up { Ok(()) } else { Err("connection refused".to_owned()) } }
    });
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let metrics = Metrics::new();
    metrics.counter("things", "Things that happened").inc();
    tokio::spawn(serve::http(listener, health.router().merge(metrics.router()), shutdown.clone()));

    let (status, body) = get_path(address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(body.contains("connection refused") && body.contains(r#""rabbitmq":"starting""#), "{body}");
    assert_eq!(get_path(address, "/livez").await.0, 200);

    database_up.store(true, Ordering::SeqCst);
    broker.ok();
    assert_eq!(get_path(address, "/readyz").await.0, 200);
    broker.fail("gone");
    assert!(get_path(address, "/readyz").await.1.contains("gone"));
    assert!(get_path(address, "/metrics").await.1.contains("things_total 1"));
}

#[tokio::test(start_paused = true)]
async fn retrying_ends_with_success_or_with_the_shutdown() {
    let calls = AtomicU32::new(0);
    let outcome = retry_forever("thing", &Shutdown::new(), || {
        let call = calls.fetch_add(1, Ordering::SeqCst);
        async move { if call < 4 { Err("absent") } else { Ok(call) } }
    })
    .await;
    assert_eq!(outcome, Some(4));

    let shutdown = Shutdown::new();
    let trigger = shutdown.clone();
    tokio::spawn(async move {
        tokio::time::sleep(Duration::from_secs(60)).await;
        trigger.trigger();
    });
    assert_eq!(retry_forever("thing", &shutdown, || async { Err::<(), _>("absent") }).await, None);
}

#[test]
fn waits_grow_to_their_cap_and_begin_again() {
    let mut backoff = Backoff::new(Duration::from_secs(1), Duration::from_secs(30));
    for attempt in 0..12 {
        let bound = Duration::from_secs(2_u64.pow(attempt)).min(Duration::from_secs(30));
        let delay = backoff.next_delay();
        assert!(delay <= bound && delay >= bound / 10, "{attempt}: {delay:?}");
    }
    backoff.reset();
    assert!(backoff.next_delay() <= Duration::from_secs(1));
}

#[tokio::test]
async fn a_server_finishes_its_requests_and_then_ends() {
    let shutdown = Shutdown::new();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let slow = axum::Router::new().route(
        "/slow",
        get(async || {
            tokio::time::sleep(Duration::from_millis(300)).await;
            "done"
        }),
    );
    let server = tokio::spawn(serve::http(listener, slow, shutdown.clone()));
    let request = tokio::spawn(async move { get_path(address, "/slow").await });
    tokio::time::sleep(Duration::from_millis(100)).await;
    shutdown.trigger();
    assert_eq!(request.await.unwrap(), (200, "done".to_owned()));
    tokio::time::timeout(Duration::from_secs(2), server).await.unwrap().unwrap().unwrap();
    assert!(TcpStream::connect(address).await.is_err());
}

#[tokio::test]
async fn an_address_that_is_taken_is_named_with_a_remedy() {
    let taken = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let port = taken.local_addr().unwrap().port();
    let error = serve::bind("127.0.0.1", port).await.unwrap_err().to_string();
    assert!(
        error.contains(&format!("127.0.0.1:{port}")) && error.contains("another process"),
        "{error}"
    );
}
