use std::time::Duration;

use model::ExecutionStatus;
use model::progress::ProgressCursor;
use rpc::services::Scheduler;
use tokio::time::Instant;

use crate::world::{World, stored};

#[tokio::test]
async fn a_reader_that_waits_is_answered_as_soon_as_something_happens() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let began = Instant::now();
    let (page, submitted) = tokio::join!(service.client.get_execution_progress(None, 20_000, 100), async {
        tokio::time::sleep(Duration::from_millis(400)).await;
        service.client.submit_graph_execution(stored(graph, "k")).await.unwrap()
    });
    let page = page.unwrap();
    assert!(began.elapsed() < Duration::from_secs(10), "{:?}", began.elapsed());
    let [run] = &page.runs[..] else { panic!("{page:?}") };
    assert_eq!(
        (run.graph_exec_id, run.idempotency_key.as_str(), run.status),
        (submitted.graph_exec_id, "k", ExecutionStatus::Queued)
    );
    assert_eq!(run.node_counts.get("QUEUED"), Some(&1));
}

#[tokio::test]
async fn nothing_new_is_an_empty_page_with_the_same_cursor_after_the_wait() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    service.client.submit_graph_execution(stored(graph, "k")).await.unwrap();
    let first = service.client.get_execution_progress(None, 5_000, 100).await.unwrap();
    assert_eq!(first.runs.len(), 1);
    let began = Instant::now();
    let second = service.client.get_execution_progress(Some(first.cursor.clone()), 600, 100).await.unwrap();
    assert!(began.elapsed() >= Duration::from_millis(600));
    assert_eq!((second.runs.len(), second.cursor), (0, first.cursor));
}

#[tokio::test]
async fn a_reader_pages_through_everything_and_sees_the_end_with_outputs() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let mut submitted = Vec::new();
    for key in ["a", "b", "c"] {
        submitted.push(service.client.submit_graph_execution(stored(graph, key)).await.unwrap().graph_exec_id);
    }
    let mut cursor = ProgressCursor::default();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        let page = service.client.get_execution_progress(Some(cursor), 5_000, 2).await.unwrap();
        assert!((1..=2).contains(&page.runs.len()), "{page:?}");
        seen.extend(page.runs.iter().map(|run| run.graph_exec_id));
        cursor = page.cursor;
    }
    assert_eq!(seen, submitted);
    service.client.stop_graph_execution(submitted[1]).await.unwrap();
    let page = service.client.get_execution_progress(Some(cursor), 5_000, 100).await.unwrap();
    let [run] = &page.runs[..] else { panic!("{page:?}") };
    assert_eq!((run.graph_exec_id, run.status), (submitted[1], ExecutionStatus::Terminated));
    assert!(run.outputs.is_some() && run.ended_at.is_some(), "{run:?}");
}

#[tokio::test]
async fn a_reader_of_the_present_asks_for_what_was_before_by_key() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    for key in ["before", "ended"] {
        service.client.submit_graph_execution(stored(graph, key)).await.unwrap();
    }
    let cursor = service.client.get_progress_cursor().await.unwrap();
    let told = service
        .client
        .get_progress_by_keys(vec!["ended".to_owned(), "unknown".to_owned()])
        .await
        .unwrap();
    let [run] = &told[..] else { panic!("{told:?}") };
    assert_eq!((run.idempotency_key.as_str(), run.status), ("ended", ExecutionStatus::Queued));
    service.client.stop_graph_execution(run.graph_exec_id).await.unwrap();
    let page = service.client.get_execution_progress(Some(cursor), 5_000, 100).await.unwrap();
    let [run] = &page.runs[..] else { panic!("{page:?}") };
    assert_eq!((run.idempotency_key.as_str(), run.status), ("ended", ExecutionStatus::Terminated));
    let refused = service.client.get_progress_by_keys(vec![String::new(); 1001]).await.unwrap_err();
    assert!(refused.to_string().contains("at most 1000"), "{refused}");
}
