use std::time::Duration;

use runtime::{Settings, Shutdown};
use store::{SchemaState, Store};

use crate::proxy::Proxy;
use crate::world::{Server, World, eventually};

#[tokio::test]
async fn without_a_schema_the_server_is_not_ready_and_says_what_to_do() {
    let database = devservices::testing::database().await;
    let server = Server::start(&[("DATABASE_URL", &database), ("RABBITMQ_URL", "amqp://127.0.0.1:1")]).await;
    eventually("it says what is missing", || async {
        let (status, body) = server.readiness().await;
        assert_eq!(status, 503);
        body.contains("db migrate").then_some(())
    })
    .await;
    let settings = Settings::from_pairs([("DATABASE_URL", database)]).unwrap();
    db::migrate(settings, Shutdown::new()).await.unwrap();
    eventually("it is ready", || async { (server.readiness().await.0 == 200).then_some(()) }).await;
}

#[tokio::test]
async fn where_it_may_the_server_migrates_by_itself() {
    let database = devservices::testing::database().await;
    let pairs = [
        ("DATABASE_URL", database.as_str()),
        ("MIGRATE_ON_START", "true"),
        ("RABBITMQ_URL", "amqp://127.0.0.1:1"),
    ];
    let server = Server::start(&pairs).await;
    eventually("it is ready", || async { (server.readiness().await.0 == 200).then_some(()) }).await;
    let store = Store::connect(&database, 1).unwrap();
    assert_eq!(store.schema_state().await.unwrap(), SchemaState::Ready);
    let service_user = Settings::for_test().platform_service_user_id;
    assert!(store.get_user(service_user).await.unwrap().is_some());
}

#[tokio::test]
async fn the_server_outlives_the_absence_of_its_database() {
    let world = World::new().await;
    let proxy = Proxy::before(&world.database, false).await;
    let server = Server::start(&[("DATABASE_URL", &proxy.instead(&world.database)), ("RABBITMQ_URL", &world.amqp)]).await;
    eventually("it says that the database is away", || async {
        let (status, body) = server.readiness().await;
        (status == 503 && body.contains("database")).then_some(())
    })
    .await;
    proxy.heal();
    eventually("it is ready", || async { (server.readiness().await.0 == 200).then_some(()) }).await;
    proxy.cut();
    eventually("it notices", || async { (server.readiness().await.0 == 503).then_some(()) }).await;
    proxy.heal();
    eventually("it is ready again", || async { (server.readiness().await.0 == 200).then_some(()) }).await;
    world.submit().await;
    eventually("its relay works again", || async {
        (world.store.outbox_length().await.unwrap() == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_server_ends_soon_whatever_is_away() {
    let pairs = [("DATABASE_URL", "postgresql://127.0.0.1:1/x"), ("RABBITMQ_URL", "amqp://127.0.0.1:1")];
    let server = Server::start(&pairs).await;
    tokio::time::sleep(Duration::from_millis(300)).await;
    tokio::time::timeout(Duration::from_secs(5), server.stop()).await.unwrap();
}
