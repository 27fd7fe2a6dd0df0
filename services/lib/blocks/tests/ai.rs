//! The AI blocks against a server that speaks the protocol of chat completions, streams, fails and tells when to come again.

#![allow(clippy::unwrap_used, clippy::panic)]

mod support;

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use axum::body::Body;
use axum::extract::State;
use axum::http::{HeaderMap, StatusCode};
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use blocks::{BlockErrorKind, PriceList, Registry, execute};
use model::NodeStats;
use model::credentials::CredentialSecret;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::{Uuid, uuid};

use crate::support::Shelf;

const TEXT: Uuid = uuid!("1f292d4a-41a4-4977-9684-7c8d560b9f91");
const STRUCTURED: Uuid = uuid!("ed55ac19-356e-4243-a6cb-bc599e9b716f");

/// What the server does with one request.
#[derive(Clone)]
enum Answer {
    Stream(&'static str),
    /// Without streaming, although it was asked for.
    Whole(&'static str),
    /// Breaks off in the middle of the stream.
    Broken,
    Status(u16, Option<&'static str>),
}

#[derive(Clone, Default)]
struct Script {
    answers: Arc<Mutex<VecDeque<Answer>>>,
    seen: Arc<Mutex<Vec<(HeaderMap, Value)>>>,
}

impl Script {
    async fn start(answers: &[Answer]) -> (Self, String) {
        let script = Self::default();
        script.answers.lock().unwrap().extend(answers.iter().cloned());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(script.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        (script, base)
    }

    fn seen(&self) -> Vec<(HeaderMap, Value)> {
        self.seen.lock().unwrap().clone()
    }
}

fn pieces(text: &str) -> Vec<String> {
    let letters: Vec<char> = text.chars().collect();
    let mut pieces: Vec<String> = letters
        .chunks(3)
        .map(|chunk| {
            let piece = json!({ "choices": [{ "delta": { "content": chunk.iter().collect::<String>() } }] });
            format!("data: {piece}\n\n")
        })
        .collect();
    pieces.push(format!(
        "data: {}\n\n",
        json!({ "choices": [], "usage": { "prompt_tokens": 7, "completion_tokens": 5 } })
    ));
    pieces.push("data: [DONE]\n\n".to_owned());
    pieces
}

fn streamed(pieces: Vec<Result<String, std::io::Error>>) -> Response {
    ([("content-type", "text/event-stream")], Body::from_stream(futures::stream::iter(pieces))).into_response()
}

async fn complete(State(script): State<Script>, headers: HeaderMap, Json(asked): Json<Value>) -> Response {
    script.seen.lock().unwrap().push((headers, asked));
    match script.answers.lock().unwrap().pop_front() {
        Some(Answer::Stream(text)) => streamed(pieces(text).into_iter().map(Ok).collect()),
        Some(Answer::Whole(text)) => Json(json!({ "choices": [{ "message": { "content": text } }] })).into_response(),
        Some(Answer::Broken) => streamed(vec![
            Ok("data: {\"choices\":[{\"delta\":{\"content\":\"half\"}}]}\n\n".to_owned()),
            Err(std::io::Error::other("gone")),
        ]),
        Some(Answer::Status(status, wait)) => {
            let body = Json(json!({ "error": { "message": "not now" } }));
            let mut response = (StatusCode::from_u16(status).unwrap(), body).into_response();
            if let Some(wait) = wait {
                response.headers_mut().insert("retry-after", wait.parse().unwrap());
            }
            response
        }
        None => StatusCode::NOT_IMPLEMENTED.into_response(),
    }
}

async fn run(block: Uuid, base: &str, mut input: Value) -> (Result<Vec<(String, Value)>, (BlockErrorKind, String)>, NodeStats) {
    let key = CredentialSecret::api_key("hush");
    let context = support::context(&[("OPENAI_BASE_URL", base.to_owned())], Shelf::with_credential("openai", key));
    input["credentials"] = json!({ "id": "c", "provider": "openai", "type": "api_key" });
    let block = Registry::standard().get(block).unwrap();
    let (sink, mut outputs) = mpsc::channel(16);
    let executed = execute(block.as_ref(), input.as_object().cloned().unwrap(), &context, &sink).await;
    drop(sink);
    let mut emitted = Vec::new();
    while let Some(output) = outputs.recv().await {
        emitted.push((output.pin, output.value.into_json_or_null()));
    }
    let ended = executed.ended.map(|_| emitted).map_err(|error| (error.kind, error.to_string()));
    (ended, executed.stats)
}

#[tokio::test]
async fn a_text_is_put_together_from_a_stream() {
    let (script, base) = Script::start(&[Answer::Stream("Hello, wörld!")]).await;
    let input = json!({ "prompt": "Greet {{ who }}", "prompt_values": { "who": "all" }, "sys_prompt": "Be kind", "max_tokens": 9 });
    let (ended, stats) = run(TEXT, &base, input).await;
    let outputs = ended.unwrap();
    assert_eq!(outputs[0], ("response".to_owned(), json!("Hello, wörld!")));
    let messages = json!([{ "role": "system", "content": "Be kind" }, { "role": "user", "content": "Greet all" }]);
    assert_eq!(outputs[1], ("prompt".to_owned(), messages.clone()));
    assert_eq!((stats.llm_call_count, stats.input_token_count, stats.output_token_count), (1, 7, 5));
    let (headers, asked) = script.seen().remove(0);
    assert_eq!(headers["authorization"], "Bearer hush");
    assert_eq!(
        (&asked["model"], &asked["stream"], &asked["max_tokens"]),
        (&json!("gpt-4o-mini"), &json!(true), &json!(9))
    );
    assert_eq!(asked["messages"], messages);
}

#[tokio::test]
async fn a_service_that_does_not_stream_is_understood() {
    let (_, base) = Script::start(&[Answer::Whole("plain")]).await;
    let (ended, _) = run(TEXT, &base, json!({ "prompt": "x" })).await;
    assert_eq!(ended.unwrap()[0].1, json!("plain"));
}

#[tokio::test]
async fn what_may_pass_is_tried_again_and_no_sooner_than_told() {
    let answers = [
        Answer::Status(429, Some("1")),
        Answer::Status(503, None),
        Answer::Broken,
        Answer::Stream("done"),
    ];
    let (script, base) = Script::start(&answers).await;
    let began = Instant::now();
    let (ended, stats) = run(TEXT, &base, json!({ "prompt": "x" })).await;
    assert_eq!(ended.unwrap()[0].1, json!("done"));
    assert!(began.elapsed() >= Duration::from_secs(1));
    assert_eq!((script.seen().len(), stats.llm_retry_count), (4, 3));
}

#[tokio::test]
async fn what_will_not_pass_fails_at_once_with_the_services_words() {
    let (script, base) = Script::start(&[Answer::Status(401, None), Answer::Stream("never")]).await;
    let (kind, text) = run(TEXT, &base, json!({ "prompt": "x" })).await.0.unwrap_err();
    assert_eq!((kind, script.seen().len()), (BlockErrorKind::Unknown, 1));
    assert!(text.contains("401") && text.contains("not now") && !text.contains("hush"), "{text}");
}

#[tokio::test]
async fn credentials_of_another_provider_are_refused() {
    let (script, base) = Script::start(&[Answer::Stream("never")]).await;
    let (ended, _) = run(TEXT, &base, json!({ "prompt": "x", "model": "deepseek-chat" })).await;
    assert!(ended.unwrap_err().1.contains("Invalid credentials"));
    assert!(script.seen().is_empty());
}

#[tokio::test]
async fn an_answer_in_the_wrong_form_is_asked_for_again() {
    let answers = [
        Answer::Stream("no idea"),
        Answer::Stream("{\"name\": \"x\"}"),
        Answer::Stream("```json\n{\"name\": \"x\", \"age\": 3}\n```"),
    ];
    let (script, base) = Script::start(&answers).await;
    let input = json!({ "prompt": "who?", "expected_format": { "name": "their name", "age": "their age" }, "force_json_output": true });
    let (ended, stats) = run(STRUCTURED, &base, input.clone()).await;
    assert_eq!(ended.unwrap()[0], ("response".to_owned(), json!({ "name": "x", "age": 3 })));
    let seen = script.seen();
    assert_eq!((seen.len(), stats.llm_call_count), (3, 3));
    assert_eq!(seen[0].1["response_format"], json!({ "type": "json_object" }));
    assert!(
        seen[2].1["messages"].as_array().unwrap().last().unwrap()["content"]
            .as_str()
            .unwrap()
            .contains("missing: age")
    );

    let (_, base) = Script::start(&[Answer::Stream("no"), Answer::Stream("no")]).await;
    let mut hopeless = input;
    hopeless["retry"] = json!(2);
    assert!(
        run(STRUCTURED, &base, hopeless)
            .await
            .0
            .unwrap_err()
            .1
            .contains("no usable answer in 2 attempts")
    );
}

#[tokio::test]
async fn a_list_is_a_list_and_no_format_is_text() {
    let (_, base) = Script::start(&[Answer::Stream("[{\"a\": 1}, {\"a\": 2}]"), Answer::Stream("free")]).await;
    let list = json!({ "prompt": "x", "expected_format": { "a": "a number" }, "list_result": true });
    assert_eq!(run(STRUCTURED, &base, list).await.0.unwrap()[0].1, json!([{ "a": 1 }, { "a": 2 }]));
    let free = json!({ "prompt": "x", "expected_format": {} });
    assert_eq!(run(STRUCTURED, &base, free).await.0.unwrap()[0].1, json!("free"));
}

#[test]
fn models_have_their_prices_in_the_one_list() {
    let prices = PriceList::standard();
    let charge = |model: &str| prices.charge(TEXT, json!({ "model": model }).as_object().unwrap());
    assert_eq!(
        (charge("gpt-4o-mini"), charge("claude-opus-4-1-20250805"), charge("deepseek-chat")),
        (1, 12, 0)
    );
    assert!(prices.of(STRUCTURED).iter().all(|cost| (1..=21).contains(&cost.cost_amount)));
}
