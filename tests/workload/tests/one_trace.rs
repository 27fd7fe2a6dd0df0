//! A run is one trace, from what asks for it to the nodes of the run that it starts, as a receiver of OTLP sees it.

#![allow(clippy::expect_used, clippy::panic)] // a test that cannot go on ends by panicking

use std::collections::HashMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::body::Bytes;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::routing::post;
use contract_tests::client::status;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::trace::v1::Span;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use prost::Message;
use serde_json::json;
use uuid::Uuid;
use workload::kit::id;
use workload::{Client, Fleet, Fleets, Role, graphs};

const WITHIN: Duration = Duration::from_secs(60);

/// What was received: the service and the span.
type Received = Arc<Mutex<Vec<(String, Span)>>>;

async fn receive(State(received): State<Received>, headers: HeaderMap, body: Bytes) -> StatusCode {
    if headers.get("content-type").is_none_or(|kind| kind != "application/x-protobuf") {
        return StatusCode::UNSUPPORTED_MEDIA_TYPE;
    }
    let Ok(request) = ExportTraceServiceRequest::decode(body) else {
        return StatusCode::BAD_REQUEST;
    };
    let mut received = received.lock().expect("no panic while locked");
    for resource in request.resource_spans {
        let attributes = resource.resource.map(|resource| resource.attributes).unwrap_or_default();
        let name = attributes.into_iter().find(|attribute| attribute.key == "service.name");
        let Some(Value::StringValue(service)) = name.and_then(|attribute| attribute.value?.value) else {
            return StatusCode::BAD_REQUEST;
        };
        let spans = resource.scope_spans.into_iter().flat_map(|scope| scope.spans);
        received.extend(spans.map(|span| (service.clone(), span)));
    }
    StatusCode::OK
}

async fn receiver() -> (String, Received) {
    let received = Received::default();
    let router = Router::new().route("/v1/traces", post(receive)).with_state(received.clone());
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.expect("a port");
    let address = format!("http://{}", listener.local_addr().expect("an address"));
    tokio::spawn(async move { axum::serve(listener, router).await });
    (address, received)
}

/// The spans of one trace.
struct Tree {
    spans: HashMap<Vec<u8>, (String, Span)>,
}

impl Tree {
    /// The trace that begins with a span of this name.
    fn of(received: &Received, root: &str) -> Option<Self> {
        let received = received.lock().expect("no panic while locked");
        let (_, root) = received.iter().find(|(_, span)| span.name == root && span.parent_span_id.is_empty())?;
        let spans = received.iter().filter(|(_, span)| span.trace_id == root.trace_id);
        Some(Self {
            spans: spans
                .map(|(service, span)| (span.span_id.clone(), (service.clone(), span.clone())))
                .collect(),
        })
    }

    /// Whether some span's way up to the root is this, each step `service: name`.
    fn has(&self, way: &[&str]) -> bool {
        self.spans.values().any(|(_, span)| self.way(span) == way)
    }

    fn kinds(&self, name: &str) -> Vec<SpanKind> {
        let spans = self.spans.values().filter(|(_, span)| span.name == name);
        spans.map(|(_, span)| span.kind()).collect()
    }

    fn way(&self, span: &Span) -> Vec<String> {
        let mut way = Vec::new();
        let mut next = Some(&span.span_id);
        while let Some((service, span)) = next.and_then(|id| self.spans.get(id)) {
            way.push(format!("{service}: {}", span.name));
            next = Some(&span.parent_span_id);
        }
        way
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_run_is_one_trace_from_what_asks_for_it_to_the_nodes_of_its_child() {
    const REQUEST: &str = "POST /api/graphs/{graph_id}/execute/{graph_version}";
    let (address, received) = receiver().await;
    let plan = Fleets {
        durable: false,
        ..Fleets::default()
    };
    let plan = plan.with("OTEL_EXPORTER_OTLP_ENDPOINT", &address).with("OTEL_BSP_SCHEDULE_DELAY", 50);
    let mut fleet = Fleet::start(plan).await.expect("the fleet starts");
    let user = fleet.user().await.expect("a user");
    let child = user.create_graph(&graphs::child(2, id::EFFECT, &json!({"ms": 1}))).await;
    let graph = user.create_graph(&graphs::parent(child, id::EFFECT)).await;
    for by_request in [true, false] {
        let run = if by_request {
            user.execute(graph, json!({})).await
        } else {
            submit_as_the_operator(&fleet.url(Role::Scheduler, 0).expect("a scheduler"), &user, graph).await
        };
        let execution = user.finished(graph, run, WITHIN).await;
        assert_eq!(status(&execution), "COMPLETED", "{execution:#}");
    }
    // What has ended is sent before a process is gone.
    for (role, index) in [
        (Role::Executor, 0),
        (Role::Executor, 1),
        (Role::Db, 0),
        (Role::Rest, 0),
        (Role::Scheduler, 0),
    ] {
        fleet.terminate(role, index).await.expect("the process ends when it is asked to");
    }
    fleet.stop().await;

    for (service, root, kind) in [
        ("autogpt-rest", REQUEST, SpanKind::Server),
        ("autogpt-scheduler", "submit", SpanKind::Internal),
    ] {
        let tree = Tree::of(&received, root).unwrap_or_else(|| panic!("the span of {service}: {root}"));
        is_whole(&tree, &format!("{service}: {root}"));
        assert_eq!(tree.kinds(root), [kind]);
    }
}

/// Everything from the outbox to the nodes of the inner run is there, and nothing has lost its parent.
fn is_whole(tree: &Tree, root: &str) {
    let below = |way: &[&'static str], step: &'static str| [&[step], way].concat();
    let relay = below(&[], "autogpt-db: relay");
    let wake_up = below(&relay, "autogpt-executor: wake-up");
    let outer_run = below(&[], "autogpt-executor: run");
    let node = below(&outer_run, "autogpt-executor: AgentExecutorBlock");
    let call = below(&node, "autogpt-executor: run_agent");
    let served = below(&call, "autogpt-db: POST /run_agent");
    let inner_run = below(&served, "autogpt-executor: run");
    let inner_node = below(&inner_run, "autogpt-executor: EffectBlock");
    for way in [relay, wake_up, inner_node] {
        let ways: Vec<Vec<String>> = tree.spans.values().map(|(_, span)| tree.way(span)).collect();
        assert!(tree.has(&[&way[..], &[root]].concat()), "{way:?} is not among {ways:#?}");
    }
    let roots = tree.spans.values().filter(|(_, span)| span.parent_span_id.is_empty());
    assert_eq!(roots.count(), 1);
    for (service, span) in tree.spans.values() {
        assert_eq!(
            tree.way(span).last().map(String::as_str),
            Some(root),
            "{service}: {} has lost its parent",
            span.name
        );
        assert!(span.start_time_unix_nano <= span.end_time_unix_nano, "{span:?}");
    }
    assert!(tree.kinds("relay").iter().all(|kind| *kind == SpanKind::Producer));
    assert!(tree.kinds("run_agent").iter().all(|kind| *kind == SpanKind::Client));
    assert!(tree.kinds("POST /run_agent").iter().all(|kind| *kind == SpanKind::Server));
}

/// A call that brings no trace, as those of the operator.
async fn submit_as_the_operator(scheduler: &str, user: &Client, graph: Uuid) -> Uuid {
    let request = json!({
        "idempotency_key": "a slot", "platform_uid": "p", "owner": user.user, "graph": {"kind": "stored", "id": graph, "version": 1},
    });
    let http = reqwest::Client::builder().no_proxy().build().expect("HTTP client");
    let answer = http
        .post(format!("{scheduler}/submit_graph_execution"))
        .json(&json!({ "request": request }))
        .send()
        .await
        .expect("an answer");
    let submitted: serde_json::Value = answer.json().await.expect("JSON");
    let run = submitted["graph_exec_id"].as_str().and_then(|id| id.parse().ok());
    run.unwrap_or_else(|| panic!("no run: {submitted}"))
}
