use std::time::Duration;

use model::ExecutionStatus;
use model::progress::ProgressCursor;
use model::{JournalEntry, NodeStats, Timestamp};
use serde_json::json;
use sqlx::Connection;
use uuid::Uuid;

use crate::world::{World, created, io_blocks, node_status, run_status};

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

#[tokio::test]
async fn a_look_shows_the_newest_nodes_and_the_outputs_so_far_of_runs_that_are_asked_for() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let id = world.keyed_run(graph, "looked-at").await.execution.id;
    let other = world.keyed_run(graph, "other").await.execution.id;
    let owner = Uuid::new_v4();
    let runs = world.claim(owner, 2).await;
    let run = runs.iter().find(|run| run.graph_exec_id == id).unwrap();
    let mut entries = vec![run_status(ExecutionStatus::Running)];
    let nodes: Vec<Uuid> = (0..14).map(|_| Uuid::now_v7()).collect();
    // What is stored is compressed.
    let long: String = (0..10_000).map(|_| Uuid::new_v4().simple().to_string()).collect();
    for (number, node) in nodes.iter().enumerate() {
        let value = if number == 13 { json!(long) } else { json!(number) };
        entries.push(created(*node, graph.output_node));
        let data = json!({"name": if number % 2 == 0 { "even" } else { "odd" }, "value": value});
        entries.push(node_status(*node, ExecutionStatus::Queued, Some(data)));
        entries.push(node_status(*node, ExecutionStatus::Running, None));
    }
    // The newest are found by their times, which may be the same microsecond.
    tokio::time::sleep(Duration::from_millis(1)).await;
    entries.push(node_status(nodes[0], ExecutionStatus::Completed, None));
    entries.push(JournalEntry::NodeStatus {
        node_exec_id: nodes[3],
        status: ExecutionStatus::Failed,
        execution_data: None,
        stats: Some(NodeStats {
            error: Some("é".repeat(2000)),
            ..NodeStats::default()
        }),
        at: Timestamp::now(),
    });
    let waiting = Uuid::now_v7();
    entries.push(created(waiting, graph.other_node));
    world.append(owner, run, 1, entries).await;
    world
        .sql("UPDATE nodes SET metadata = jsonb_set(metadata, '{customized_name}', '\"Say it\"')")
        .await;

    let found = world.store.progress_of(&[id, other], &io_blocks()).await.unwrap();
    let of = |id| found.iter().find(|run| run.graph_exec_id == id).unwrap().look.clone().unwrap();
    let look = of(id);
    assert_eq!(look.nodes.len(), 10);
    let newest: Vec<_> = look.nodes[8..].iter().map(|node| (node.node_exec_id, node.status)).collect();
    assert_eq!(newest, [(nodes[0], ExecutionStatus::Completed), (nodes[3], ExecutionStatus::Failed)]);
    assert!(look.nodes.iter().all(|node| node.node_exec_id != waiting && node.started_at.is_some()));
    assert_eq!(look.nodes[9].error.as_ref().map(|error| error.chars().count()), Some(500));
    assert_eq!(look.nodes[9].name.as_deref(), Some("Say it"));
    assert!(look.is_cut);
    assert_eq!(
        look.outputs["even"],
        [json!(0), json!(2), json!(4), json!(6), json!(8), json!(10), json!(12)]
    );
    assert_eq!(look.outputs["odd"][..6], [json!(1), json!(3), json!(5), json!(7), json!(9), json!(11)]);
    let shortened = look.outputs["odd"][6].as_str().unwrap();
    assert!(long.starts_with(shortened), "a text is shortened");
    assert!(of(other).nodes.is_empty() && of(other).outputs.is_empty());

    // The stream carries no looks, and a run that is over has none.
    let page = world.store.progress_after(&ProgressCursor::default(), 100, &io_blocks()).await.unwrap();
    assert!(page.runs.len() == 2 && page.runs.iter().all(|run| run.look.is_none()));
    let run = runs.iter().find(|run| run.graph_exec_id == other).unwrap();
    let end = vec![run_status(ExecutionStatus::Running), run_status(ExecutionStatus::Completed)];
    world.append(owner, run, 1, end).await;
    assert_eq!(world.store.progress_of(&[other], &io_blocks()).await.unwrap()[0].look, None);
}

#[tokio::test]
async fn whoever_begins_at_the_present_and_asks_by_key_misses_nothing() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let [old, late] = ["old", "late"].map(|key| world.keyed_run(graph, key));
    let (old, late) = (old.await.execution.id, late.await.execution.id);
    // It has its number before the cursor is taken, and commits after everything else.
    let mut slow = world.connection().await;
    let mut tx = slow.begin().await.unwrap();
    let change = "UPDATE graph_executions SET status = 'RUNNING', progress_xid = pg_current_xact_id() WHERE id = $1";
    sqlx::query(change).bind(late).execute(&mut *tx).await.unwrap();
    world.keyed_run(graph, "between").await;

    let cursor = world.store.progress_cursor().await.unwrap();
    let keys = ["old", "late", "between", "nobody's"].map(str::to_owned);
    let mut told = world.store.progress_by_keys(&keys, &io_blocks()).await.unwrap();
    told.sort_by(|one, other| one.idempotency_key.cmp(&other.idempotency_key));
    let states: Vec<_> = told.iter().map(|run| (run.idempotency_key.as_str(), run.status)).collect();
    let queued = ExecutionStatus::Queued;
    assert_eq!(states, [("between", queued), ("late", queued), ("old", queued)]);

    tx.commit().await.unwrap();
    let mut connection = world.connection().await;
    sqlx::query(change).bind(old).execute(&mut connection).await.unwrap();
    let page = world.store.progress_after(&cursor, 100, &io_blocks()).await.unwrap();
    let states: Vec<_> = page.runs.iter().map(|run| (run.idempotency_key.as_str(), run.status)).collect();
    let running = ExecutionStatus::Running;
    assert_eq!(
        states,
        [("late", running), ("between", queued), ("old", running)],
        "behind the open transaction"
    );

    let cursor = world.store.progress_cursor().await.unwrap();
    let page = world.store.progress_after(&cursor, 100, &io_blocks()).await.unwrap();
    assert!(page.runs.is_empty(), "what has been goes by without being read: {page:?}");
    world.keyed_run(graph, "new").await;
    let page = world.store.progress_after(&page.cursor, 100, &io_blocks()).await.unwrap();
    assert_eq!(page.runs.len(), 1);
}

#[tokio::test]
async fn runs_that_are_over_are_told_with_the_outputs_of_each() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    for key in ["a", "b", "c"] {
        world.keyed_run(graph, key).await;
    }
    for (number, run) in world.claim(owner, 3).await.iter().enumerate() {
        let mut entries = vec![run_status(ExecutionStatus::Running)];
        for value in 0..number {
            let node = Uuid::now_v7();
            let data = json!({"name": "out", "value": format!("{} {value}", run.graph_exec_id)});
            entries.push(created(node, graph.output_node));
            entries.push(node_status(node, ExecutionStatus::Queued, Some(data)));
        }
        entries.push(run_status(ExecutionStatus::Completed));
        world.append(owner, run, 1, entries).await;
    }
    let keys = ["a", "b", "c"].map(str::to_owned);
    let mut told = world.store.progress_by_keys(&keys, &io_blocks()).await.unwrap();
    told.sort_by_key(|run| run.outputs.as_ref().unwrap().get("out").map_or(0, Vec::len));
    for (number, run) in told.iter().enumerate() {
        let expected: Vec<_> = (0..number).map(|value| json!(format!("{} {value}", run.graph_exec_id))).collect();
        let outputs = run.outputs.clone().unwrap();
        assert_eq!(outputs.get("out").cloned().unwrap_or_default(), expected);
    }
    assert_eq!(told.len(), 3);
}
