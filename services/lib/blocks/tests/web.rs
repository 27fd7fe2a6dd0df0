//! Requests of blocks, against real HTTP servers on this machine: what is sent, what is refused, what is bounded.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use axum::response::{IntoResponse, Redirect, Response};
use axum::routing::any;
use blocks::{BlockContext, BlockErrorKind, Registry, collect};
use engine::block::Effects;
use model::credentials::CredentialSecret;
use serde_json::{Value, json};
use uuid::{Uuid, uuid};

use crate::support::Shelf;

const PLAIN: Uuid = uuid!("6595ae1f-b924-42cb-9a41-551a0611c4b4");
const AUTHENTICATED: Uuid = uuid!("fff86bcd-e001-4bad-a7f6-2eae4720c8dc");
const RSS: Uuid = uuid!("5ebe6768-8e5d-41e3-9134-1c7bd89a8d52");
const FILE_STORE: Uuid = uuid!("cbb50872-625b-42f0-8203-a2ae78242d8a");

/// A server that counts its requests and the address under which it is.
struct Server {
    address: SocketAddr,
    hits: Arc<AtomicUsize>,
}

impl Server {
    async fn start() -> Self {
        let hits = Arc::new(AtomicUsize::new(0));
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let router = Router::new()
            .route("/echo", any(echo))
            .route("/text", any(async || "just text"))
            .route("/none", any(async || StatusCode::NO_CONTENT))
            .route("/missing", any(async || (StatusCode::NOT_FOUND, "nope")))
            .route("/broken", any(async || (StatusCode::BAD_GATEWAY, "oops")))
            .route("/liar", any(async || ([("content-type", "application/json")], "{")))
            .route("/big", any(async || Body::from(vec![b'x'; 4096])))
            .route("/endless", any(endless))
            .route("/hang", any(async || std::future::pending::<StatusCode>().await))
            .route("/loop", any(async || Redirect::temporary("/loop")))
            .route("/to", any(async |uri: Uri| found(uri.query().unwrap_or_default())))
            .route("/feed", any(async || FEED))
            .route("/report.csv", any(async || "a,b\n1,2\n"))
            .layer(axum::middleware::map_request_with_state(hits.clone(), count));
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        Self { address, hits }
    }

    fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.address)
    }

    fn hits(&self) -> usize {
        self.hits.load(Ordering::SeqCst)
    }
}

async fn count(State(hits): State<Arc<AtomicUsize>>, request: axum::extract::Request) -> axum::extract::Request {
    hits.fetch_add(1, Ordering::SeqCst);
    request
}

fn found(target: &str) -> Response {
    (StatusCode::SEE_OTHER, [("location", target.to_owned())]).into_response()
}

async fn endless() -> Body {
    Body::from_stream(futures::stream::repeat_with(|| {
        Ok::<_, std::io::Error>(Bytes::from_static(&[b'x'; 1024]))
    }))
}

async fn echo(method: Method, headers: HeaderMap, body: Bytes) -> axum::Json<Value> {
    let headers: serde_json::Map<String, Value> = headers
        .iter()
        .map(|(name, value)| (name.to_string(), Value::from(value.to_str().unwrap())))
        .collect();
    axum::Json(json!({ "method": method.as_str(), "headers": headers, "body": String::from_utf8_lossy(&body) }))
}

const FEED: &str = r#"<rss version="2.0"><channel><title>t</title>
  <item><title>new</title><link>http://x.test/1</link><description>d</description><pubDate>Fri, 01 Jan 2100 00:00:00 GMT</pubDate><category>c</category></item>
  <item><title>old</title><link>http://x.test/2</link><pubDate>Mon, 01 Jan 2001 00:00:00 GMT</pubDate></item>
</channel></rss>"#;

/// Trusts the given servers.
fn trusting(servers: &[&Server], more: &[(&str, &str)]) -> BlockContext {
    let hosts: Vec<String> = servers.iter().map(|server| server.address.to_string()).collect();
    let mut settings = vec![("BLOCK_TRUSTED_HOSTS", json!(hosts).to_string())];
    settings.extend(more.iter().map(|(name, value)| (*name, (*value).to_owned())));
    support::context(&settings, Shelf::default())
}

async fn run(block: Uuid, input: Value, context: &BlockContext) -> Result<Value, (BlockErrorKind, String)> {
    let block = Registry::standard().get(block).unwrap();
    let collected = collect(block.as_ref(), input.as_object().cloned().unwrap(), context).await;
    collected.map(|outputs| json!(outputs)).map_err(|error| (error.kind, error.to_string()))
}

#[tokio::test]
async fn the_status_decides_about_the_pin_and_the_type_about_the_value() {
    let server = Server::start().await;
    let context = trusting(&[&server], &[]);
    let get = async |path: &str| run(PLAIN, json!({ "url": server.url(path), "method": "GET" }), &context).await.unwrap();
    assert_eq!(get("/text").await, json!({ "response": ["just text"] }));
    assert_eq!(get("/none").await, json!({ "response": [null] }));
    assert_eq!(get("/missing").await, json!({ "client_error": ["nope"] }));
    assert_eq!(get("/broken").await, json!({ "server_error": ["oops"] }));
    assert_eq!(get("/echo").await["response"][0]["method"], "GET");
    let liar = run(PLAIN, json!({ "url": server.url("/liar"), "method": "GET" }), &context)
        .await
        .unwrap_err();
    assert_eq!(liar.0, BlockErrorKind::Unknown);
    let head = run(PLAIN, json!({ "url": server.url("/echo"), "method": "HEAD" }), &context).await;
    assert!(head.is_err(), "finding 29: {head:?}");
}

#[tokio::test]
async fn bodies_are_json_forms_or_forms_with_files() {
    let server = Server::start().await;
    let context = trusting(&[&server], &[]);
    let post = async |more: Value| {
        let mut input = json!({ "url": server.url("/echo"), "body": { "a": "1 2", "b": 3 } });
        input.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        run(PLAIN, input, &context).await.map(|outputs| outputs["response"][0].clone())
    };
    let json_body = post(json!({ "headers": { "X-Mine": "m" } })).await.unwrap();
    assert_eq!(json_body["body"], r#"{"a":"1 2","b":3}"#);
    assert_eq!(
        (&json_body["headers"]["content-type"], &json_body["headers"]["x-mine"]),
        (&json!("application/json"), &json!("m"))
    );
    assert_eq!(json_body["headers"]["host"], server.address.to_string());
    assert_eq!(post(json!({ "json_format": false })).await.unwrap()["body"], "a=1+2&b=3");
    let file = json!(["data:text/plain;base64,aGVsbG8="]);
    let multipart = post(json!({ "json_format": false, "files": file })).await.unwrap();
    let body = multipart["body"].as_str().unwrap();
    assert!(body.contains("name=\"a\"\r\n\r\n1 2\r\n") && body.contains("name=\"file\"; filename=\"") && body.contains("\r\n\r\nhello\r\n"));
    assert!(post(json!({ "files": file })).await.is_err());
    let none = run(PLAIN, json!({ "url": server.url("/echo") }), &context).await.unwrap();
    assert_eq!(none["response"][0]["headers"]["content-type"], "application/octet-stream");
}

#[tokio::test]
async fn what_is_not_public_is_refused_before_anything_is_sent() {
    let server = Server::start().await;
    let context = support::context(&[], Shelf::default());
    let port = server.address.port();
    for host in [
        "127.0.0.1",
        "localhost",
        "0.0.0.0",
        "0x7f.1",
        "2130706433",
        "127.1",
        "[::1]",
        "[::ffff:127.0.0.1]",
    ] {
        let refused = run(PLAIN, json!({ "url": format!("http://{host}:{port}/text"), "method": "GET" }), &context).await;
        let (kind, text) = refused.unwrap_err();
        assert_eq!(kind, BlockErrorKind::Unknown);
        assert!(text.contains("is not allowed") || text.contains("no valid host"), "{host}: {text}");
    }
    assert_eq!(server.hits(), 0);
    let file = run(FILE_STORE, json!({ "file_in": server.url("/report.csv") }), &context).await;
    assert!(file.unwrap_err().1.contains("is not allowed"));
    let feed = json!({ "rss_url": server.url("/feed"), "polling_rate": 0, "run_continuously": false });
    assert_eq!(run(RSS, feed, &context).await.unwrap(), json!({ "entries": [[]] }));
    assert_eq!(server.hits(), 0);
}

#[tokio::test]
async fn each_redirect_is_checked_like_the_first_request() {
    let (trusted, hidden) = (Server::start().await, Server::start().await);
    let context = trusting(&[&trusted], &[]);
    let to = |target: &str| json!({ "url": trusted.url(&format!("/to?{target}")), "body": { "a": 1 } });
    for target in [
        hidden.url("/text"),
        format!("http://localhost:{}/text", hidden.address.port()),
        "file:///etc/passwd".to_owned(),
    ] {
        assert!(run(PLAIN, to(&target), &context).await.is_err(), "{target}");
    }
    assert_eq!(hidden.hits(), 0);
    // Method and body are kept, also for 303.
    let followed = run(PLAIN, to("/echo"), &context).await.unwrap();
    assert_eq!(
        (&followed["response"][0]["method"], &followed["response"][0]["body"]),
        (&json!("POST"), &json!(r#"{"a":1}"#))
    );
    let (_, text) = run(PLAIN, json!({ "url": trusted.url("/loop"), "method": "GET" }), &context)
        .await
        .unwrap_err();
    assert!(text.contains("more than 10 redirects"), "{text}");
}

#[tokio::test]
async fn secrets_stay_with_the_origin_they_are_for() {
    let (first, second) = (Server::start().await, Server::start().await);
    let trusted = json!([first.address.to_string(), second.address.to_string()]).to_string();
    let secret = |host: String| CredentialSecret::HostScoped {
        host,
        headers: [("X-Key".to_owned(), "hush".to_owned()), ("X-Mine".to_owned(), "theirs".to_owned())].into(),
    };
    let reference = json!({ "id": "c", "provider": "http", "type": "host_scoped" });
    let send = async |scope: String, url: String| {
        let context = support::context(&[("BLOCK_TRUSTED_HOSTS", trusted.clone())], Shelf::with_credential("http", secret(scope)));
        let headers = json!({ "X-Mine": "mine", "Authorization": "Basic x", "X-Open": "o" });
        let input = json!({ "url": url, "credentials": reference, "headers": headers });
        run(AUTHENTICATED, input, &context).await.unwrap()["response"][0]["headers"].clone()
    };
    let same = send(first.address.to_string(), first.url("/echo")).await;
    assert_eq!(
        (&same["x-key"], &same["x-mine"], &same["authorization"]),
        (&json!("hush"), &json!("mine"), &json!("Basic x"))
    );
    let other = send("other.test".to_owned(), first.url("/echo")).await;
    assert_eq!((&other["x-key"], &other["x-mine"]), (&Value::Null, &json!("mine")));
    let away = send(first.address.to_string(), first.url(&format!("/to?{}", second.url("/echo")))).await;
    assert_eq!(
        (&away["x-key"], &away["authorization"], &away["x-open"]),
        (&Value::Null, &Value::Null, &json!("o"))
    );
}

#[tokio::test]
async fn size_and_time_are_bounded() {
    let server = Server::start().await;
    let context = trusting(&[&server], &[("BLOCK_WEB_MAX_REPLY_BYTES", "4095"), ("BLOCK_WEB_TIMEOUT_SECONDS", "1")]);
    for path in ["/big", "/endless"] {
        let (_, text) = run(PLAIN, json!({ "url": server.url(path), "method": "GET" }), &context)
            .await
            .unwrap_err();
        assert!(text.contains("larger than 4095 bytes"), "{path}: {text}");
    }
    let hanging = run(PLAIN, json!({ "url": server.url("/hang"), "method": "GET" }), &context);
    let (_, text) = tokio::time::timeout(Duration::from_secs(60), hanging).await.unwrap().unwrap_err();
    assert!(text.contains("within 1 s"), "{text}");
}

#[tokio::test]
async fn only_reading_may_be_repeated() {
    let block = Registry::standard().get(PLAIN).unwrap();
    let effects = |method: &str| block.effects(json!({ "method": method }).as_object().unwrap());
    for method in ["GET", "HEAD", "OPTIONS"] {
        assert_eq!(effects(method), Effects::Idempotent);
    }
    for method in ["POST", "PUT", "PATCH", "DELETE"] {
        assert_eq!(effects(method), Effects::Once);
    }
    assert_eq!(block.descriptor().effects, Effects::Once);
}

#[tokio::test]
async fn files_come_from_urls_and_stay_in_their_run() {
    let server = Server::start().await;
    let folder = tempfile::tempdir().unwrap();
    let mut context = trusting(&[&server], &[("BLOCK_FILES_DIR", folder.path().to_str().unwrap())]);
    let stored = run(FILE_STORE, json!({ "file_in": server.url("/report.csv") }), &context).await.unwrap();
    assert_eq!(stored, json!({ "file_out": ["report.csv"] }));
    let sheet = uuid!("acf7625e-d2cb-4941-bfeb-2819fc6fc015");
    let rows = run(sheet, json!({ "file_input": "report.csv" }), &context).await.unwrap();
    assert_eq!(rows, json!({ "rows": [[{ "a": "1", "b": "2" }]] }));
    for name in ["../../etc/passwd", "/etc/passwd", ".."] {
        assert!(
            run(FILE_STORE, json!({ "file_in": name }), &context)
                .await
                .unwrap_err()
                .1
                .contains("inside the folder"),
            "{name}"
        );
    }
    let run_folder = folder.path().join("exec_file").join(context.graph_exec_id.to_string());
    std::os::unix::fs::symlink("/etc/hostname", run_folder.join("link")).unwrap();
    assert!(run(FILE_STORE, json!({ "file_in": "link" }), &context).await.is_err());
    // Another run does not see it, and the end of the run takes it away.
    let first = std::mem::replace(&mut context.graph_exec_id, Uuid::new_v4());
    assert!(run(FILE_STORE, json!({ "file_in": "report.csv" }), &context).await.is_err());
    context.outside.files().forget(first).await;
    assert!(!run_folder.exists());
}

#[tokio::test]
async fn a_feed_gives_its_new_entries() {
    let server = Server::start().await;
    let context = trusting(&[&server], &[]);
    let input = json!({ "rss_url": server.url("/feed"), "polling_rate": 0, "run_continuously": false });
    let read = run(RSS, input, &context).await.unwrap();
    let entry = json!({
        "title": "new", "link": "http://x.test/1", "description": "d", "pub_date": "2100-01-01T00:00:00+00:00", "author": "", "categories": ["c"],
    });
    assert_eq!(read, json!({ "entry": [entry], "entries": [[entry]] }));
}
