use model::schedule::GraphExecutionJobInfo;
use rpc::RpcErrorKind;
use rpc::services::Scheduler;
use serde_json::json;
use uuid::Uuid;

use crate::world::{World, map};

#[tokio::test]
async fn a_schedule_is_shown_as_the_contract_has_it_until_it_is_deleted() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let added = service.add(graph, "30 9 * * 0", Some("Asia/Tokyo")).await.unwrap();
    assert_eq!(
        added,
        GraphExecutionJobInfo {
            schedule_id: Some(added.id.clone()),
            user_id: graph.user_id,
            graph_id: graph.id,
            graph_version: 1,
            agent_name: Some("mine".to_owned()),
            cron: "30 9 * * 0".to_owned(),
            input_data: map(json!({"x": "given"})),
            input_credentials: Default::default(),
            id: added.id.clone(),
            name: "mine".to_owned(),
            next_run_time: added.next_run_time.clone(),
            timezone: "Asia/Tokyo".to_owned(),
        }
    );
    let next = chrono::DateTime::parse_from_rfc3339(&added.next_run_time).unwrap();
    assert_eq!(next.format("%a %H:%M:%S %:z").to_string(), "Mon 09:30:00 +09:00");
    let row = world.schedule(added.id.parse().unwrap()).await.unwrap();
    assert_eq!(row.next_run_at.unwrap().into_inner(), next);

    let listed = service
        .client
        .get_graph_execution_schedules(Some(graph.id), Some(graph.user_id))
        .await
        .unwrap();
    assert_eq!(listed, std::slice::from_ref(&added));
    let deleted = service
        .client
        .delete_graph_execution_schedule(added.id.clone(), graph.user_id)
        .await
        .unwrap();
    assert_eq!(deleted, added);
    assert_eq!(service.client.get_graph_execution_schedules(None, None).await.unwrap(), []);
}

#[tokio::test]
async fn lists_are_by_user_and_by_graph() {
    let world = World::new().await;
    let service = world.serve().await;
    let mine = world.user_with_graph().await;
    let mine_too = world.graph(mine.user_id).await;
    let other = world.user_with_graph().await;
    for graph in [mine, mine_too, other] {
        service.add(graph, "0 0 * * *", None).await.unwrap();
    }
    let count = async |graph, user| service.client.get_graph_execution_schedules(graph, user).await.unwrap().len();
    assert_eq!(count(None, Some(mine.user_id)).await, 2);
    assert_eq!(count(Some(mine_too.id), Some(mine.user_id)).await, 1);
    assert_eq!(count(Some(mine.id), Some(other.user_id)).await, 0);
    assert_eq!(count(None, None).await, 3);
}

#[tokio::test]
async fn what_cannot_be_scheduled_is_refused_and_leaves_nothing() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let unknown = crate::world::TestGraph { id: Uuid::new_v4(), ..graph };
    let foreign = crate::world::TestGraph {
        user_id: world.user().await,
        ..graph
    };
    let unfinished = world.unfinished_graph().await;
    for (graph, cron, zone, kind, word) in [
        (graph, "0 9 * * 7", None, RpcErrorKind::Value, "day_of_week"),
        (graph, "@daily", None, RpcErrorKind::Value, "expected 5"),
        (graph, "0 9 31 2 *", None, RpcErrorKind::Value, "no date that ever comes"),
        (graph, "0 9 * * *", Some("Mars/Base"), RpcErrorKind::Value, "Mars/Base"),
        (graph, "0 9 * * *", Some("utc"), RpcErrorKind::Value, "utc"),
        (unknown, "0 9 * * *", None, RpcErrorKind::GraphNotFound, "not found"),
        (foreign, "0 9 * * *", None, RpcErrorKind::GraphNotAccessible, "access"),
        (unfinished, "0 9 * * *", None, RpcErrorKind::GraphValidation, ""),
    ] {
        let error = service.add(graph, cron, zone).await.unwrap_err();
        assert_eq!(error.kind, kind, "{cron} {zone:?}: {error}");
        assert!(error.message.contains(word), "{cron} {zone:?}: {error}");
    }
    assert_eq!(world.number("SELECT count(*) FROM schedules").await, 0);
}

#[tokio::test]
async fn only_its_user_deletes_a_schedule() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let added = service.add(graph, "0 0 * * *", None).await.unwrap();
    let delete = async |id: &str, user| service.client.delete_graph_execution_schedule(id.to_owned(), user).await.unwrap_err();
    assert_eq!(delete(&added.id, Uuid::new_v4()).await.kind, RpcErrorKind::NotAuthorized);
    for id in ["no uuid", "00000000-0000-0000-0000-000000000000"] {
        let error = delete(id, graph.user_id).await;
        assert_eq!((error.kind, error.message), (RpcErrorKind::NotFound, format!("Job #{id} not found.")));
    }
    assert_eq!(world.number("SELECT count(*) FROM schedules").await, 1);
}
