//! Clients that are silent, slow or half gone, on real sockets.

#![allow(clippy::unwrap_used, clippy::expect_used)]

use std::convert::Infallible;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::BytesRejection;
use axum::response::IntoResponse;
use axum::routing::{get, post};
use futures::stream;
use runtime::Shutdown;
use runtime::serve::{self, Patience, TooSlow};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::oneshot;

/// Long enough for anything that happens, on a busy machine too.
const SOON: Duration = Duration::from_secs(20);
/// What these servers wait for their clients.
const PATIENCE: Duration = Duration::from_millis(300);

async fn serve(router: Router) -> SocketAddr {
    let patience = Patience {
        head: PATIENCE,
        body: PATIENCE,
        answer: PATIENCE,
    };
    serve_with(router, patience).await
}

async fn serve_with(router: Router, patience: Patience) -> SocketAddr {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(serve::http_with(listener, router, Shutdown::new(), patience));
    address
}

/// Everything that the server says until it closes the connection, which it does soon.
async fn all_of(client: &mut TcpStream) -> String {
    let mut said = Vec::new();
    let read = tokio::time::timeout(SOON, client.read_to_end(&mut said)).await;
    // A reset is an end as well.
    let _ = read.expect("the server closes the connection");
    String::from_utf8_lossy(&said).into_owned()
}

async fn ask(address: SocketAddr, request: &str) -> TcpStream {
    let mut client = TcpStream::connect(address).await.unwrap();
    client.write_all(request.as_bytes()).await.unwrap();
    client
}

#[tokio::test]
async fn half_a_request_and_silence_ends_the_connection() {
    let address = serve(Router::new().route("/", get(async || "hello"))).await;
    let upgrade = "GET /ws HTTP/1.1\r\nHost: a\r\nConnection: Upgrade\r\nUpgrade: webs";
    for begun in ["", "GET", "GET / HTTP/1.1\r\nHo", upgrade] {
        assert_eq!(all_of(&mut ask(address, begun).await).await, "", "{begun:?}");
    }
    let mut idle = ask(address, "GET / HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let said = all_of(&mut idle).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("hello"), "{said}");
}

async fn take(body: Result<Bytes, BytesRejection>) -> axum::response::Response {
    match body {
        Ok(bytes) => bytes.len().to_string().into_response(),
        Err(rejection) if TooSlow::caused(&rejection) => http_status(408),
        Err(_) => http_status(400),
    }
}

fn http_status(status: u16) -> axum::response::Response {
    axum::http::StatusCode::from_u16(status).unwrap().into_response()
}

#[tokio::test]
async fn a_body_that_stops_or_drips_is_not_waited_for() {
    let address = serve(Router::new().route("/", post(take))).await;
    let head = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n";
    let said = all_of(&mut ask(address, &format!("{head}abc")).await).await;
    assert!(said.starts_with("HTTP/1.1 408"), "{said}");

    let (mut reading, mut writing) = ask(address, head).await.into_split();
    let drip = tokio::spawn(async move {
        while writing.write_all(b"x").await.is_ok() {
            tokio::time::sleep(PATIENCE / 20).await;
        }
    });
    let mut said = [0; 12];
    tokio::time::timeout(SOON, reading.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"HTTP/1.1 408");
    drip.abort();
}

#[tokio::test]
async fn a_body_that_comes_steadily_may_take_longer_than_the_patience() {
    let address = serve(Router::new().route("/", post(take))).await;
    let mut client = ask(address, "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 160000\r\n\r\n").await;
    for _ in 0..16 {
        tokio::time::sleep(PATIENCE / 8).await;
        client.write_all(&[b'x'; 10_000]).await.unwrap();
    }
    let said = all_of(&mut client).await;
    assert!(said.starts_with("HTTP/1.1 200") && said.ends_with("160000"), "{said}");
}

/// Reads until the client has heard these words.
async fn hear(client: &mut TcpStream, words: &str) {
    let mut said = Vec::new();
    let reading = async {
        while !String::from_utf8_lossy(&said).ends_with(words) {
            assert_ne!(client.read_buf(&mut said).await.unwrap(), 0, "the connection ended");
        }
    };
    tokio::time::timeout(SOON, reading).await.expect("an answer");
}

#[tokio::test]
async fn a_body_that_nobody_reads_does_not_cost_the_connection() {
    let router = Router::new().route("/", post(async || "unread"));
    let address = serve_with(router, Patience::default()).await;
    for chunked in [false, true] {
        let length = if chunked { "Transfer-Encoding: chunked" } else { "Content-Length: 5" };
        let body = if chunked { "5\r\n12345\r\n0\r\n\r\n" } else { "12345" };
        let head = format!("POST / HTTP/1.1\r\nHost: a\r\n{length}\r\n\r\n");
        let mut client = ask(address, &head).await;
        for _ in 0..3 {
            // Answered before the body is there, which comes with the next request.
            hear(&mut client, "unread").await;
            client.write_all(format!("{body}{head}").as_bytes()).await.unwrap();
        }
        hear(&mut client, "unread").await;
    }
    let much = "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1000000\r\n\r\n";
    assert!(all_of(&mut ask(address, much).await).await.ends_with("unread"), "more is not waited for");
}

/// Tells when it is let go.
struct Held(Option<oneshot::Sender<()>>);

impl Drop for Held {
    fn drop(&mut self) {
        if let Some(told) = self.0.take() {
            let _ = told.send(());
        }
    }
}

#[tokio::test]
async fn who_does_not_read_costs_little_holds_nobody_up_and_is_let_go() {
    const CHUNK: usize = 64 * 1024;
    let (told, let_go) = oneshot::channel();
    let (made, held) = (Arc::new(AtomicUsize::new(0)), Arc::new(std::sync::Mutex::new(Some(Held(Some(told))))));
    let counting = made.clone();
    let endless = async move || {
        let held = held.lock().unwrap().take();
        Body::from_stream(stream::repeat_with(move || {
            let _ = &held;
            counting.fetch_add(CHUNK, Ordering::Relaxed);
            Ok::<_, Infallible>(Bytes::from_static(&[b'x'; CHUNK]))
        }))
    };
    let router = Router::new().route("/endless", get(endless)).route("/", get(async || "hello"));
    let address = serve(router).await;
    let slow = ask(address, "GET /endless HTTP/1.1\r\nHost: a\r\n\r\n").await;
    let said = all_of(&mut ask(address, "GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").await).await;
    assert!(said.ends_with("hello"), "{said}");
    tokio::time::timeout(SOON, let_go).await.expect("the answer is given up").unwrap();
    let made = made.load(Ordering::Relaxed);
    assert!(made < 64 * 1024 * 1024, "{made} bytes were made for somebody who reads none");
    drop(slow);
}
