use model::ExecutionStatus;
use model::progress::ProgressCursor;
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::world::{World, io_blocks, run_status};

#[tokio::test]
async fn a_reader_sees_each_change_once_and_terminal_runs_with_their_outputs() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.run(graph).await; // without a key: not in the stream
    world.store.claim(Uuid::new_v4(), "test", crate::world::limits(1)).await.unwrap();
    let accepted = world.keyed_run(graph, "uid-1").await;
    let page = world.store.progress_after(&ProgressCursor::default(), 100, &io_blocks()).await.unwrap();
    assert_eq!(page.runs.len(), 1);
    assert_eq!(
        (page.runs[0].idempotency_key.as_str(), page.runs[0].status),
        ("uid-1", ExecutionStatus::Queued)
    );
    assert_eq!(json!(page.runs[0].node_counts), json!({"QUEUED": 1}));
    assert_eq!(page.runs[0].outputs, None);
    let quiet = world.store.progress_after(&page.cursor, 100, &io_blocks()).await.unwrap();
    assert!(quiet.runs.is_empty());
    assert_eq!(quiet.cursor, page.cursor);
    let owner = Uuid::new_v4();
    let run = world.claim(owner, 1).await.pop().unwrap();
    assert_eq!(run.graph_exec_id, accepted.execution.id);
    world
        .append(
            owner,
            &run,
            1,
            vec![run_status(ExecutionStatus::Running), run_status(ExecutionStatus::Completed)],
        )
        .await;
    let end = world.store.progress_after(&page.cursor, 100, &io_blocks()).await.unwrap();
    assert_eq!(end.runs.len(), 1);
    assert_eq!(end.runs[0].status, ExecutionStatus::Completed);
    assert_eq!(end.runs[0].outputs, Some(Default::default()));
}

#[tokio::test]
async fn what_commits_late_is_not_jumped_over() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let early = world.keyed_run(graph, "early").await.execution.id;
    let start = world
        .store
        .progress_after(&ProgressCursor::default(), 100, &io_blocks())
        .await
        .unwrap()
        .cursor;
    // A transaction takes its number, then dawdles, while a later one commits.
    let mut slow = world.connection().await;
    let mut tx = slow.begin().await.unwrap();
    sqlx::query("UPDATE graph_executions SET status = 'RUNNING', progress_xid = pg_current_xact_id() WHERE id = $1")
        .bind(early)
        .execute(&mut *tx)
        .await
        .unwrap();
    world.keyed_run(graph, "late").await;
    let meanwhile = world.store.progress_after(&start, 100, &io_blocks()).await.unwrap();
    assert!(meanwhile.runs.is_empty(), "nothing beyond an open transaction is shown yet");
    tx.commit().await.unwrap();
    let after = world.store.progress_after(&meanwhile.cursor, 100, &io_blocks()).await.unwrap();
    let keys: Vec<&str> = after.runs.iter().map(|run| run.idempotency_key.as_str()).collect();
    assert_eq!(keys, ["early", "late"]);
}

#[tokio::test]
async fn pages_join_without_gap_or_overlap() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    for index in 0..7 {
        world.keyed_run(graph, &format!("key-{index}")).await;
    }
    let mut cursor = ProgressCursor::default();
    let mut keys = Vec::new();
    loop {
        let page = world.store.progress_after(&cursor, 3, &io_blocks()).await.unwrap();
        if page.runs.is_empty() {
            break;
        }
        keys.extend(page.runs.into_iter().map(|run| run.idempotency_key));
        cursor = page.cursor;
    }
    assert_eq!(keys, (0..7).map(|index| format!("key-{index}")).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_cursor_of_another_database_begins_anew() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.keyed_run(graph, "key").await;
    for cursor in [format!("{}/{}", u64::MAX / 2, Uuid::nil()), "nonsense".to_owned()] {
        let page = world.store.progress_after(&ProgressCursor(cursor), 10, &io_blocks()).await.unwrap();
        assert_eq!(page.runs.len(), 1);
    }
}
