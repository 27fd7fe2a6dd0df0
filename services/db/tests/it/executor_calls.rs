//! What an executor asks of the database manager, over HTTP.

use model::{AppendOutcome, ExecutionStatus, JournalBatch, JournalEntry, Timestamp};
use rpc::services::DatabaseManager;
use uuid::Uuid;

use crate::world::{Server, World, eventually};

#[tokio::test]
async fn claim_append_renew_release() {
    let world = World::new().await;
    let server = world.server().await;
    let client = &server.client;
    let owner = Uuid::new_v4();
    let id = world.submit().await;
    let runs = client.claim(owner, "executor-0".to_owned(), 4).await.unwrap();
    assert_eq!(runs.iter().map(|run| run.graph_exec_id).collect::<Vec<_>>(), [id]);
    let held = runs[0].held();
    let batch = |seq, status| JournalBatch {
        graph_exec_id: id,
        epoch: runs[0].epoch,
        first_seq: seq,
        news_seen: 0,
        entries: vec![JournalEntry::RunStatus {
            status,
            stats: None,
            at: Timestamp::now(),
        }],
    };
    let outcomes = client.append_journal(owner, vec![batch(1, ExecutionStatus::Running)]).await.unwrap();
    assert_eq!(
        outcomes,
        [AppendOutcome::Applied {
            next_seq: 2,
            cancel_requested: false,
            news: 0
        }]
    );
    assert_eq!(client.renew_lease(owner).await.unwrap().owned, [held]);
    let refused = client
        .update_graph_execution_stats(id, Some(ExecutionStatus::Failed), None)
        .await
        .unwrap_err();
    assert_eq!(refused.kind.name(), "ValueError");
    assert_eq!(client.release_runs(owner, vec![held]).await.unwrap(), 1);
    let again = client.claim(Uuid::new_v4(), "executor-1".to_owned(), 1).await.unwrap();
    assert_eq!((again[0].graph_exec_id, again[0].epoch), (id, 2));
    let outcomes = client.append_journal(owner, vec![batch(2, ExecutionStatus::Completed)]).await.unwrap();
    assert_eq!(outcomes, [AppendOutcome::Stale]);
    client.release_lease(owner).await.unwrap();
    assert!(!client.renew_lease(owner).await.unwrap().alive);
}

#[tokio::test]
async fn the_graph_of_a_run_comes_with_links_and_schemas() {
    let world = World::new().await;
    let server = world.server().await;
    let graph = server
        .client
        .get_graph(world.graph.id, Some(1), None, false, false, true)
        .await
        .unwrap()
        .unwrap();
    assert_eq!(graph, world.graph);
    let denied = server
        .client
        .get_graph(world.graph.id, None, Some(Uuid::new_v4()), false, false, false)
        .await;
    assert_eq!(denied.unwrap(), None);
    let start = world.graph.nodes[0].id;
    assert_eq!(server.client.get_node(start).await.unwrap(), world.graph.nodes[0]);
    let connected = server.client.get_connected_output_nodes(start).await.unwrap();
    assert_eq!(connected.len(), 1);
    assert_eq!(connected[0].1.id, world.graph.nodes[1].id);
}

#[tokio::test]
async fn a_snapshot_is_for_the_owner_only() {
    let world = World::new().await;
    let server = world.server().await;
    let id = world.submit().await;
    let snapshot = server.client.get_execution_snapshot(world.user, id).await.unwrap().unwrap();
    assert_eq!(snapshot.execution.meta.id, id);
    assert_eq!(snapshot.node_executions.len(), 1);
    assert!(server.client.get_execution_snapshot(Uuid::new_v4(), id).await.unwrap().is_none());
}

#[tokio::test]
async fn a_silent_executor_loses_its_runs_after_the_lease_and_a_full_one_more() {
    let world = World::new().await;
    let pairs = [
        ("DATABASE_URL", world.database.as_str()),
        ("RABBITMQ_URL", world.amqp.as_str()),
        ("LEASE_SECONDS", "1"),
    ];
    let server = Server::start(&pairs).await;
    let (silent, heir) = (Uuid::new_v4(), Uuid::new_v4());
    let id = world.submit().await;
    let started = tokio::time::Instant::now();
    assert_eq!(server.client.claim(silent, "executor-0".to_owned(), 1).await.unwrap().len(), 1);
    let taken = eventually("the run is free", || async {
        server.client.claim(heir, "executor-1".to_owned(), 1).await.unwrap().pop()
    })
    .await;
    assert_eq!((taken.graph_exec_id, taken.epoch), (id, 2));
    assert!(started.elapsed() > std::time::Duration::from_millis(950));
    assert!(!server.client.renew_lease(silent).await.unwrap().alive);
}
