//! A node asks a person over the RPC, nobody answers, and the deadline decides.

use model::review::{ReviewResult, ReviewStatus};
use model::{ExecutionStatus, JournalBatch, JournalEntry, Timestamp};
use rpc::services::DatabaseManager;
use serde_json::json;
use uuid::Uuid;

use crate::world::{Server, World, eventually};

#[tokio::test]
async fn a_review_that_nobody_decides_is_decided_by_its_deadline() {
    let world = World::new().await;
    let server = Server::start(&[
        ("DATABASE_URL", &world.database),
        ("RABBITMQ_URL", &world.amqp),
        ("LEASE_SECONDS", "1"),
        ("REVIEW_DEADLINE_SECONDS", "1"),
    ])
    .await;
    let client = &server.client;
    let (id, owner) = (world.submit().await, Uuid::new_v4());
    let run = client.claim(owner, "executor-0".to_owned(), 1).await.unwrap().pop().unwrap();
    let node = run.node_executions[0].node_exec_id;
    // The submission may have been told before it was claimed; the way back is told afresh.
    world.run_messages().await;
    let ask = || client.get_or_create_human_review(world.user, node, id, run.graph_id, 1, json!({"a": 1}), Some("x".to_owned()), true);
    let node_status = |status| JournalEntry::NodeStatus {
        node_exec_id: node,
        status,
        execution_data: None,
        stats: None,
        at: Timestamp::now(),
    };
    let run_status = |status| JournalEntry::RunStatus {
        status,
        stats: None,
        at: Timestamp::now(),
    };
    let append = async |first_seq, entries| {
        let batch = JournalBatch {
            graph_exec_id: id,
            epoch: run.epoch,
            first_seq,
            news_seen: run.news,
            entries,
        };
        client.append_journal(owner, vec![batch]).await.unwrap();
    };
    append(1, vec![run_status(ExecutionStatus::Running), node_status(ExecutionStatus::Running)]).await;
    assert_eq!(ask().await.unwrap(), None);
    assert!(client.has_pending_reviews_for_graph_exec(id).await.unwrap());
    append(3, vec![node_status(ExecutionStatus::Review), run_status(ExecutionStatus::Review)]).await;
    let result: ReviewResult = eventually("the deadline decides", || async { ask().await.unwrap() }).await;
    assert_eq!((result.status, result.data), (ReviewStatus::Rejected, None));
    assert!(result.message.contains("deadline"), "{}", result.message);
    eventually("the way back to the queue wakes an executor", || async {
        world.run_messages().await.into_iter().find(|message| message.graph_exec_id == id)
    })
    .await;
    assert!(!client.has_pending_reviews_for_graph_exec(id).await.unwrap());
    assert_eq!(client.claim(owner, "executor-0".to_owned(), 1).await.unwrap()[0].graph_exec_id, id);

    client.update_review_processed_status(node, true).await.unwrap();
    assert_eq!(ask().await.unwrap(), None);
    let unknown = client
        .get_or_create_human_review(world.user, Uuid::new_v4(), id, run.graph_id, 1, json!(1), None, true)
        .await
        .unwrap_err();
    assert!(unknown.message.contains("not found"), "{unknown}");
}
