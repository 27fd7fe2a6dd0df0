//! The short way to work: whoever waits at the database manager hears of an accepted run.

use rpc::services::DatabaseManager;
use uuid::Uuid;

use crate::proxy::Proxy;
use crate::world::{Server, World, eventually};

#[tokio::test]
async fn an_accepted_run_is_heard_of_even_without_rabbitmq() {
    let world = World::new().await;
    let broken = Proxy::before(&world.amqp, false).await;
    let server = Server::start(&[("DATABASE_URL", &world.database), ("RABBITMQ_URL", &broken.instead(&world.amqp))]).await;
    let client = server.client.clone();
    let waiting = tokio::spawn(async move {
        loop {
            // False after some seconds without work: then one asks again.
            if client.await_work(Uuid::now_v7()).await.unwrap() {
                return;
            }
        }
    });
    // The first may be accepted before the database manager listens.
    eventually("the bell rings", || async {
        world.submit().await;
        waiting.is_finished().then_some(())
    })
    .await;
    waiting.await.unwrap();
}

#[tokio::test]
async fn waiting_does_not_keep_the_database_manager_from_ending() {
    let world = World::new().await;
    let server = world.server().await;
    let client = server.client.clone();
    let waiting = tokio::spawn(async move { client.await_work(Uuid::now_v7()).await });
    eventually("the database manager works", || async {
        (server.readiness().await.0 == 200).then_some(())
    })
    .await;
    server.stop().await;
    let answer = waiting.await.unwrap();
    assert!(!matches!(answer, Ok(true)), "there was no work: {answer:?}");
}
