//! Questions that are passed on to a service elsewhere.

use std::sync::{Arc, Mutex};

use axum::Json;
use axum::extract::State;
use axum::routing::post;
use http::StatusCode;
use serde_json::{Value, json};
use tokio::net::TcpListener;

use crate::app::{TestApp, TestUser, text};

type Heard = Arc<Mutex<Vec<Value>>>;

/// A service that answers with the query as the answer; with what it was asked. A query that is a number is answered with that status.
async fn service() -> (String, Heard) {
    let heard = Heard::default();
    let answer = async |State(heard): State<Heard>, Json(asked): Json<Value>| {
        let query = asked["query"].as_str().unwrap().to_owned();
        heard.lock().unwrap().push(asked);
        let status = query.parse().unwrap_or(StatusCode::OK);
        let documents = json!([{"url": "https://docs.example.test/a", "relevance_score": 0.5, "more": 1}]);
        let whole = json!({"answer": query, "documents": documents, "success": true});
        (status, Json(if query == "nonsense" { json!({"answer": 1}) } else { whole }))
    };
    let router = axum::Router::new().route("/ask", post(answer)).with_state(heard.clone());
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/ask", listener.local_addr().unwrap());
    tokio::spawn(async move { axum::serve(listener, router).await.unwrap() });
    (url, heard)
}

fn question(query: &str, graph_id: Value) -> Value {
    let history = json!([{"query": "before", "response": "so"}]);
    json!({"query": query, "conversation_history": history, "message_id": "m1", "include_graph_data": true, "graph_id": graph_id})
}

#[tokio::test]
async fn questions_are_passed_on_with_the_graph_that_the_caller_may_see() {
    let (url, heard) = service().await;
    let app = TestApp::builder().set("OTTO_API_URL", &url).start().await;
    let (user, other) = (TestUser::new(), TestUser::new());
    let node = json!({"id": "n", "block_id": crate::graphs::OUTPUT, "input_default": {"name": "y"}});
    let graph = app.graph(&user, json!({"name": "mine", "description": "d", "nodes": [node]})).await;
    let answer = app.post(&user, "/api/otto/ask", question("how?", graph["id"].clone())).await;
    let documents = json!([{"url": "https://docs.example.test/a", "relevance_score": 0.5}]);
    assert_eq!(
        answer.body,
        json!({"answer": "how?", "documents": documents, "success": true}),
        "{}",
        answer.text
    );
    for (asker, graph_id) in [(&other, graph["id"].clone()), (&user, json!("none")), (&user, Value::Null)] {
        assert_eq!(app.post(asker, "/api/otto/ask", question("how?", graph_id)).await.status, 200);
    }
    let heard = heard.lock().unwrap().clone();
    let seen: Vec<Value> = heard.iter().map(|asked| asked["graph_data"]["name"].clone()).collect();
    assert_eq!(seen, [json!("mine"), Value::Null, Value::Null, Value::Null]);
    assert_eq!(
        (text(&heard[0], "user_id"), text(&heard[0], "message_id")),
        (user.id.to_string().as_str(), "m1")
    );
    assert_eq!(heard[0]["conversation_history"], json!([{"query": "before", "response": "so"}]));
    assert_eq!(heard[0]["graph_data"]["user_id"], "", "as an export");
}

#[tokio::test]
async fn whatever_goes_wrong_there_is_502() {
    let (url, _) = service().await;
    let app = TestApp::builder().set("OTTO_API_URL", &url).start().await;
    let user = TestUser::new();
    for query in ["500", "401", "nonsense"] {
        assert_eq!(
            app.post(&user, "/api/otto/ask", question(query, Value::Null)).await.status,
            502,
            "{query}"
        );
    }
    assert_eq!(app.post(&user, "/api/otto/ask", json!({"query": "x"})).await.status, 422);
    let nobody = TestApp::builder().set("OTTO_API_URL", "http://127.0.0.1:1/ask").start().await;
    assert_eq!(nobody.post(&user, "/api/otto/ask", question("x", Value::Null)).await.status, 502);
    let none = TestApp::start().await;
    assert_eq!(none.post(&user, "/api/otto/ask", question("x", Value::Null)).await.status, 501);
}
