//! Runs: accepted, listed, looked at, stopped, hidden. No executor works here, so they stay QUEUED.

use std::collections::HashSet;

use http::Method;
use rpc::{RpcError, RpcErrorKind};
use serde_json::{Value, json};

use crate::app::{TestApp, TestUser, text};
use crate::graphs::{echo, incomplete};

fn execute_path(graph: &Value) -> String {
    format!("/api/graphs/{}/execute/{}", text(graph, "id"), graph["version"])
}

fn run_path(run: &Value) -> String {
    format!("/api/graphs/{}/executions/{}", text(run, "graph_id"), text(run, "id"))
}

#[tokio::test]
async fn a_run_is_queued_with_its_starting_nodes() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({"x": 5})).await;
    assert_eq!(
        (&run["status"], &run["stats"], &run["inputs"]),
        (&json!("QUEUED"), &Value::Null, &json!({"x": 5}))
    );
    assert_eq!((&run["nodes_input_masks"], &run["credential_inputs"]), (&json!({}), &Value::Null));
    assert!(text(&run, "started_at").ends_with('Z') && text(&run, "ended_at").ends_with('Z'));

    let detail = app.get(&user, &run_path(&run)).await.body;
    assert_eq!(
        (&detail["id"], &detail["status"], &detail["outputs"]),
        (&run["id"], &json!("QUEUED"), &json!({}))
    );
    assert_eq!(
        (&detail["waiting_reason"], &detail["waiting_until"]),
        (&json!("waiting_for_executor"), &Value::Null)
    );
    let nodes = detail["node_executions"].as_array().unwrap();
    assert_eq!(nodes.len(), 1);
    assert_eq!(
        (&nodes[0]["status"], &nodes[0]["block_id"]),
        (&json!("QUEUED"), &json!(crate::graphs::INPUT))
    );
}

#[tokio::test]
async fn a_run_belongs_to_the_trace_of_its_caller() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let trace = "4bf92f3577b34da6a3ce929d0e0e4736";
    let execute = app.request(Method::POST, &execute_path(&graph)).by(&user);
    let answer = execute
        .header("traceparent", &format!("00-{trace}-00f067aa0ba902b7-01"))
        .json(&json!({"inputs": {"x": 5}}))
        .send()
        .await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    app.run(&user, &graph, json!({"x": 5})).await;
    let announced = app.store.take_outbox().await.unwrap().unwrap();
    let traces: Vec<&str> = announced.traceparents.iter().flatten().filter_map(|parent| parent.get(3..35)).collect();
    assert_eq!((traces.len(), traces[0]), (2, trace));
    assert_ne!(traces[1], trace, "who brings no trace begins one");
}

#[tokio::test]
async fn the_same_key_is_the_same_run_of_this_user_and_graph() {
    let app = TestApp::start().await;
    let (user, other) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let execute = async |user: &TestUser, graph: &Value, key: &str| {
        let request = app.request(Method::POST, &execute_path(graph)).by(user).header("idempotency-key", key);
        request.json(&json!({"inputs": {"x": 5}})).send().await
    };
    let first = execute(&user, &graph, "an order").await;
    assert_eq!(first.status, 200, "{}", first.text);
    let again = execute(&user, &graph, "an order").await;
    assert_eq!((again.status.as_u16(), &again.body["id"]), (200, &first.body["id"]));
    assert_eq!(app.store.outbox_length().await.unwrap(), 1);

    let mut ids = HashSet::from([text(&first.body, "id").to_owned()]);
    let (another, of_other) = (app.graph(&user, echo()).await, app.graph(&other, echo()).await);
    for (user, graph, key) in [
        (&user, &graph, "another order"),
        (&user, &another, "an order"),
        (&other, &of_other, "an order"),
    ] {
        let answer = execute(user, graph, key).await;
        assert!(ids.insert(text(&answer.body, "id").to_owned()), "{}", answer.text);
    }
    for key in ["", &"x".repeat(256)] {
        assert_eq!(execute(&user, &graph, key).await.status, 400);
    }
}

#[tokio::test]
async fn inputs_may_be_left_out_in_every_way() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let mut graph = echo();
    graph["nodes"][0]["input_default"]["value"] = json!("default");
    let graph = app.graph(&user, graph).await;
    for body in ["", "null", "{}", r#"{"inputs":{}}"#, r#"{"credentials_inputs":{}}"#] {
        let answer = app.request(Method::POST, &execute_path(&graph)).by(&user).raw(body).send().await;
        assert_eq!(answer.status, 200, "{body:?}: {}", answer.text);
    }
}

#[tokio::test]
async fn a_graph_that_is_not_ready_to_run_is_refused_field_by_field() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, incomplete()).await;
    let answer = app.post(&user, &execute_path(&graph), json!({})).await;
    let node = text(&graph["nodes"][0], "id");
    let expected = json!({
        "type": "validation_error",
        "message": "Graph validation failed: 2 issues on 1 nodes",
        "node_errors": {node: {"operation": "This field is required", "b": "This field is required"}},
    });
    assert_eq!(answer.refusal(), (400, &expected));
    assert!(answer.body.get("message").is_none(), "an explicit error has no generic frame");
}

#[tokio::test]
async fn graphs_that_may_not_run_are_refused_by_reason() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let id = text(&graph, "id");
    let status = async |user: &TestUser, path: String| app.post(user, &path, json!({})).await.status.as_u16();
    assert_eq!(status(&user, format!("/api/graphs/{}/execute/1", uuid::Uuid::new_v4())).await, 400);
    assert_eq!(status(&user, "/api/graphs/nope/execute/1".to_owned()).await, 400);
    assert_eq!(status(&user, format!("/api/graphs/{id}/execute/7")).await, 400);
    assert_eq!(status(&user, format!("/api/graphs/{id}/execute/null")).await, 422);
    assert_eq!(status(&TestUser::new(), format!("/api/graphs/{id}/execute/1")).await, 403);
    let wrong = app
        .post(
            &user,
            &execute_path(&graph),
            json!({"inputs": [], "credentials_inputs": {"k": {"id": "1"}}}),
        )
        .await;
    let places: Vec<_> = wrong.body["detail"]
        .as_array()
        .unwrap()
        .iter()
        .map(|problem| problem["loc"].to_string())
        .collect();
    assert_eq!(
        places,
        [
            r#"["body","inputs"]"#,
            r#"["body","credentials_inputs","k","provider"]"#,
            r#"["body","credentials_inputs","k","type"]"#
        ]
    );
}

#[tokio::test]
async fn without_credits_nothing_runs() {
    let app = TestApp::builder()
        .set("ENABLE_CREDIT", "true")
        .set("NUM_USER_CREDITS_REFILL", "0")
        .start()
        .await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let answer = app.post(&user, &execute_path(&graph), json!({})).await;
    assert_eq!(answer.status, 402);
    assert!(answer.body["detail"].is_string());
    // The balance is looked at before the graph.
    for nothing in [
        format!("/api/graphs/{}/execute/1", uuid::Uuid::new_v4()),
        "/api/graphs/nope/execute/1".to_owned(),
    ] {
        let answer = app.post(&user, &nothing, json!({})).await;
        assert_eq!(answer.status, 402, "{nothing}: {}", answer.text);
    }
    app.store.book_credits(user.id, "grant", "GRANT", 1, &Value::Null).await.unwrap();
    app.run(&user, &graph, json!({"x": 1})).await;
}

#[tokio::test]
async fn runs_are_listed_newest_first_and_by_page() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let (graph, other) = (app.graph(&user, echo()).await, app.graph(&user, echo()).await);
    let mut ids = Vec::new();
    for x in 0..3 {
        ids.push(app.run(&user, &graph, json!({ "x": x })).await["id"].clone());
    }
    ids.push(app.run(&user, &other, json!({})).await["id"].clone());
    ids.reverse();
    let listed = |body: &Value| body.as_array().unwrap().iter().map(|run| run["id"].clone()).collect::<Vec<_>>();
    assert_eq!(listed(&app.get(&user, "/api/executions").await.body), ids);

    let path = format!("/api/graphs/{}/executions", text(&graph, "id"));
    let page = app.get(&user, &format!("{path}?page=2&page_size=2")).await.body;
    assert_eq!(listed(&page["executions"]), ids[3..]);
    assert_eq!(
        page["pagination"],
        json!({"total_items": 3, "total_pages": 2, "current_page": 2, "page_size": 2})
    );
    let page = app.get(&user, &path).await.body;
    assert_eq!(
        page["pagination"],
        json!({"total_items": 3, "total_pages": 1, "current_page": 1, "page_size": 25})
    );
    assert_eq!(app.get(&TestUser::new(), &path).await.body["executions"], json!([]));

    for (query, place, kind) in [
        ("page=0", "page", "greater_than_equal"),
        ("page_size=101", "page_size", "less_than_equal"),
        ("page_size=x", "page_size", "int_parsing"),
    ] {
        let answer = app.get(&user, &format!("{path}?{query}")).await;
        assert_eq!(answer.status, 422);
        assert_eq!(
            (&answer.body["detail"][0]["loc"], &answer.body["detail"][0]["type"]),
            (&json!(["query", place]), &json!(kind))
        );
    }
}

#[tokio::test]
async fn runs_of_others_and_under_the_wrong_graph_are_not_found() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let (graph, other) = (app.graph(&user, echo()).await, app.graph(&user, echo()).await);
    let run = app.run(&user, &graph, json!({})).await;
    let stranger = TestUser::new();
    assert_eq!(app.get(&stranger, &run_path(&run)).await.status, 404);
    let misplaced = format!("/api/graphs/{}/executions/{}", text(&other, "id"), text(&run, "id"));
    assert_eq!(app.get(&user, &misplaced).await.status, 404);
    assert_eq!(
        app.get(&user, &format!("/api/graphs/{}/executions/nope", text(&graph, "id")))
            .await
            .status,
        404
    );

    let stop = app
        .request(Method::POST, &format!("{}/stop", run_path(&run)))
        .by(&stranger)
        .raw("null")
        .send()
        .await;
    assert_eq!((stop.status.as_u16(), stop.text.as_str()), (200, "null"));
    let delete = app
        .request(Method::DELETE, &format!("/api/executions/{}", text(&run, "id")))
        .by(&stranger)
        .send()
        .await;
    assert_eq!(delete.status, 404);
    assert_eq!(app.get(&user, &run_path(&run)).await.body["status"], "QUEUED");
}

#[tokio::test]
async fn a_stop_answers_with_the_run_as_it_was() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({})).await;
    let stop = format!("{}/stop", run_path(&run));
    // The frontend's proxy sends the literal null.
    let answer = app.request(Method::POST, &stop).by(&user).raw("null").send().await;
    assert_eq!(
        (answer.status.as_u16(), &answer.body["status"]),
        (200, &json!("QUEUED")),
        "{}",
        answer.text
    );
    assert_eq!(app.get(&user, &run_path(&run)).await.body["status"], "TERMINATED");
    let again = app.request(Method::POST, &stop).by(&user).send().await;
    assert_eq!((again.status.as_u16(), again.text.as_str()), (200, "null"));
}

#[tokio::test]
async fn a_stop_without_a_scheduler_says_so() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({})).await;
    app.scheduler
        .fail_next(RpcError::new(RpcErrorKind::Connection, "no scheduler at http://localhost:8003"));
    let answer = app.request(Method::POST, &format!("{}/stop", run_path(&run))).by(&user).send().await;
    let told = "A service that is needed for it does not answer: try again in a moment";
    assert_eq!(answer.refusal(), (503, &json!(told)), "and nothing of where it is");
}

#[tokio::test]
async fn a_deleted_run_is_gone_from_every_list() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({})).await;
    let path = format!("/api/executions/{}", text(&run, "id"));
    let answer = app.request(Method::DELETE, &path).by(&user).send().await;
    assert_eq!((answer.status.as_u16(), answer.bytes.len()), (204, 0));
    assert_eq!(app.get(&user, "/api/executions").await.body, json!([]));
    assert_eq!(app.get(&user, &run_path(&run)).await.status, 404);
    for path in [path.as_str(), "/api/executions/nope"] {
        let again = app.request(Method::DELETE, path).by(&user).send().await;
        assert_eq!(again.status, 404);
        assert_eq!(again.body["message"], json!(format!("Failed to process DELETE {path}")));
    }
}

/// The names and ids of the next events of a stream.
async fn told(stream: &mut reqwest::Response, text: &mut String, count: usize) -> Vec<(String, Option<i64>)> {
    let whole = |text: &str| text.matches("\n\n").count() >= count;
    while !whole(text) {
        let chunk = tokio::time::timeout(std::time::Duration::from_secs(20), stream.chunk()).await;
        let Some(chunk) = chunk.unwrap().unwrap() else { break };
        text.push_str(std::str::from_utf8(&chunk).unwrap());
    }
    let field = |event: &str, name: &str| {
        let line = event.lines().find_map(|line| line.strip_prefix(name));
        line.map(|value| value.trim().to_owned())
    };
    let events = text.split("\n\n").filter(|event| event.contains("data:"));
    events
        .map(|event| (field(event, "event:").unwrap(), field(event, "id:").and_then(|id| id.parse().ok())))
        .collect()
}

#[tokio::test]
async fn a_run_can_be_followed_as_server_sent_events_until_it_is_over() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({"x": 5})).await;
    let path = format!("{}/events", run_path(&run));
    for (caller, path) in [(&stranger, path.clone()), (&user, path.replace(text(&run, "graph_id"), text(&run, "id")))] {
        assert_eq!(app.get(caller, &path).await.status, 404, "{path}");
    }
    let mut stream = app.stream(&user, &path).await;
    assert_eq!(stream.headers()["content-type"], "text/event-stream");
    let mut heard = String::new();
    let events = told(&mut stream, &mut heard, 2).await;
    assert_eq!(
        events,
        [("node_execution_event".to_owned(), None), ("graph_execution_event".to_owned(), Some(0))]
    );

    let channel = format!(
        "execution_event/{}/{}/{}",
        text(&run, "user_id"),
        text(&run, "graph_id"),
        text(&run, "id")
    );
    let ended = json!({"payload": {"event_type": "graph_execution_update", "id": run["id"], "status": "COMPLETED"}, "seq": 3, "prev": 2});
    app.publish(channel, &ended).await;
    let events = told(&mut stream, &mut heard, 3).await;
    assert_eq!(events[2], ("graph_execution_event".to_owned(), Some(3)));
    assert!(
        tokio::time::timeout(std::time::Duration::from_secs(20), stream.chunk())
            .await
            .unwrap()
            .unwrap()
            .is_none(),
        "the stream ends with the run"
    );
}

/// As many streams of one user as one process has.
const STREAMS_PER_USER: usize = 100;

#[tokio::test]
async fn one_user_does_not_take_all_the_streams() {
    let app = TestApp::start().await;
    let (greedy, other) = (TestUser::new(), TestUser::new());
    let mut paths = Vec::new();
    for user in [&greedy, &other] {
        let graph = app.graph(user, echo()).await;
        let run = app.run(user, &graph, json!({})).await;
        paths.push(format!("{}/events", run_path(&run)));
    }
    let mut streams = Vec::new();
    for _ in 0..STREAMS_PER_USER {
        let stream = app.stream(&greedy, &paths[0]).await;
        assert_eq!(stream.status(), 200, "stream {}", streams.len());
        streams.push(stream);
    }
    let one_more = tokio::time::timeout(std::time::Duration::from_secs(20), app.stream(&greedy, &paths[0])).await;
    assert_eq!(one_more.unwrap().status(), 429);
    assert_eq!(app.stream(&other, &paths[1]).await.status(), 200);
    // A place is free again once its client has gone.
    streams.pop();
    let mut freed = 429;
    for _ in 0..300 {
        freed = app.stream(&greedy, &paths[0]).await.status().as_u16();
        if freed == 200 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    assert_eq!(freed, 200);
}

#[tokio::test]
async fn a_stream_ends_with_the_token_that_it_was_asked_for_with() {
    let app = TestApp::start().await;
    let expiry = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 6;
    let user = TestUser::with(json!({ "exp": expiry }));
    let graph = app.graph(&user, echo()).await;
    let run = app.run(&user, &graph, json!({})).await;
    let mut stream = app.stream(&user, &format!("{}/events", run_path(&run))).await;
    assert_eq!(stream.status(), 200);
    let to_its_end = async { while stream.chunk().await.unwrap().is_some() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), to_its_end)
        .await
        .expect("the stream goes on without a valid token");
}
