use std::time::Duration;

use bus::amqp::{Consumed, Source, Verdict, run_consumer};
use model::{CancelMessage, ExecutionStatus};
use rpc::RpcErrorKind;
use rpc::services::Scheduler;
use runtime::Shutdown;
use store::{ClaimLimits, IoBlocks};
use tokio::sync::mpsc;
use tokio::time::timeout;
use uuid::Uuid;

use crate::world::{World, stored};

const SOON: Duration = Duration::from_secs(10);

#[tokio::test]
async fn a_run_that_nobody_works_on_ends_at_once_and_its_end_will_be_told() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let run = service.client.submit_graph_execution(stored(graph, "k")).await.unwrap();
    assert_eq!(
        service.client.stop_graph_execution(run.graph_exec_id).await.unwrap(),
        ExecutionStatus::Terminated
    );
    let untold = world.store.take_untold_ends(&IoBlocks::default()).await.unwrap().unwrap();
    assert_eq!(untold.ends.len(), 1);
    assert_eq!(untold.ends[0].execution.meta.id, run.graph_exec_id);
    assert_eq!(untold.ends[0].execution.meta.status, ExecutionStatus::Terminated);
    untold.told().await.unwrap();
    // Asking again changes nothing.
    assert_eq!(
        service.client.stop_graph_execution(run.graph_exec_id).await.unwrap(),
        ExecutionStatus::Terminated
    );
    assert!(world.store.take_untold_ends(&IoBlocks::default()).await.unwrap().is_none());
}

#[tokio::test]
async fn the_executor_of_a_run_is_told_through_the_fanout() {
    let world = World::new().await;
    let service = world.serve().await;
    let graph = world.user_with_graph().await;
    let run = service.client.submit_graph_execution(stored(graph, "k")).await.unwrap();
    claim(&world).await;

    let (sender, mut cancels) = mpsc::channel(8);
    let (ready, mut listening) = mpsc::channel(8);
    let end = Shutdown::new();
    let (settings, ended) = (world.settings.clone(), end.clone());
    let consumer = tokio::spawn(async move {
        let status = move |status: Result<(), String>| _ = ready.try_send(status.is_ok());
        let handler = |consumed: Consumed<CancelMessage>| {
            let sender = sender.clone();
            async move {
                sender.send(consumed.message.graph_exec_id).await.unwrap();
                Verdict::Ack
            }
        };
        run_consumer(&settings, Source::Cancels, 1, status, ended, handler).await;
    });
    assert_eq!(timeout(SOON, listening.recv()).await.unwrap(), Some(true));
    let status = service.client.stop_graph_execution(run.graph_exec_id).await.unwrap();
    assert!(!status.is_terminal(), "{status}");
    assert_eq!(timeout(SOON, cancels.recv()).await.unwrap(), Some(run.graph_exec_id));
    assert_eq!(world.number("SELECT count(*) FROM graph_executions WHERE cancel_requested").await, 1);
    end.trigger();
    consumer.await.unwrap();
}

#[tokio::test]
async fn without_a_broker_the_flag_alone_must_do() {
    let world = World::new().await;
    let settings = crate::world::settings(&world.url, "amqp://127.0.0.1:1/%2f", "redis://127.0.0.1:1");
    let service = crate::world::serve(settings).await;
    let graph = world.user_with_graph().await;
    let run = service.client.submit_graph_execution(stored(graph, "k")).await.unwrap();
    claim(&world).await;
    let stopped = timeout(Duration::from_secs(2), service.client.stop_graph_execution(run.graph_exec_id)).await;
    assert!(!stopped.expect("stopping must not wait for the broker").unwrap().is_terminal());
    assert_eq!(world.number("SELECT count(*) FROM graph_executions WHERE cancel_requested").await, 1);
    service.until_ready().await;
}

#[tokio::test]
async fn an_unknown_run_cannot_be_stopped() {
    let world = World::new().await;
    let service = world.serve().await;
    let error = service.client.stop_graph_execution(Uuid::new_v4()).await.unwrap_err();
    assert_eq!(error.kind, RpcErrorKind::NotFound);
}

async fn claim(world: &World) {
    let limits = ClaimLimits {
        free_slots: 1,
        per_user_and_graph: 25,
    };
    let claimed = world.store.claim(Uuid::new_v4(), "test", limits).await.unwrap();
    assert_eq!(claimed.len(), 1);
}
