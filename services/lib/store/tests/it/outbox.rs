use std::time::Duration;

use crate::world::World;

#[tokio::test]
async fn two_relays_never_hold_the_same_row_and_an_unconfirmed_batch_comes_again() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let run = world.run(graph).await;
    let first = world.store.take_outbox().await.unwrap().unwrap();
    assert_eq!(first.messages.len(), 1);
    assert_eq!((first.messages[0].graph_exec_id, first.messages[0].user_id), (run, graph.user_id));
    assert!(world.store.take_outbox().await.unwrap().is_none());
    drop(first);
    let again = take_until_free(&world).await;
    again.settle(&[false]).await.unwrap();
    let third = take_until_free(&world).await;
    third.settle(&[true]).await.unwrap();
    assert!(world.store.take_outbox().await.unwrap().is_none());
    assert_eq!(world.store.outbox_length().await.unwrap(), 0);
}

#[tokio::test]
async fn a_run_that_is_claimed_already_needs_no_message() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    let first = world.run(graph).await;
    world.claim(uuid::Uuid::new_v4(), 1).await;
    let second = world.run(graph).await;
    let batch = world.store.take_outbox().await.unwrap().unwrap();
    let messages: Vec<_> = batch.messages.iter().map(|message| message.graph_exec_id).collect();
    assert_eq!(messages, [second], "{first} is claimed");
    batch.settle(&[true]).await.unwrap();
    assert_eq!(world.store.outbox_length().await.unwrap(), 0);
}

/// A dropped transaction is rolled back when its connection gets to it.
async fn take_until_free(world: &World) -> store::OutboxBatch {
    for _ in 0..100 {
        if let Some(batch) = world.store.take_outbox().await.unwrap() {
            return batch;
        }
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    panic!("the rows are never free again");
}

#[tokio::test]
async fn a_nudge_is_heard() {
    let world = World::new().await;
    let mut listener = world.store.listen_outbox().await.unwrap();
    let notifier = world.store.outbox_notifier();
    for _ in 0..1000 {
        notifier.wake();
    }
    tokio::time::timeout(Duration::from_secs(5), listener.heard()).await.unwrap().unwrap();
}
