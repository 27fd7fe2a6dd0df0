use std::collections::HashSet;

use futures::future::try_join_all;
use model::ExecutionStatus;
use model::progress::{SubmitRequest, Submitted};
use rpc::RpcErrorKind;
use rpc::services::Scheduler;
use serde_json::json;
use uuid::Uuid;

use crate::world::{World, inline, map, stored};

#[tokio::test]
async fn the_same_key_always_answers_with_the_same_run() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let first = service.client.submit_graph_execution(stored(graph, "k")).await.unwrap();
    assert_eq!(
        (first.graph_id, first.graph_version, first.status, first.created),
        (graph.id, 1, ExecutionStatus::Queued, true)
    );
    let changed = SubmitRequest {
        inputs: map(json!({"x": "other"})),
        ..stored(graph, "k")
    };
    let again = service.client.submit_graph_execution(changed).await.unwrap();
    assert_eq!((again.graph_exec_id, again.created), (first.graph_exec_id, false));
    assert_eq!(world.number("SELECT count(*) FROM graph_executions").await, 1);
    assert_eq!(world.number("SELECT count(*) FROM outbox").await, 1);
    let (_, metrics) = service.get("/metrics").await;
    assert!(metrics.contains("scheduler_runs_submitted_total 1\n"), "{metrics}");
}

#[tokio::test]
async fn a_run_without_owner_belongs_to_the_service_user_who_is_made_with_a_profile() {
    let world = World::new().await;
    let service = world.serve().await;
    let at_once = (0..8).map(|number| service.client.submit_graph_execution(inline("same", &format!("k{number}"))));
    let runs: Vec<Submitted> = try_join_all(at_once).await.unwrap();
    let different = |id: fn(&Submitted) -> Uuid| runs.iter().map(id).collect::<HashSet<_>>().len();
    assert_eq!(different(|run| run.graph_exec_id), 8);
    assert_eq!(different(|run| run.graph_id), 1, "the same content is stored once");
    let other = service.client.submit_graph_execution(inline("other", "c")).await.unwrap();
    assert_ne!(other.graph_id, runs[0].graph_id);
    let owner = world.settings.platform_service_user_id;
    assert_eq!(
        world.text("SELECT string_agg(DISTINCT user_id::text, ',') FROM graph_executions").await,
        owner.to_string()
    );
    assert_eq!(world.text("SELECT user_id::text FROM profiles").await, owner.to_string());
}

#[tokio::test]
async fn a_refused_run_says_why() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let unfinished = world.unfinished_graph().await;
    let submit = async |request| service.client.submit_graph_execution(request).await.unwrap_err();
    let error = submit(stored(unfinished, "k")).await;
    assert_eq!(error.kind, RpcErrorKind::GraphValidation);
    assert!(
        error.node_errors().unwrap().as_object().is_some_and(|nodes| nodes.len() == 1),
        "{error:?}"
    );
    assert_eq!(submit(stored(graph, "")).await.kind, RpcErrorKind::Value);
    assert_eq!(submit(stored(graph, &"k".repeat(1025))).await.kind, RpcErrorKind::Value);
    let unknown = crate::world::TestGraph { id: Uuid::new_v4(), ..graph };
    assert_eq!(submit(stored(unknown, "k")).await.kind, RpcErrorKind::GraphNotFound);
    let nobody = SubmitRequest {
        owner: Some(Uuid::new_v4()),
        ..inline("graph", "k")
    };
    let error = submit(nobody).await;
    assert!(error.kind == RpcErrorKind::Value && error.message.contains("is no user"), "{error}");
}

#[tokio::test]
async fn a_slot_of_a_schedule_runs_with_the_inputs_of_its_row() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let added = service.add(graph, "0 0 1 1 *", None).await.unwrap();
    let slot = SubmitRequest {
        inputs: map(json!({})),
        inputs_from_schedule: Some(added.id.parse().unwrap()),
        ..stored(graph, "slot")
    };
    let run = service.client.submit_graph_execution(slot.clone()).await.unwrap();
    assert_eq!(world.text("SELECT inputs ->> 'x' FROM graph_executions").await, "given");

    let foreign = SubmitRequest {
        owner: Some(world.user().await),
        idempotency_key: "foreign".to_owned(),
        ..slot.clone()
    };
    assert_eq!(
        service.client.submit_graph_execution(foreign).await.unwrap_err().kind,
        RpcErrorKind::NotAuthorized
    );

    service.client.delete_graph_execution_schedule(added.id, graph.user_id).await.unwrap();
    let again = service.client.submit_graph_execution(slot.clone()).await.unwrap();
    assert_eq!((again.graph_exec_id, again.created), (run.graph_exec_id, false));
    let next = SubmitRequest {
        idempotency_key: "next slot".to_owned(),
        ..slot
    };
    assert_eq!(
        service.client.submit_graph_execution(next).await.unwrap_err().kind,
        RpcErrorKind::GraphNotFound
    );
}

#[tokio::test]
async fn a_slot_that_cannot_run_any_more_takes_its_schedule_along() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let added = service.add(graph, "0 0 1 1 *", None).await.unwrap();
    service.add(graph, "0 0 2 1 *", None).await.unwrap();
    world.sql("UPDATE library_agents SET is_archived = true").await;
    let slot = SubmitRequest {
        inputs_from_schedule: Some(added.id.parse().unwrap()),
        ..stored(graph, "slot")
    };
    assert_eq!(
        service.client.submit_graph_execution(slot).await.unwrap_err().kind,
        RpcErrorKind::GraphNotInLibrary
    );
    assert_eq!(world.number("SELECT count(*) FROM schedules").await, 0);
}
