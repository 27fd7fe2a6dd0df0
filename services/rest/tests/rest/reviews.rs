//! What waits for a person, and the decisions. The test is the executor: it claims the run, asks and parks.

use model::ExecutionStatus::{Review, Running};
use model::review::ReviewAction;
use model::{ExecutionStatus, JournalBatch, JournalEntry, NodeExecId, Timestamp};
use serde_json::{Value, json};
use store::{ClaimLimits, ReviewQuestion, ReviewTerms};
use uuid::Uuid;

use crate::app::{TestApp, TestUser, text};
use crate::graphs::echo;

const TERMS: ReviewTerms = ReviewTerms {
    deadline: None,
    default_action: ReviewAction::Reject,
};

/// A run whose only node waits for its review.
struct Waiting {
    run: Value,
    node: NodeExecId,
}

impl Waiting {
    async fn new(app: &TestApp, user: &TestUser, payload: Value, editable: bool) -> Self {
        let graph = app.graph(user, echo()).await;
        let run = app.run(user, &graph, json!({"x": 5})).await;
        let (owner, limits) = (
            Uuid::new_v4(),
            ClaimLimits {
                free_slots: 1,
                per_user_and_graph: 25,
            },
        );
        let claimed = app.store.claim(owner, "test", limits).await.unwrap().pop().unwrap();
        let node = claimed.node_executions[0].node_exec_id;
        let append = async |first_seq, entries| {
            let batch = JournalBatch {
                graph_exec_id: claimed.graph_exec_id,
                epoch: claimed.epoch,
                first_seq,
                news_seen: 0,
                entries,
            };
            app.store.append_journal(owner, vec![batch]).await.unwrap();
        };
        append(1, vec![run_status(Running), node_status(node, Running)]).await;
        let question = ReviewQuestion {
            user_id: user.id,
            graph_exec_id: claimed.graph_exec_id,
            node_exec_id: node,
            payload,
            instructions: Some("Look at this".to_owned()),
            editable,
        };
        assert_eq!(app.store.ask_review(question, TERMS).await.unwrap(), None);
        append(3, vec![node_status(node, Review), run_status(Review)]).await;
        Self { run, node }
    }

    async fn status(&self, app: &TestApp, user: &TestUser) -> Value {
        let path = format!("/api/graphs/{}/executions/{}", text(&self.run, "graph_id"), text(&self.run, "id"));
        app.get(user, &path).await.body["status"].clone()
    }
}

fn run_status(status: ExecutionStatus) -> JournalEntry {
    JournalEntry::RunStatus {
        status,
        stats: None,
        at: Timestamp::now(),
    }
}

fn node_status(node_exec_id: NodeExecId, status: ExecutionStatus) -> JournalEntry {
    JournalEntry::NodeStatus {
        node_exec_id,
        status,
        execution_data: None,
        stats: None,
        at: Timestamp::now(),
    }
}

#[tokio::test]
async fn what_waits_is_listed_to_its_owner_alone() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let waiting = Waiting::new(&app, &user, json!({"a": [1]}), true).await;
    let listed = app.get(&user, "/api/review/pending").await.body;
    let item = &listed[0];
    assert_eq!(listed.as_array().map(Vec::len), Some(1));
    let run = &waiting.run;
    let expected = json!({
        "node_exec_id": waiting.node, "user_id": user.id, "graph_exec_id": run["id"], "graph_id": run["graph_id"], "graph_version": 1,
        "payload": {"a": [1]}, "instructions": "Look at this", "editable": true, "status": "WAITING", "review_message": null,
        "was_edited": null, "processed": false, "created_at": item["created_at"], "updated_at": null, "reviewed_at": null,
    });
    assert_eq!(item, &expected);
    let of_run = format!("/api/review/execution/{}", text(run, "id"));
    assert_eq!(app.get(&user, &of_run).await.body, listed);
    assert_eq!(app.get(&user, "/api/review/pending?page=2").await.body, json!([]));

    let nobody_knows = format!("/api/review/execution/{}", Uuid::new_v4());
    for (who, path) in [
        (&stranger, &of_run),
        (&user, &nobody_knows),
        (&user, &"/api/review/execution/x".to_owned()),
    ] {
        assert_eq!(app.get(who, path).await.status, 403, "{path}");
    }
    assert_eq!(app.get(&stranger, "/api/review/pending").await.body, json!([]));
    assert_eq!(app.get(&user, "/api/review/pending?page_size=101").await.status, 422);
    assert_eq!(app.get(&user, "/api/review/pending?page=0").await.status, 422);
}

#[tokio::test]
async fn decisions_are_counted_and_the_run_goes_on() {
    let app = TestApp::start().await;
    let (user, stranger) = (TestUser::new(), TestUser::new());
    let waiting = Waiting::new(&app, &user, json!("draft"), false).await;
    let act = async |who: &TestUser, item: Value| app.post(who, "/api/review/action", json!({ "reviews": [item] })).await.body;
    let failed = |error: String| json!({"approved_count": 0, "rejected_count": 0, "failed_count": 1, "error": error});

    let unknown = failed(format!("Review {} not found", waiting.node));
    assert_eq!(act(&stranger, json!({"node_exec_id": waiting.node, "approved": true})).await, unknown);
    let edited = act(&user, json!({"node_exec_id": waiting.node, "approved": true, "reviewed_data": "other"})).await;
    assert_eq!(edited["failed_count"], 1, "{edited}");
    assert_eq!(waiting.status(&app, &user).await, "REVIEW");

    let approved = act(&user, json!({"node_exec_id": waiting.node, "approved": true, "message": "fine"})).await;
    assert_eq!(
        approved,
        json!({"approved_count": 1, "rejected_count": 0, "failed_count": 0, "error": null})
    );
    assert_eq!(waiting.status(&app, &user).await, "QUEUED");
    assert_eq!(app.get(&user, "/api/review/pending").await.body, json!([]));
    let twice = failed(format!("Review {} is already APPROVED", waiting.node));
    assert_eq!(act(&user, json!({"node_exec_id": waiting.node, "approved": false})).await, twice);
    assert_eq!(
        act(&user, json!({"node_exec_id": "x", "approved": false})).await,
        failed("Review x not found".to_owned())
    );
}

#[tokio::test]
async fn a_request_that_asks_for_too_much_changes_nothing() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let waiting = Waiting::new(&app, &user, json!(1), true).await;
    let good = json!({"node_exec_id": waiting.node, "approved": true});
    let deep = (0..12).fold(json!(1), |inner, _| json!({ "a": inner }));
    let with = |name: &str, value: Value| {
        let mut item = good.clone();
        item[name] = value;
        json!({ "reviews": [good, item] })
    };
    let bodies = [
        json!({}),
        json!({"reviews": []}),
        json!({"reviews": [{"approved": true}]}),
        with("approved", json!("perhaps")),
        with("message", json!("x".repeat(2001))),
        with("reviewed_data", deep),
        with("reviewed_data", json!("x".repeat(2 << 20))),
    ];
    for body in bodies {
        let answer = app.post(&user, "/api/review/action", body).await;
        assert_eq!(answer.status, 422, "{}", answer.text);
    }
    assert_eq!(waiting.status(&app, &user).await, "REVIEW");
}

#[tokio::test]
async fn a_run_that_waits_for_a_person_can_be_stopped() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let waiting = Waiting::new(&app, &user, json!(1), true).await;
    let stop = format!(
        "/api/graphs/{}/executions/{}/stop",
        text(&waiting.run, "graph_id"),
        text(&waiting.run, "id")
    );
    let stopped = app.post(&user, &stop, json!({})).await;
    assert_eq!((stopped.status.as_u16(), &stopped.body["status"]), (200, &json!("REVIEW")));
    assert_eq!(waiting.status(&app, &user).await, "TERMINATED");
    assert_eq!(app.get(&user, "/api/review/pending").await.body, json!([]));
    let late = app.post(
        &user,
        "/api/review/action",
        json!({"reviews": [{"node_exec_id": waiting.node, "approved": true}]}),
    );
    assert_eq!(late.await.body["failed_count"], 1);
    assert_eq!(waiting.status(&app, &user).await, "TERMINATED");
}
