//! What asks the platform's model, against a server that speaks the protocol of chat completions: the chat, and the scoring of runs.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use axum::routing::post;
use axum::{Json, Router};
use http::{Method, StatusCode};
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

/// A model that says what it was given to say.
#[derive(Clone, Default)]
struct Model {
    answers: Arc<Mutex<VecDeque<&'static str>>>,
    asked: Arc<Mutex<Vec<Value>>>,
}

impl Model {
    /// The model, and a service that asks it.
    async fn start(answers: &[&'static str]) -> (Self, TestApp) {
        let model = Self::default();
        model.answers.lock().unwrap().extend(answers);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let base = format!("http://{}/v1", listener.local_addr().unwrap());
        let router = Router::new().route("/v1/chat/completions", post(complete)).with_state(model.clone());
        tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
        let app = TestApp::builder().set("CHAT_BASE_URL", &base).set("CHAT_MODEL", "small");
        (model, app.set("CHAT_API_KEY", "hush").start().await)
    }

    /// The contents of the messages that the model was sent last.
    fn heard(&self) -> Vec<String> {
        let asked = self.asked.lock().unwrap();
        let messages = asked.last().unwrap()["messages"].as_array().unwrap().iter();
        messages.map(|message| text(message, "content").to_owned()).collect()
    }
}

/// Streams the next answer in two pieces; without one the model is broken.
async fn complete(State(model): State<Model>, Json(asked): Json<Value>) -> Response {
    model.asked.lock().unwrap().push(asked);
    let Some(answer) = model.answers.lock().unwrap().pop_front() else {
        return (StatusCode::BAD_REQUEST, Json(json!({"error": {"message": "no more"}}))).into_response();
    };
    let (first, second) = answer.split_at(answer.len() / 2);
    let piece = |piece: Value| format!("data: {piece}\n\n");
    let said = |words: &str| piece(json!({"choices": [{"delta": {"content": words}}]}));
    let usage = piece(json!({"choices": [], "usage": {"prompt_tokens": 7, "completion_tokens": 5}}));
    let body = format!("{}{}{usage}data: [DONE]\n\n", said(first), said(second));
    ([("content-type", "text/event-stream")], body).into_response()
}

async fn begun(app: &TestApp, user: &TestUser) -> String {
    let session = app.request(Method::POST, "/api/chat/sessions").by(user).raw("null").send().await;
    assert_eq!(session.status, 200, "{}", session.text);
    assert_eq!(session.body["user_id"], user.id.to_string());
    text(&session.body, "id").to_owned()
}

/// Says something; the frames of the answer without their times.
async fn say(app: &TestApp, user: &TestUser, session: &str, message: &str) -> Vec<Value> {
    let path = format!("/api/chat/sessions/{session}/stream?message={message}");
    let answer = app.request(Method::GET, &path).by(user).send().await;
    assert_eq!((answer.status.as_u16(), answer.header("content-type")), (200, "text/event-stream"));
    let frames = answer.text.split("\n\n").filter_map(|frame| frame.strip_prefix("data: "));
    let frames = frames.map(|frame| {
        let mut frame: Value = serde_json::from_str(frame).unwrap();
        let time = frame.as_object_mut().unwrap().shift_remove("timestamp").unwrap();
        assert!(time.as_str().unwrap().ends_with('Z'));
        frame
    });
    frames.collect()
}

#[tokio::test]
async fn the_chat_answers_as_the_model_speaks_and_remembers() {
    let (model, app) = Model::start(&["Hello, Ada!", "Again."]).await;
    let user = TestUser::new();
    app.graph(&user, json!({"name": "Greeter", "description": "Greets people", "nodes": []}))
        .await;
    let session = begun(&app, &user).await;
    let frames = say(&app, &user, &session, "Hi%20there").await;
    let (words, end): (Vec<Value>, Vec<Value>) = frames.into_iter().partition(|frame| frame["type"] == "text_chunk");
    // How many pieces it comes in is the network's choice.
    assert_eq!(words.iter().map(|frame| text(frame, "content")).collect::<String>(), "Hello, Ada!");
    assert_eq!(
        json!(end),
        json!([
            {"type": "text_ended"},
            {"type": "usage", "prompt_tokens": 7, "completion_tokens": 5, "total_tokens": 12},
            {"type": "stream_end"},
        ])
    );
    let heard = model.heard();
    assert!(
        heard.len() == 2 && heard[0].contains("- Greeter: Greets people") && heard[1] == "Hi there",
        "{heard:?}"
    );
    assert_eq!(model.asked.lock().unwrap()[0]["model"], "small");

    say(&app, &user, &session, "And%20now").await;
    assert_eq!(model.heard()[1..], ["Hi there", "Hello, Ada!", "And now"]);
    let kept = app.get(&user, &format!("/api/chat/sessions/{session}")).await;
    let messages = [
        ("user", "Hi there"),
        ("assistant", "Hello, Ada!"),
        ("user", "And now"),
        ("assistant", "Again."),
    ];
    let messages = messages.map(|(role, content)| json!({"role": role, "content": content}));
    assert_eq!(kept.body["messages"], json!(messages), "{}", kept.text);
    assert!(text(&kept.body, "updated_at") > text(&kept.body, "created_at"));

    // A model that fails is told in the stream; what the user said is kept.
    let failed = say(&app, &user, &session, "More").await;
    assert_eq!((&failed[0]["type"], &failed[1]), (&json!("error"), &json!({"type": "stream_end"})));
    assert!(text(&failed[0], "message").contains("no more"), "{failed:?}");
    let kept = app.get(&user, &format!("/api/chat/sessions/{session}")).await.body;
    assert_eq!(kept["messages"].as_array().unwrap().len(), 5);
}

#[tokio::test]
async fn a_conversation_is_its_users_and_its_messages_have_bounds() {
    let (model, app) = Model::start(&["x"]).await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let session = begun(&app, &user).await;
    let path = format!("/api/chat/sessions/{session}");
    let assign = |by: &TestUser| app.request(Method::PATCH, &format!("{path}/assign-user")).by(by).send();
    assert_eq!(assign(&user).await.body, json!({"status": "ok"}));
    assert_eq!(assign(&stranger).await.status, 404);
    for path in [
        path.clone(),
        format!("{path}/stream?message=x"),
        format!("/api/chat/sessions/{}", Uuid::new_v4()),
        "/api/chat/sessions/x".to_owned(),
    ] {
        assert_eq!(app.get(&stranger, &path).await.status, 404, "{path}");
    }
    let long = "x".repeat(10_001);
    for query in ["", "?message=", &format!("?message={long}"), "?message=x&is_user_message=perhaps"] {
        let refused = app.get(&user, &format!("{path}/stream{query}")).await;
        assert_eq!(refused.status, 422, "{}", refused.text);
        assert_eq!(refused.body["detail"][0]["loc"][0], "query");
    }
    assert!(model.asked.lock().unwrap().is_empty());
    assert_eq!(app.request(Method::GET, "/api/chat/health").send().await.body["status"], "healthy");
}

#[tokio::test]
async fn runs_are_scored_once_and_the_scores_stay_with_them() {
    const VERDICT: &str = r#"{"activity_status": "It was stopped.", "correctness_score": 0.25}"#;
    let (model, app) = Model::start(&["no JSON", VERDICT]).await;
    let (user, admin) = (TestUser::new(), TestUser::with(json!({"role": "admin"})));
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({"x": "the input"})).await;
    let run_path = format!("/api/graphs/{}/executions/{}", text(&graph, "id"), text(&run, "id"));
    let path = "/api/executions/admin/execution_analytics";
    let asked = json!({"graph_id": graph["id"], "user_prompt": "{{GRAPH_NAME}}: {{EXECUTION_DATA}}"});
    let nothing = app.post(&admin, path, asked.clone()).await;
    assert_eq!(nothing.body["total_executions"], 0, "the run is not over: {}", nothing.text);
    assert_eq!(app.post(&user, &format!("{run_path}/stop"), Value::Null).await.status, 200);

    let config = app.get(&admin, &format!("{path}/config")).await.body;
    assert_eq!(
        (&config["recommended_model"], &config["available_models"][0]["value"]),
        (&json!("small"), &json!("small"))
    );
    let counts = |reply: &Value| {
        let names = [
            "total_executions",
            "processed_executions",
            "successful_analytics",
            "failed_analytics",
            "skipped_executions",
        ];
        json!(names.map(|name| reply[name].clone()))
    };
    let failed = app.post(&admin, path, asked.clone()).await.body;
    assert_eq!(
        (counts(&failed), &failed["results"][0]["status"]),
        (json!([1, 1, 0, 1, 0]), &json!("failed"))
    );
    let scored = app.post(&admin, path, asked.clone()).await.body;
    assert_eq!(counts(&scored), json!([1, 1, 1, 0, 0]), "{scored:#}");
    let result = &scored["results"][0];
    assert_eq!(
        (&result["exec_id"], &result["summary_text"], &result["score"], &result["status"]),
        (&run["id"], &json!("It was stopped."), &json!(0.25), &json!("success"))
    );
    let heard = model.heard();
    assert!(
        heard[0].contains("correctness_score") && heard[1].contains("the input") && heard[1].contains("TERMINATED"),
        "{heard:?}"
    );
    let stats = app.get(&user, &run_path).await.body["stats"].clone();
    assert_eq!(
        (&stats["activity_status"], &stats["correctness_score"]),
        (&json!("It was stopped."), &json!(0.25))
    );
    let skipped = app.post(&admin, path, asked).await.body;
    assert_eq!(
        (counts(&skipped), &skipped["results"][0]["score"]),
        (json!([1, 0, 0, 0, 1]), &json!(0.25))
    );

    for (by, body, status) in [
        (&user, json!({"graph_id": graph["id"]}), 403),
        (&admin, json!({}), 422),
        (&admin, json!({"graph_id": graph["id"], "batch_size": 26}), 422),
        (&admin, json!({"graph_id": graph["id"], "created_after": "then"}), 422),
        (&admin, json!({"graph_id": graph["id"], "model_name": "large"}), 400),
        (&admin, json!({"graph_id": "x"}), 200),
        (&admin, json!({"graph_id": graph["id"], "user_id": "x"}), 200),
    ] {
        let answer = app.post(by, path, body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {}", answer.text);
        assert!(status != 200 || answer.body["total_executions"] == 0, "{}", answer.text);
    }
}

#[tokio::test]
async fn without_a_model_nothing_of_it_is_there() {
    let app = TestApp::start().await;
    let (user, admin) = (TestUser::new(), TestUser::with(json!({"role": "admin"})));
    let chat = app.post(&user, "/api/chat/sessions", Value::Null).await;
    let scores = app.get(&admin, "/api/executions/admin/execution_analytics/config").await;
    let health = app.request(Method::GET, "/api/chat/health").send().await;
    for answer in [chat, scores, health] {
        assert_eq!(answer.status, 501, "{}", answer.text);
        assert!(text(&answer.body, "detail").contains("CHAT_BASE_URL"), "{}", answer.text);
    }
}
