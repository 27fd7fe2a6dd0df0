//! The wire contract of internals §1, over real sockets: what a foreign client sends and gets, and what our client does.

#![allow(clippy::unwrap_used, clippy::panic)]

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Duration;

use async_trait::async_trait;
use model::{ExecutionStatus, Map, Timestamp, UserId};
use rpc::{RpcError, RpcErrorKind};
use runtime::{Health, Settings, Shutdown, serve};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use tokio::net::TcpListener;

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Part {
    count: i32,
    on: bool,
}

rpc::service! {
    /// A service with one method per kind of behaviour.
    pub service Lab => LabClient, router lab_router, at Scheduler {
        async fn add(left: i64, right: i64) -> i64, idempotent;
        async fn describe(user_id: UserId, status: ExecutionStatus, note: Option<String>, times: u32 = 1) -> String;
        async fn parts(parts: Vec<Part>, data: Map) -> i32;
        async fn pair() -> (i32, Option<Timestamp>), idempotent;
        async fn nothing() -> ();
        async fn fail(kind: String) -> ();
        async fn flaky() -> u32, idempotent;
        async fn fragile() -> u32;
        async fn explode() -> ();
    }
}

#[derive(Default)]
struct Implementation {
    calls: AtomicU32,
}

#[async_trait]
impl Lab for Implementation {
    async fn add(&self, left: i64, right: i64) -> Result<i64, RpcError> {
        Ok(left + right)
    }
    async fn describe(&self, user_id: UserId, status: ExecutionStatus, note: Option<String>, times: u32) -> Result<String, RpcError> {
        Ok(format!("{user_id} {status} {note:?} {times}"))
    }
    async fn parts(&self, parts: Vec<Part>, data: Map) -> Result<i32, RpcError> {
        Ok(parts.iter().filter(|part| part.on).map(|part| part.count).sum::<i32>() + data.len() as i32)
    }
    async fn pair(&self) -> Result<(i32, Option<Timestamp>), RpcError> {
        Ok((1, None))
    }
    async fn nothing(&self) -> Result<(), RpcError> {
        Ok(())
    }
    async fn fail(&self, kind: String) -> Result<(), RpcError> {
        if kind == "GraphValidationError" {
            return Err(RpcError::graph_validation("2 issues", json!({"n1": {"a": "This field is required"}})));
        }
        Err(RpcError::new(RpcErrorKind::from_name(&kind).unwrap(), "because"))
    }
    async fn flaky(&self) -> Result<u32, RpcError> {
        match self.calls.fetch_add(1, Ordering::SeqCst) {
            call @ 0..2 => Err(RpcError::database(format!("attempt {call}"))),
            call => Ok(call),
        }
    }
    async fn explode(&self) -> Result<(), RpcError> {
        panic!("on purpose")
    }
    async fn fragile(&self) -> Result<u32, RpcError> {
        self.calls.fetch_add(1, Ordering::SeqCst);
        Err(RpcError::database("down"))
    }
}

struct World {
    base: String,
    health: Health,
    http: reqwest::Client,
    implementation: Arc<Implementation>,
    settings: Settings,
    shutdown: Shutdown,
}

impl World {
    async fn start(pairs: &[(&str, &str)]) -> Self {
        runtime::install_tls_provider();
        let settings = Settings::from_pairs(pairs.iter().copied()).unwrap();
        let shutdown = Shutdown::new();
        let health = Health::new(&shutdown);
        let implementation = Arc::new(Implementation::default());
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(serve::http(
            listener,
            lab_router(implementation.clone(), &settings, &health),
            shutdown.clone(),
        ));
        Self {
            base,
            health,
            http: reqwest::Client::new(),
            implementation,
            settings,
            shutdown,
        }
    }

    fn client(&self) -> LabClient {
        LabClient::at(&self.base, &self.settings)
    }

    async fn post(&self, method: &str, body: impl Into<String>) -> (u16, Value) {
        let response = self.http.post(format!("{}/{method}", self.base)).body(body.into()).send().await.unwrap();
        let status = response.status().as_u16();
        (status, serde_json::from_str(&response.text().await.unwrap()).unwrap())
    }
}

const USER: &str = "3e53486c-cf57-477e-ba2a-cb02dc828e1a";

#[tokio::test]
async fn arguments_are_read_laxly_and_unknown_ones_ignored() {
    let world = World::start(&[]).await;
    assert_eq!(
        world.post("add", r#"{"left": "2", "right": 3.0, "colour": "red"}"#).await,
        (200, json!(5))
    );
    let (status, text) = world
        .post("describe", json!({"user_id": USER, "status": "QUEUED", "times": " 7 "}).to_string())
        .await;
    assert_eq!((status, text), (200, json!(format!("{USER} QUEUED None 7"))));
    let parts = json!({"parts": [{"count": "4", "on": "yes"}, {"count": true, "on": 1}, {"count": 9, "on": "off"}], "data": {"a": "1"}});
    assert_eq!(world.post("parts", parts.to_string()).await, (200, json!(6)));
    assert_eq!(world.post("pair", "").await, (200, json!([1, null])));
    assert_eq!(world.post("nothing", "not even JSON").await, (200, Value::Null));
}

#[tokio::test]
async fn missing_and_unusable_arguments_answer_422_with_every_place() {
    let world = World::start(&[]).await;
    let (status, body) = world.post("add", r#"{"left": "two"}"#).await;
    assert_eq!(status, 422);
    let expected = json!({"detail": [
        {"type": "int_parsing", "loc": ["body", "left"], "msg": "Input should be a valid integer, unable to parse string as an integer", "input": "two"},
        {"type": "missing", "loc": ["body", "right"], "msg": "Field required", "input": {"left": "two"}},
    ]});
    assert_eq!(body, expected);

    let (_, body) = world
        .post(
            "parts",
            json!({"parts": [{"count": 1, "on": true}, {"count": 1.5, "on": true}], "data": []}).to_string(),
        )
        .await;
    assert_eq!(body["detail"][0]["loc"], json!(["body", "parts", 1, "count"]));
    assert_eq!(body["detail"][0]["input"], json!(1.5));
    assert_eq!(body["detail"][1]["type"], "dict_type");
    // A number is no text.
    assert_eq!(world.post("fail", r#"{"kind": 5}"#).await.1["detail"][0]["type"], "string_type");

    for (body, kind) in [("", "missing"), ("{", "json_invalid"), ("[1]", "model_attributes_type")] {
        let (status, answer) = world.post("add", body).await;
        assert_eq!((status, &answer["detail"][0]["type"]), (422, &json!(kind)), "{body:?}");
    }
}

#[tokio::test]
async fn unknown_methods_and_other_verbs_have_the_frameworks_answers() {
    let world = World::start(&[]).await;
    assert_eq!(world.post("subtract", "{}").await, (404, json!({"detail": "Not Found"})));
    let response = world.http.get(format!("{}/add", world.base)).send().await.unwrap();
    assert_eq!(response.status(), 405);
    assert_eq!(response.json::<Value>().await.unwrap(), json!({"detail": "Method Not Allowed"}));
}

#[tokio::test]
async fn errors_carry_their_class_and_split_into_400_and_500() {
    let world = World::start(&[]).await;
    for kind in RpcErrorKind::ALL.iter().filter(|kind| **kind != RpcErrorKind::GraphValidation) {
        let (status, body) = world.post("fail", json!({"kind": kind.name()}).to_string()).await;
        assert_eq!(status, kind.status().as_u16(), "{kind:?}");
        assert_eq!(body, json!({"type": kind.name(), "args": ["because"]}));
        let seen = world.client().fail(kind.name().to_owned()).await.unwrap_err();
        assert_eq!((seen.kind, seen.message.as_str()), (*kind, "because"));
    }
    let values = [
        "ValueError",
        "BlockInputError",
        "NotFoundError",
        "GraphNotInLibraryError",
        "InsufficientBalanceError",
        "ModerationError",
        "DataError",
    ];
    let others = [
        "BlockError",
        "BlockUnknownError",
        "DatabaseError",
        "RedisError",
        "RuntimeError",
        "TimeoutError",
        "ConnectionError",
        "NeedConfirmation",
    ];
    assert!(values.iter().all(|name| RpcErrorKind::from_name(name).unwrap().status() == 400));
    assert!(others.iter().all(|name| RpcErrorKind::from_name(name).unwrap().status() == 500));
}

#[tokio::test]
async fn a_validation_error_keeps_its_node_errors() {
    let world = World::start(&[]).await;
    let (status, body) = world.post("fail", r#"{"kind": "GraphValidationError"}"#).await;
    assert_eq!(status, 400);
    assert_eq!(body["extras"]["node_errors"]["n1"]["a"], "This field is required");
    let error = world.client().fail("GraphValidationError".to_owned()).await.unwrap_err();
    assert_eq!(error.node_errors().unwrap()["n1"]["a"], "This field is required");
}

#[tokio::test]
async fn health_is_ok_or_503_with_the_reason() {
    let world = World::start(&[]).await;
    for path in ["health_check", "health_check_async"] {
        assert_eq!(world.post(path, "").await, (200, json!("OK")));
        let response = world.http.get(format!("{}/{path}", world.base)).send().await.unwrap();
        assert_eq!(response.text().await.unwrap(), "\"OK\"");
    }
    world.client().health_check().await.unwrap();
    world.health.check("postgres").fail("connection refused");
    let (status, body) = world.post("health_check", "").await;
    assert_eq!(
        (status, body),
        (503, json!({"type": "UnhealthyServiceError", "args": ["postgres: connection refused"]}))
    );
    assert!(world.client().health_check().await.unwrap_err().message.contains("connection refused"));
}

#[tokio::test]
async fn a_configured_token_is_required_for_methods_but_not_for_health() {
    let world = World::start(&[("INTERNAL_RPC_TOKEN", "s3cret")]).await;
    assert_eq!(world.post("add", r#"{"left": 1, "right": 1}"#).await.0, 401);
    let wrong = world
        .http
        .post(format!("{}/add", world.base))
        .bearer_auth("s3cre")
        .body(r#"{"left": 1, "right": 1}"#)
        .send()
        .await
        .unwrap();
    assert_eq!(wrong.status(), 401);
    assert_eq!(world.post("health_check", "").await.0, 200);
    assert_eq!(world.client().add(1, 1).await, Ok(2));
    // A refused token is final, also for a method that may be repeated.
    let stranger = LabClient::at(&world.base, &Settings::for_test());
    assert_eq!(stranger.add(1, 1).await.unwrap_err().kind, RpcErrorKind::HttpClient);
}

#[tokio::test(start_paused = true)]
async fn only_idempotent_methods_are_repeated() {
    let world = World::start(&[]).await;
    assert_eq!(world.client().flaky().await, Ok(2));
    world.implementation.calls.store(0, Ordering::SeqCst);
    assert_eq!(world.client().fragile().await.unwrap_err().kind, RpcErrorKind::Database);
    assert_eq!(world.implementation.calls.load(Ordering::SeqCst), 1);
    world.implementation.calls.store(0, Ordering::SeqCst);
    assert!(world.client().without_retries().flaky().await.is_err());
}

#[tokio::test]
async fn a_server_that_comes_late_is_waited_for() {
    let world = World::start(&[("PYRO_CLIENT_MAX_WAIT", "1")]).await;
    let address = world.base.trim_start_matches("http://").to_owned();
    world.shutdown.trigger();
    // Until the port is free again.
    let listener = loop {
        match TcpListener::bind(&address).await {
            Ok(listener) => break listener,
            Err(_) => tokio::time::sleep(Duration::from_millis(20)).await,
        }
    };
    drop(listener);
    let client = world.client();
    let refused = client.clone().without_retries().add(1, 1).await.unwrap_err();
    assert_eq!(refused.kind, RpcErrorKind::Connection, "{refused}");
    let call = tokio::spawn(async move { client.add(20, 1).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    let listener = TcpListener::bind(&address).await.unwrap();
    let health = Health::default();
    tokio::spawn(serve::http(
        listener,
        lab_router(world.implementation.clone(), &world.settings, &health),
        Shutdown::new(),
    ));
    assert_eq!(call.await.unwrap(), Ok(21));
}

#[tokio::test]
async fn a_call_that_takes_too_long_is_a_timeout() {
    runtime::install_tls_provider();
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let settings = Settings::from_pairs([("RPC_CLIENT_CALL_TIMEOUT", "1"), ("PYRO_CLIENT_COMM_RETRY", "1")]).unwrap();
    let client = LabClient::at(format!("http://{}", silent.local_addr().unwrap()), &settings);
    assert_eq!(client.add(1, 1).await.unwrap_err().kind, RpcErrorKind::Timeout);
}

#[tokio::test]
async fn bodies_beyond_the_frameworks_default_limit_are_accepted() {
    let world = World::start(&[]).await;
    let data = Map::from_iter([("big".to_owned(), Value::String("x".repeat(8 << 20)))]);
    assert_eq!(world.client().parts(Vec::new(), data).await, Ok(1));
}

#[tokio::test]
async fn a_panic_answers_like_any_other_failure_and_tells_no_internals() {
    let world = World::start(&[]).await;
    let (status, body) = world.post("explode", "").await;
    assert_eq!((status, &body["type"]), (500, &json!("RuntimeError")));
    assert!(!body.to_string().contains("on purpose"));
    assert_eq!(world.client().add(1, 1).await, Ok(2));
}
