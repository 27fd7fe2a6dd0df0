use std::collections::HashSet;
use std::time::Duration;

use model::NodeInputMasks;

use crate::proxy::Proxy;
use crate::world::{Server, World, eventually};

#[tokio::test]
async fn an_accepted_run_reaches_the_queue_as_the_contracts_message() {
    let world = World::new().await;
    let _server = world.server().await;
    let id = world.submit().await;
    eventually("the outbox is empty", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    let messages = world.run_messages().await;
    assert_eq!(messages.len(), 1);
    let message = &messages[0];
    assert_eq!(
        (message.graph_exec_id, message.user_id, message.graph_id),
        (id, world.user, world.graph.id)
    );
    assert_eq!(message.nodes_input_masks, Some(NodeInputMasks::new()));
    assert_eq!(message.execution_context.root_execution_id, Some(id));
}

#[tokio::test]
async fn the_nudge_makes_it_quick() {
    let world = World::new().await;
    let _server = world.server().await;
    // The relay is there once it has relayed something.
    world.submit().await;
    eventually("the relay works", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    let mut quickest = Duration::MAX;
    for _ in 0..5 {
        let start = tokio::time::Instant::now();
        world.submit().await;
        while world.store.outbox_length().await.unwrap() > 0 {
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
        quickest = quickest.min(start.elapsed());
    }
    // Each submission comes right after a look, so that without a nudge all of them would wait for the next one.
    assert!(
        quickest < Duration::from_millis(900),
        "no faster than looking once a second: {quickest:?}"
    );
}

#[tokio::test]
async fn without_rabbitmq_runs_wait_in_the_outbox_and_none_is_lost_or_doubled() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.amqp, false).await;
    let _server = Server::start(&[("DATABASE_URL", &world.database), ("RABBITMQ_URL", &proxy.instead(&world.amqp))]).await;
    let mut ids = HashSet::from([world.submit().await]);
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
    proxy.heal();
    eventually("the first is relayed", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    proxy.cut();
    for _ in 0..600 {
        ids.insert(world.submit().await);
    }
    assert!(world.store.outbox_length().await.unwrap() > 0);
    proxy.heal();
    eventually("all are relayed", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    let messages = world.run_messages().await;
    let relayed: HashSet<_> = messages.iter().map(|message| message.graph_exec_id).collect();
    assert_eq!(relayed, ids);
}

#[tokio::test]
async fn how_long_wake_ups_wait_shows_while_rabbitmq_is_away() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.amqp, false).await;
    let (database, amqp) = (world.database.as_str(), proxy.instead(&world.amqp));
    let server = Server::start(&[("DATABASE_URL", database), ("RABBITMQ_URL", &amqp), ("ENABLE_METRICS", "true")]).await;
    world.submit().await;
    let lag = || async {
        let text = reqwest::get(format!("{}/metrics", server.url)).await.ok()?.text().await.ok()?;
        let line = text.lines().find_map(|line| line.strip_prefix("database_manager_outbox_lag_seconds "));
        line?.parse::<f64>().ok()
    };
    eventually("it is seen that the wake-up waits", || async {
        lag().await.filter(|seconds| *seconds > 1.0)
    })
    .await;
    proxy.heal();
    eventually("nothing waits any more", || async { lag().await.filter(|seconds| *seconds == 0.0) }).await;
}

#[tokio::test]
async fn a_message_that_no_queue_takes_is_not_forgotten() {
    let world = World::new().await;
    let server = world.server().await;
    world.submit().await;
    eventually("the relay works", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    let vhost = world.amqp.rsplit('/').next().unwrap();
    let queue = format!("/api/queues/{vhost}/graph_execution_queue");
    devservices::testing::management(reqwest::Method::DELETE, &queue, String::new()).await;
    let id = world.submit().await;
    tokio::time::sleep(Duration::from_millis(1500)).await;
    assert_eq!(world.store.outbox_length().await.unwrap(), 1);
    // A new connection declares the queue again.
    server.stop().await;
    let _server = world.server().await;
    eventually("it is relayed", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    assert_eq!(world.run_messages().await[0].graph_exec_id, id);
}

#[tokio::test]
async fn two_managers_relay_every_run_once() {
    let world = World::new().await;
    let _servers = (world.server().await, world.server().await);
    let mut ids = HashSet::new();
    for _ in 0..50 {
        ids.insert(world.submit().await);
    }
    eventually("all are relayed", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
    let messages = world.run_messages().await;
    assert_eq!(messages.len(), 50);
    assert_eq!(messages.iter().map(|message| message.graph_exec_id).collect::<HashSet<_>>(), ids);
}
