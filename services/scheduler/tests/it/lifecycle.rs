use std::time::Duration;

use rpc::RpcErrorKind;
use rpc::services::Scheduler;
use tokio::io::copy_bidirectional;
use tokio::net::{TcpListener, TcpStream};
use tokio::time::timeout;
use url::Url;

use crate::world::{World, serve, settings, stored};

#[tokio::test]
async fn without_its_dependencies_the_service_lives_says_what_is_missing_and_ends_in_time() {
    let service = serve(settings(
        "postgresql://me:secret@127.0.0.1:1/nowhere",
        "amqp://127.0.0.1:1/%2f",
        "redis://127.0.0.1:1",
    ))
    .await;
    assert_eq!(service.get("/livez").await.0, 200);
    let body = until_unready(&service, "127.0.0.1:1/nowhere").await;
    assert!(!body.contains("secret"), "{body}");
    let error = service.client.get_graph_execution_schedules(None, None).await.unwrap_err();
    assert_eq!(error.kind, RpcErrorKind::Database);
    ends(service).await;
}

#[tokio::test]
async fn a_waiting_reader_does_not_hold_up_the_end() {
    let world = World::new().await;
    let service = world.serve().await;
    service.until_ready().await;
    let client = service.client.clone();
    let reader = tokio::spawn(async move { client.get_execution_progress(None, 60_000, 10).await });
    tokio::time::sleep(Duration::from_millis(300)).await;
    ends(service).await;
    assert!(reader.await.unwrap().unwrap().runs.is_empty());
}

#[tokio::test]
async fn a_database_that_comes_late_and_goes_is_waited_for() {
    let world = World::new().await;
    let graph = world.user_with_graph().await;
    world.scheduled(graph, "2026-01-02T03:00:00Z").await;
    let direct = Url::parse(&world.url).unwrap();
    let target = format!("{}:{}", direct.host_str().unwrap(), direct.port().unwrap_or(5432));
    // A port that nobody listens on yet.
    let [door] = devservices::process::free_ports().unwrap();
    let mut detour = direct.clone();
    detour.set_host(Some("127.0.0.1")).unwrap();
    detour.set_port(Some(door)).unwrap();
    let service = serve(settings(detour.as_str(), &world.settings.rabbitmq.url(), &world.settings.redis.url())).await;
    assert_eq!(service.get("/readyz").await.0, 503);

    let way = tokio::spawn(forward(TcpListener::bind(("127.0.0.1", door)).await.unwrap(), target.clone()));
    service.until_ready().await;
    world.until("SELECT count(*) FROM schedule_decisions WHERE through IS NULL", 1).await;

    way.abort();
    let _ = way.await;
    assert!(service.client.submit_graph_execution(stored(graph, "k")).await.is_err());
    until_unready(&service, "does not answer").await;
    assert_eq!(service.get("/livez").await.0, 200);

    world
        .sql("UPDATE schedules SET cron = '0 4 2 1 *', next_run_at = '2026-01-02T04:00:00Z'")
        .await;
    let _way = tokio::spawn(forward(TcpListener::bind(("127.0.0.1", door)).await.unwrap(), target));
    service.until_ready().await;
    service.client.submit_graph_execution(stored(graph, "k")).await.unwrap();
    // A schedule that is added makes the loop look, and see the other one as well.
    service.add(graph, "0 0 1 1 *", None).await.unwrap();
    world.until("SELECT count(*) FROM schedule_decisions WHERE through IS NULL", 2).await;
    ends(service).await;
}

/// Waits until `/readyz` gives a reason with these words.
async fn until_unready(service: &crate::world::Service, words: &str) -> String {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(20);
    loop {
        let (status, body) = service.get("/readyz").await;
        if status == 503 && body.contains(words) {
            return body;
        }
        assert!(tokio::time::Instant::now() < deadline, "{status}: {body}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

async fn ends(mut service: crate::world::Service) {
    service.shutdown.trigger();
    let ended = timeout(Duration::from_secs(10), &mut service.task).await;
    ended.expect("the service must end within 10 s").unwrap().unwrap();
}

/// Connections end with the task.
async fn forward(listener: TcpListener, target: String) {
    let mut connections = tokio::task::JoinSet::new();
    loop {
        let (mut near, _) = listener.accept().await.unwrap();
        let target = target.clone();
        connections.spawn(async move {
            if let Ok(mut far) = TcpStream::connect(target).await {
                let _ = copy_bidirectional(&mut near, &mut far).await;
            }
        });
    }
}
