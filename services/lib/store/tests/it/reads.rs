use std::time::Duration;

use model::notification::{NotificationEvent, NotificationType};
use model::{ExecutionStatus, Timestamp};
use serde_json::json;
use store::{Error, ExecutionFilter, NodeExecutionFilter, NodeExecutionUpdate};
use uuid::Uuid;

use crate::world::{World, io_blocks, map, run_status};

#[tokio::test]
async fn a_graph_comes_back_as_it_was_stored() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let mut stored = world.store.get_graph(graph.id, None).await.unwrap().unwrap();
    let expected = graph.model(1);
    stored.created_at = expected.created_at;
    assert_eq!(stored, expected);
    let refused = world.store.insert_graph(&graph.model(1)).await.unwrap_err();
    assert_eq!(refused.constraint(), Some("graphs_pkey"));
}

#[tokio::test]
async fn a_new_version_becomes_the_active_one_and_takes_the_library_entry_along() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let mut next = graph.model(2);
    next.nodes.clear();
    world.store.insert_graph(&next).await.unwrap();
    let listed = world.store.list_graphs(graph.user_id, 250).await.unwrap();
    assert_eq!(listed.iter().map(|graph| graph.version).collect::<Vec<_>>(), [2]);
    assert_eq!(world.store.list_graph_versions(graph.user_id, graph.id, 50).await.unwrap(), [2, 1]);
    assert_eq!(world.store.get_graph(graph.id, None).await.unwrap().unwrap().version, 2);
    assert_eq!(world.number("SELECT count(*) FROM library_agents WHERE graph_version = 2").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM library_agents").await, 1);
}

#[tokio::test]
async fn a_new_version_takes_one_library_entry_along_of_several_that_follow() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let version = |version: i32| {
        let mut model = graph.model(version);
        model.nodes.clear();
        model
    };
    let follow_not = "UPDATE library_agents SET use_graph_is_active_version = false WHERE graph_version = 1";
    let follow = "UPDATE library_agents SET use_graph_is_active_version = true WHERE graph_version = 1";
    // Two digits, of which each is the version of an entry; more entries make a larger number.
    let versions = "SELECT string_agg(graph_version::text, '' ORDER BY graph_version)::int8 FROM library_agents";
    world.sql(follow_not).await;
    world.store.insert_graph(&version(2)).await.unwrap();
    world.sql(follow).await;
    world.store.insert_graph(&version(3)).await.unwrap();
    assert_eq!(world.number(versions).await, 13);
    world.sql(follow_not).await;
    assert!(world.store.set_active_version(&version(1)).await.unwrap());
    assert_eq!(world.number(versions).await, 13);
    world.store.insert_graph(&version(4)).await.unwrap();
    assert_eq!(world.number(versions).await, 14);
}

#[tokio::test]
async fn access_needs_ownership_and_a_library_entry() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let access = |user| world.store.graph_access(user, graph.id, 1);
    let own = access(graph.user_id).await.unwrap();
    assert!(own.exists && own.readable && own.in_library);
    assert_eq!(own.timezone.as_deref(), Some("not-set"));
    let foreign = access(world.user().await).await.unwrap();
    assert!(foreign.exists && !foreign.readable && !foreign.in_library);
    world.sql("UPDATE library_agents SET is_archived = true").await;
    assert!(!access(graph.user_id).await.unwrap().in_library);
    assert!(!world.store.graph_access(graph.user_id, graph.id, 9).await.unwrap().exists);
}

#[tokio::test]
async fn an_inline_graph_is_stored_once_and_in_no_list() {
    let world = World::new().await;
    let mut graph = world.user_with_graph().await;
    graph.id = Uuid::new_v4();
    graph.input_node = Uuid::new_v4();
    graph.other_node = Uuid::new_v4();
    graph.output_node = Uuid::new_v4();
    let model = graph.model(1);
    assert!(world.store.insert_inline_graph(&model, [7; 32]).await.unwrap());
    assert!(!world.store.insert_inline_graph(&model, [7; 32]).await.unwrap());
    assert!(
        world
            .store
            .list_graphs(graph.user_id, 250)
            .await
            .unwrap()
            .iter()
            .all(|listed| listed.id != graph.id)
    );
    assert!(world.store.graph_access(graph.user_id, graph.id, 1).await.unwrap().in_library);
}

#[tokio::test]
async fn lists_are_newest_first_of_one_user_and_without_deleted_runs() {
    let world = World::new().await;
    let (mine, other) = (world.user_with_graph().await, world.user_with_graph().await);
    let mut ids = Vec::new();
    for _ in 0..5 {
        ids.push(world.run(mine).await);
    }
    world.run(other).await;
    assert!(world.store.soft_delete_execution(mine.user_id, ids[4]).await.unwrap());
    assert!(!world.store.soft_delete_execution(mine.user_id, ids[4]).await.unwrap());
    assert!(!world.store.soft_delete_execution(other.user_id, ids[3]).await.unwrap());
    let of_user = ExecutionFilter {
        user_id: Some(mine.user_id),
        limit: Some(3),
        ..ExecutionFilter::default()
    };
    let listed: Vec<_> = world.store.list_executions(&of_user).await.unwrap().iter().map(|meta| meta.id).collect();
    assert_eq!(listed, [ids[3], ids[2], ids[1]]);
    let page = world.store.page_executions(mine.user_id, mine.id, 2, 3).await.unwrap();
    assert_eq!((page.total, page.executions.len(), page.executions[0].id), (4, 1, ids[0]));
    assert!(world.store.get_execution_meta(other.user_id, ids[0]).await.unwrap().is_none());
    assert!(world.store.get_execution_meta(mine.user_id, ids[4]).await.unwrap().is_none());
}

#[tokio::test]
async fn inputs_that_were_not_stored_are_read_from_the_input_nodes() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let id = world.run(graph).await;
    world.sql("UPDATE graph_executions SET inputs = NULL").await;
    let execution = world.store.get_execution(None, id, &io_blocks()).await.unwrap().unwrap();
    assert_eq!(execution.meta.inputs, Some(map(json!({"in": "given"}))));
    assert!(execution.outputs.is_empty());
}

#[tokio::test]
async fn the_contracts_writes_work_on_a_run_that_nobody_executes() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let id = world.run(graph).await;
    let (first, inputs) = world.store.upsert_input(graph.output_node, id, "name", json!("out"), None).await.unwrap();
    assert_eq!(inputs, map(json!({"name": "out"})));
    let (same, inputs) = world.store.upsert_input(graph.output_node, id, "value", json!(5), None).await.unwrap();
    assert_eq!(same.node_exec_id, first.node_exec_id);
    assert_eq!(inputs, map(json!({"name": "out", "value": 5})));
    let (next, _) = world.store.upsert_input(graph.output_node, id, "value", json!(6), None).await.unwrap();
    assert_ne!(next.node_exec_id, first.node_exec_id);
    let to = |status| NodeExecutionUpdate {
        status,
        execution_data: Some(map(json!({"name": "out", "value": 5}))),
        stats: None,
    };
    let ids = [first.node_exec_id];
    assert_eq!(world.store.update_node_executions(&ids, to(ExecutionStatus::Completed)).await.unwrap(), 0);
    assert_eq!(world.store.update_node_executions(&ids, to(ExecutionStatus::Queued)).await.unwrap(), 1);
    world.store.add_output(first.node_exec_id, "output", json!("5")).await.unwrap();
    let queued = world.store.get_node_execution(first.node_exec_id).await.unwrap().unwrap();
    assert_eq!(json!(queued.output_data), json!({"output": ["5"]}));
    let latest = world.store.get_latest_node_execution(graph.output_node, id).await.unwrap().unwrap();
    assert_eq!(latest.node_exec_id, first.node_exec_id);
    let running = world
        .store
        .update_execution(id, Some(ExecutionStatus::Running), None, &io_blocks())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(running.meta.status, ExecutionStatus::Running);
    assert_eq!(json!(running.outputs), json!({"out": [5]}));
    let refused = world
        .store
        .update_execution(id, Some(ExecutionStatus::Queued), None, &io_blocks())
        .await
        .unwrap()
        .unwrap();
    assert_eq!(refused.meta.status, ExecutionStatus::Running);
}

#[tokio::test]
async fn the_contracts_writes_are_refused_while_an_executor_has_the_run() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let run = world.claimed_run(graph, Uuid::new_v4()).await;
    let node = run.node_executions[0].node_exec_id;
    let refused = world.store.add_output(node, "result", json!(1)).await.unwrap_err();
    assert!(matches!(refused, Error::Leased(id) if id == run.graph_exec_id));
    assert!(
        world
            .store
            .upsert_input(graph.other_node, run.graph_exec_id, "x", json!(1), None)
            .await
            .is_err()
    );
    assert!(
        world
            .store
            .update_execution(run.graph_exec_id, Some(ExecutionStatus::Failed), None, &io_blocks())
            .await
            .is_err()
    );
}

#[tokio::test]
async fn node_executions_are_filtered_and_may_come_without_data() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let id = world.run(graph).await;
    let filter = NodeExecutionFilter {
        graph_exec_id: Some(id),
        block_ids: Some(vec![crate::world::INPUT_BLOCK]),
        statuses: Some(vec![ExecutionStatus::Queued]),
        ..NodeExecutionFilter::default()
    };
    let found = world.store.get_node_executions(&filter).await.unwrap();
    assert_eq!(found.len(), 1);
    assert!(found[0].input_data.is_empty());
    let none = NodeExecutionFilter {
        node_id: Some(graph.other_node),
        ..filter
    };
    assert!(world.store.get_node_executions(&none).await.unwrap().is_empty());
}

#[tokio::test]
async fn values_are_kept_by_user_and_key() {
    let world = World::new().await;
    let user = world.user().await;
    assert_eq!(world.store.get_kv(user, "k").await.unwrap(), None);
    world.store.set_kv(user, Uuid::new_v4(), "k", Some(json!({"a": 1}))).await.unwrap();
    world.store.set_kv(user, Uuid::new_v4(), "k", Some(json!([2]))).await.unwrap();
    assert_eq!(world.store.get_kv(user, "k").await.unwrap(), Some(json!([2])));
    assert_eq!(world.store.get_kv(world.user().await, "k").await.unwrap(), None);
}

#[tokio::test]
async fn a_batch_of_notifications_goes_with_its_last_event() {
    let world = World::new().await;
    let user = world.user().await;
    let kind = NotificationType::AgentRun;
    let event = |id: Uuid| NotificationEvent {
        kind,
        user_id: user,
        created_at: Timestamp::now(),
        id: Some(id.to_string()),
        data: map(json!({"agent_name": "a"})),
    };
    let (one, two) = (Uuid::now_v7(), Uuid::now_v7());
    world.store.add_to_notification_batch(user, kind, &event(one)).await.unwrap();
    world.store.add_to_notification_batch(user, kind, &event(one)).await.unwrap();
    let batch = world.store.add_to_notification_batch(user, kind, &event(two)).await.unwrap();
    let ids: Vec<_> = batch.notifications.iter().map(|event| event.id.clone()).collect();
    assert_eq!(ids, [one.to_string(), two.to_string()]);
    world.store.remove_from_notification_batch(user, kind, &[one]).await.unwrap();
    assert_eq!(world.store.get_notification_batches(kind).await.unwrap()[0].notifications.len(), 1);
    world.store.remove_from_notification_batch(user, kind, &[two]).await.unwrap();
    assert!(world.store.get_notification_batch(user, kind).await.unwrap().is_none());
}

#[tokio::test]
async fn a_key_is_booked_once_and_a_balance_never_becomes_negative() {
    let world = World::new().await;
    let user = world.user().await;
    let store = &world.store;
    let book = |key: &'static str, amount| async move {
        let kind = if amount < 0 { "USAGE" } else { "TOP_UP" };
        store.book_credits(user, key, kind, amount, &json!({})).await.unwrap()
    };
    assert_eq!(book("top-up", 10).await, Some(10));
    assert_eq!(book("top-up", 10).await, Some(10));
    let charges = futures::future::join_all(["a", "b", "c", "d"].map(|key| book(key, -4))).await;
    assert_eq!(charges.iter().filter(|after| after.is_some()).count(), 2);
    assert_eq!(world.number("SELECT balance::bigint FROM user_balances").await, 2);
    assert_eq!(world.number("SELECT sum(amount)::bigint FROM credit_transactions").await, 2);
}

#[tokio::test]
async fn the_summary_adds_up_a_users_runs() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    world
        .append(
            owner,
            &run,
            1,
            vec![run_status(ExecutionStatus::Running), run_status(ExecutionStatus::Completed)],
        )
        .await;
    world.run(graph).await;
    let (start, end) = ("2020-01-01T00:00:00Z".parse().unwrap(), "2999-01-01T00:00:00Z".parse().unwrap());
    let summary = world.store.execution_summary(graph.user_id, start, end).await.unwrap();
    assert_eq!((summary.total_executions, summary.successful_runs, summary.failed_runs), (2, 1, 0));
    assert_eq!(summary.most_used_agent, "graph");
    assert_eq!(world.store.get_active_user_ids(start, end).await.unwrap(), [graph.user_id]);
}

#[tokio::test]
async fn old_finished_runs_are_forgotten_and_others_kept() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let owner = Uuid::new_v4();
    let run = world.claimed_run(graph, owner).await;
    world
        .append(
            owner,
            &run,
            1,
            vec![run_status(ExecutionStatus::Running), run_status(ExecutionStatus::Completed)],
        )
        .await;
    world.run(graph).await;
    world
        .sql("UPDATE graph_executions SET created_at = now() - interval '3 days', ended_at = ended_at - interval '2 days'")
        .await;
    let day = Duration::from_secs(86_400);
    assert_eq!(world.store.forget(day * 3, 100).await.unwrap(), Some(0));
    assert_eq!(world.store.forget(day, 100).await.unwrap(), Some(1));
    assert_eq!(world.number("SELECT count(*) FROM graph_executions").await, 1);
}
