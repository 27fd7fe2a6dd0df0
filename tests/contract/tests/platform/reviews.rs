//! A run that waits for a person (internals §2.14).

use std::time::Duration;

use contract_tests::client::{Client, status};
use contract_tests::graphs;
use serde_json::{Value, json};
use uuid::Uuid;

use crate::app::app;

const SOON: Duration = Duration::from_secs(20);

/// A run that rests in REVIEW, and the review for which it waits.
struct Waiting {
    user: Client,
    graph: Uuid,
    run: Uuid,
    review: Value,
}

impl Waiting {
    async fn new(data: Value) -> Self {
        let user = app().user().await;
        let graph = user.create_graph(&graphs::reviewed(true)).await;
        let run = user.execute(graph, json!({ "draft": data })).await;
        let execution = user.finished(graph, run, SOON).await;
        assert_eq!(status(&execution), "REVIEW", "{execution:#}");
        // The other branch is done (finding 18).
        assert_eq!(execution["outputs"], json!({ "draft": [data] }));
        let listed = user.get(&format!("/api/review/execution/{run}")).await;
        assert_eq!((listed.status, listed.body.as_array().map(Vec::len)), (200, Some(1)), "{listed:?}");
        assert_eq!(user.get("/api/review/pending").await.body, listed.body);
        let review = listed.body[0].clone();
        assert_eq!((&review["payload"], &review["instructions"]), (&data, &json!("The draft")));
        Self { user, graph, run, review }
    }

    async fn act(&self, mut item: Value) -> Value {
        item["node_exec_id"] = self.review["node_exec_id"].clone();
        let answer = self.user.post("/api/review/action", &json!({ "reviews": [item] })).await;
        assert_eq!(answer.status, 200, "{answer:?}");
        answer.body
    }

    async fn completed(&self) -> Value {
        let execution = self
            .user
            .wait_for(self.graph, self.run, SOON, |execution| status(execution) == "COMPLETED")
            .await;
        assert_eq!(self.user.get("/api/review/pending").await.body, json!([]));
        execution
    }
}

#[tokio::test]
async fn an_approved_review_lets_the_run_go_on_with_the_edited_data() {
    let waiting = Waiting::new(json!({ "text": "hello" })).await;
    let reply = waiting
        .act(json!({"approved": true, "message": "better so", "reviewed_data": {"text": "Hello!"}}))
        .await;
    assert_eq!(reply, json!({"approved_count": 1, "rejected_count": 0, "failed_count": 0, "error": null}));
    let execution = waiting.completed().await;
    assert_eq!(
        execution["outputs"],
        json!({"draft": [{"text": "hello"}], "final": [{"text": "Hello!"}], "status": ["approved"], "message": ["better so"]})
    );
    assert_eq!(execution["stats"]["node_error_count"], 0);
    assert_eq!(waiting.act(json!({"approved": false})).await["failed_count"], 1);
}

#[tokio::test]
async fn a_rejected_review_lets_the_run_go_on_without_data() {
    let waiting = Waiting::new(json!("draft")).await;
    let reply = waiting.act(json!({"approved": false})).await;
    assert_eq!(reply["rejected_count"], 1, "{reply}");
    let execution = waiting.completed().await;
    assert_eq!(execution["outputs"], json!({"draft": ["draft"], "status": ["rejected"]}));
}

#[tokio::test]
async fn a_run_that_waits_for_a_person_can_be_stopped() {
    let waiting = Waiting::new(json!(1)).await;
    let (graph, run) = (waiting.graph, waiting.run);
    let stopped = waiting.user.post(&format!("/api/graphs/{graph}/executions/{run}/stop"), &json!({})).await;
    assert_eq!((stopped.status, &stopped.body["status"]), (200, &json!("REVIEW")), "{stopped:?}");
    let execution = waiting.user.execution(graph, run).await;
    assert_eq!(status(&execution), "TERMINATED", "{execution:#}");
    let nodes = execution["node_executions"].as_array().expect("node executions");
    assert!(nodes.iter().all(|node| node["status"] != "REVIEW"), "{execution:#}");
    assert_eq!(waiting.user.get("/api/review/pending").await.body, json!([]));
    assert_eq!(waiting.act(json!({"approved": true})).await["failed_count"], 1);
}

#[tokio::test]
async fn a_review_of_somebody_else_is_neither_seen_nor_decided() {
    let waiting = Waiting::new(json!(1)).await;
    let stranger = app().user().await;
    assert_eq!(stranger.get("/api/review/pending").await.body, json!([]));
    assert_eq!(stranger.get(&format!("/api/review/execution/{}", waiting.run)).await.status, 403);
    let item = json!({"node_exec_id": waiting.review["node_exec_id"], "approved": true});
    let answer = stranger.post("/api/review/action", &json!({ "reviews": [item] })).await;
    assert_eq!((answer.status, &answer.body["failed_count"]), (200, &json!(1)), "{answer:?}");
    assert_eq!(status(&waiting.user.execution(waiting.graph, waiting.run).await), "REVIEW");
}
