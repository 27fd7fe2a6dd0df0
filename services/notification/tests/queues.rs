//! From the queues to the mailbox: the running service with the database manager, PostgreSQL, RabbitMQ and an SMTP server.

#![allow(clippy::unwrap_used)]

mod support;

use std::time::{Duration, Instant};

use bus::amqp::topology::{NOTIFICATION_EXCHANGE, Topology};
use bus::amqp::{Outgoing, Publisher};
use model::notification::{NotificationEvent, NotificationType};
use model::{Timestamp, UserId};
use runtime::{Settings, Shutdown};
use serde_json::{Value, json};
use store::Store;
use support::SmtpServer;
use tokio::net::TcpListener;
use uuid::Uuid;

/// A user, the two services, and the mail server. Ends them when it is dropped.
struct World {
    user: UserId,
    smtp: SmtpServer,
    publisher: Publisher,
    amqp: String,
    store: Store,
    shutdown: Shutdown,
}

impl World {
    async fn new(batch_delay_seconds: &str) -> Self {
        let (database, amqp) = (devservices::testing::database().await, devservices::testing::vhost().await);
        let store = Store::connect(&database, 2).unwrap();
        store.migrate().await.unwrap();
        let user = Uuid::new_v4();
        store.get_or_create_user(user, "reader@example.com", None).await.unwrap();
        let smtp = SmtpServer::start().await;
        let (db_listener, listener) = (
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
            TcpListener::bind("127.0.0.1:0").await.unwrap(),
        );
        let pairs = [
            ("DATABASE_URL", database),
            ("RABBITMQ_URL", amqp.clone()),
            ("DATABASEMANAGER_HOST", "127.0.0.1".to_owned()),
            ("DATABASE_API_PORT", db_listener.local_addr().unwrap().port().to_string()),
            ("SMTP_SERVER", "127.0.0.1".to_owned()),
            ("SMTP_PORT", smtp.port.to_string()),
            ("SMTP_TLS", "none".to_owned()),
            ("NOTIFICATION_SENDER_EMAIL", "platform@example.com".to_owned()),
            ("BATCH_DELAY_SECONDS", batch_delay_seconds.to_owned()),
            ("BATCH_CHECK_SECONDS", "1".to_owned()),
        ];
        let settings = Settings::from_pairs(pairs).unwrap();
        let shutdown = Shutdown::new();
        tokio::spawn(Box::pin(db::run(
            settings.clone(),
            blocks::Registry::standard(),
            db_listener,
            shutdown.clone(),
        )));
        tokio::spawn(Box::pin(notification::run(settings.clone(), listener, shutdown.clone())));
        let publisher = Publisher::new(&settings, "test", &[Topology::Notifications]);
        Self {
            user,
            smtp,
            publisher,
            amqp,
            store,
            shutdown,
        }
    }

    async fn notify(&self, user: UserId, kind: NotificationType, data: Value) {
        let event = NotificationEvent {
            kind,
            user_id: user,
            created_at: Timestamp::now(),
            id: None,
            data: data.as_object().cloned().unwrap(),
        };
        self.publisher.notification(&event).await.unwrap();
    }

    async fn mails(&self, wanted: usize) -> Vec<support::Received> {
        let start = Instant::now();
        while self.smtp.received().len() < wanted {
            assert!(
                start.elapsed() < Duration::from_secs(30),
                "{} of {wanted} mails after 30 s",
                self.smtp.received().len()
            );
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        self.smtp.received()
    }

    /// Takes the next dead letter, waiting for it.
    async fn dead_letter(&self) -> String {
        let vhost = self.amqp.rsplit('/').next().unwrap();
        let path = format!("/api/queues/{vhost}/failed_notifications/get");
        let request = json!({"count": 1, "ackmode": "ack_requeue_false", "encoding": "auto"}).to_string();
        let start = Instant::now();
        loop {
            let answer = devservices::testing::management(reqwest::Method::POST, &path, request.clone()).await;
            let messages: Vec<Value> = serde_json::from_str(&answer).unwrap();
            if let Some(message) = messages.first() {
                return message["payload"].as_str().unwrap().to_owned();
            }
            assert!(start.elapsed() < Duration::from_secs(30), "no dead letter after 30 s");
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

impl Drop for World {
    fn drop(&mut self) {
        self.shutdown.trigger();
    }
}

fn run_of(agent: &str) -> Value {
    json!({"agent_name": agent, "credits_used": 2, "execution_time": 1.5, "node_count": 4, "graph_id": "g", "outputs": [{"name": "text", "output": ["Hello"]}]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_finished_run_becomes_a_mail_when_its_batch_is_due() {
    let world = World::new("0").await;
    world.notify(world.user, NotificationType::AgentRun, run_of("Greeter")).await;
    let mails = world.mails(1).await;
    assert_eq!(mails[0].to, "reader@example.com");
    assert!(mails[0].data.contains("Greeter") && mails[0].data.contains("Hello"), "{}", mails[0].data);
    let start = Instant::now();
    while !world.store.get_notification_batches(NotificationType::AgentRun).await.unwrap().is_empty() {
        assert!(start.elapsed() < Duration::from_secs(10), "the batch is still there");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_batch_that_is_not_due_is_kept_and_not_dead_lettered() {
    let world = World::new("86400").await;
    world.notify(world.user, NotificationType::AgentRun, run_of("Greeter")).await;
    // Handled after the batch's message by the same service: once it has arrived, so has the other.
    world
        .notify(world.user, NotificationType::LowBalance, json!({"current_balance": 3}))
        .await;
    let mails = world.mails(1).await;
    assert!(mails[0].data.contains("Your credits are running low"), "{}", mails[0].data);
    let start = Instant::now();
    loop {
        let batches = world.store.get_notification_batches(NotificationType::AgentRun).await.unwrap();
        if batches.len() == 1 && batches[0].notifications.len() == 1 {
            break;
        }
        assert!(start.elapsed() < Duration::from_secs(10), "{batches:?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    assert_eq!(world.smtp.received().len(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_can_never_be_delivered_goes_to_the_dead_letters() {
    let world = World::new("0").await;
    let broken = Outgoing {
        body: b"no json".to_vec(),
        ..Outgoing::json(NOTIFICATION_EXCHANGE, "notification.immediate.ZERO_BALANCE", &()).unwrap()
    };
    world.publisher.publish(&broken).await.unwrap();
    assert_eq!(world.dead_letter().await, "no json");
    let stranger = Uuid::new_v4();
    world.notify(stranger, NotificationType::ZeroBalance, json!({"current_balance": 0})).await;
    assert!(world.dead_letter().await.contains(&stranger.to_string()));
    assert!(world.smtp.received().is_empty());
}
