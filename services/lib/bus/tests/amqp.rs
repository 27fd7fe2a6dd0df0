//! The broker's side of the contract, on a real RabbitMQ.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::time::Duration;

use bus::amqp::topology::{CANCEL_EXCHANGE, DEAD_QUEUE, FAILED_QUEUE, NOTIFICATION_QUEUES, RUN_QUEUE, Topology};
use bus::amqp::{Error, Outgoing, Publisher, Source, Verdict, run_consumer};
use common::{Proxy, eventually, settings};
use devservices::testing::{management, vhost};
use model::notification::{NotificationEvent, NotificationType, Strategy};
use model::{CancelMessage, ExecutionContext, RunMessage, Timestamp};
use reqwest::Method;
use runtime::{Settings, Shutdown};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::mpsc;
use uuid::Uuid;

const BOTH: [Topology; 2] = [Topology::Executions, Topology::Notifications];

struct World {
    url: String,
    vhost: String,
    settings: Settings,
    shutdown: Shutdown,
}

impl World {
    async fn new() -> Self {
        let url = vhost().await;
        let settings = settings(&[("RABBITMQ_URL", &url)]);
        Self {
            vhost: url.rsplit('/').next().unwrap().to_owned(),
            url,
            settings,
            shutdown: Shutdown::new(),
        }
    }

    fn publisher(&self) -> Publisher {
        Publisher::at(self.url.clone(), "test", &BOTH)
    }

    async fn api(&self, kind: &str) -> Vec<Value> {
        serde_json::from_str(&management(Method::GET, &format!("/api/{kind}/{}", self.vhost), String::new()).await).unwrap()
    }

    /// Bodies of the messages in a queue, taken out.
    async fn drained(&self, queue: &str) -> Vec<String> {
        let request = json!({"count": 100, "ackmode": "ack_requeue_false", "encoding": "auto"}).to_string();
        let text = management(Method::POST, &format!("/api/queues/{}/{queue}/get", self.vhost), request).await;
        let messages: Vec<Value> = serde_json::from_str(&text).unwrap();
        messages.iter().map(|message| message["payload"].as_str().unwrap().to_owned()).collect()
    }

    fn consume<T: DeserializeOwned + Send + 'static>(&self, settings: Settings, source: Source, verdict: Verdict) -> mpsc::Receiver<T> {
        let (sender, receiver) = mpsc::channel(1000);
        let shutdown = self.shutdown.clone();
        tokio::spawn(async move {
            let handler = |consumed: bus::amqp::Consumed<T>| {
                let sender = sender.clone();
                async move {
                    sender.send(consumed.message).await.unwrap();
                    verdict
                }
            };
            run_consumer(&settings, source, 10, |_| (), shutdown, handler).await;
        });
        receiver
    }
}

#[tokio::test]
async fn a_message_carries_its_trace() {
    let world = World::new().await;
    let trace = runtime::Trace::begin();
    let message = Outgoing::run(&run_message()).unwrap().traced(Some(trace.to_string()));
    world.publisher().publish(&message).await.unwrap();
    let (sender, mut received) = mpsc::channel(1);
    let (settings, shutdown) = (world.settings.clone(), world.shutdown.clone());
    tokio::spawn(async move {
        let handler = |consumed: bus::amqp::Consumed<RunMessage>| {
            let sender = sender.clone();
            async move {
                sender.send(consumed.trace).await.unwrap();
                Verdict::Ack
            }
        };
        run_consumer(&settings, Source::Runs, 1, |_| (), shutdown, handler).await;
    });
    assert_eq!(soon(&mut received).await, Some(trace));
}

fn run_message() -> RunMessage {
    RunMessage {
        user_id: Uuid::new_v4(),
        graph_exec_id: Uuid::new_v4(),
        graph_id: Uuid::new_v4(),
        graph_version: 1,
        nodes_input_masks: None,
        execution_context: ExecutionContext::default(),
    }
}

fn notification(kind: NotificationType) -> NotificationEvent {
    NotificationEvent {
        kind,
        user_id: Uuid::new_v4(),
        created_at: Timestamp::now(),
        id: None,
        data: Default::default(),
    }
}

async fn soon<T>(receiver: &mut mpsc::Receiver<T>) -> T {
    tokio::time::timeout(Duration::from_secs(15), receiver.recv())
        .await
        .expect("nothing came")
        .unwrap()
}

#[tokio::test]
async fn the_topology_is_the_contracts_to_the_letter() {
    let world = World::new().await;
    world.publisher().check().await.unwrap();
    let exchanges: Vec<(String, String, bool, bool)> = world
        .api("exchanges")
        .await
        .iter()
        .filter(|exchange| !exchange["name"].as_str().unwrap().starts_with("amq.") && exchange["name"] != "")
        .map(|exchange| {
            let text = |key: &str| exchange[key].as_str().unwrap().to_owned();
            (
                text("name"),
                text("type"),
                exchange["durable"].as_bool().unwrap(),
                exchange["auto_delete"].as_bool().unwrap(),
            )
        })
        .collect();
    let expected = [
        ("dead_letter", "topic", true, false),
        ("graph_execution", "direct", true, false),
        ("graph_execution_cancel", "fanout", true, true),
        ("notifications", "topic", true, false),
    ];
    assert_eq!(
        exchanges,
        expected.map(|(name, kind, durable, auto)| (name.to_owned(), kind.to_owned(), durable, auto))
    );

    let queues = world.api("queues").await;
    let arguments = |name: &str| queues.iter().find(|queue| queue["name"] == name).unwrap()["arguments"].clone();
    assert_eq!(queues.len(), 7);
    assert!(
        queues
            .iter()
            .all(|queue| queue["durable"] == true && queue["auto_delete"] == false && queue["type"] == "classic")
    );
    assert_eq!(arguments("graph_execution_queue"), json!({"x-consumer-timeout": 86_400_000}));
    assert_eq!(
        arguments("batch_notifications"),
        json!({"x-dead-letter-exchange": "dead_letter", "x-dead-letter-routing-key": "failed.batch"})
    );
    assert_eq!(arguments("failed_notifications"), json!({}));
    assert_eq!(arguments("graph_execution_dead"), json!({}));

    let bindings = world.api("bindings").await;
    let mut bound: Vec<String> = bindings
        .iter()
        .filter(|binding| binding["source"] != "")
        .map(|binding| {
            format!(
                "{} {} {}",
                binding["source"].as_str().unwrap(),
                binding["routing_key"].as_str().unwrap(),
                binding["destination"].as_str().unwrap()
            )
        })
        .collect();
    bound.sort();
    let expected = [
        "dead_letter failed.# failed_notifications",
        "graph_execution graph_execution.run graph_execution_queue",
        "notifications notification.admin.# admin_notifications",
        "notifications notification.batch.# batch_notifications",
        "notifications notification.immediate.# immediate_notifications",
        "notifications notification.summary.# summary_notifications",
    ];
    assert_eq!(bound, expected);
}

#[tokio::test]
async fn a_queue_with_other_arguments_is_an_error_with_a_remedy_and_stays() {
    let world = World::new().await;
    let other = json!({"durable": true, "arguments": {"x-max-length": 5}}).to_string();
    management(Method::PUT, &format!("/api/queues/{}/{RUN_QUEUE}", world.vhost), other).await;
    let error = world.publisher().check().await.unwrap_err();
    assert!(
        matches!(error, Error::Precondition(_)) && error.to_string().contains("RABBITMQ_VHOST"),
        "{error}"
    );
    assert_eq!(world.api("queues").await[0]["arguments"], json!({"x-max-length": 5}));
}

#[tokio::test]
async fn run_messages_arrive_and_unreadable_ones_are_set_aside() {
    let world = World::new().await;
    let publisher = world.publisher();
    let message = run_message();
    let garbage = Outgoing {
        body: b"{\"user_id\": 5}".to_vec(),
        ..Outgoing::run(&message).unwrap()
    };
    publisher.publish(&garbage).await.unwrap();
    publisher.publish(&Outgoing::run(&message).unwrap()).await.unwrap();
    let mut runs = world.consume::<RunMessage>(world.settings.clone(), Source::Runs, Verdict::Ack);
    assert_eq!(soon(&mut runs).await, message);
    let dead = eventually("the unreadable message", || async {
        Some(world.drained(DEAD_QUEUE).await).filter(|found| !found.is_empty())
    })
    .await;
    assert_eq!(dead, ["{\"user_id\": 5}"]);
    world.shutdown.trigger();
}

#[tokio::test]
async fn many_messages_are_confirmed_in_order() {
    let world = World::new().await;
    let messages: Vec<RunMessage> = (0..600).map(|_| run_message()).collect();
    let outgoing: Vec<Outgoing> = messages.iter().map(|message| Outgoing::run(message).unwrap()).collect();
    assert!(world.publisher().publish_all(&outgoing).await.iter().all(Result::is_ok));
    let mut runs = world.consume::<RunMessage>(world.settings.clone(), Source::Runs, Verdict::Ack);
    for message in messages {
        assert_eq!(soon(&mut runs).await, message);
    }
}

#[tokio::test]
async fn a_cancel_reaches_every_process() {
    let world = World::new().await;
    let publisher = world.publisher();
    // Nobody listens yet: a lost hint is no error.
    publisher
        .cancel(&CancelMessage {
            graph_exec_id: Uuid::new_v4(),
        })
        .await
        .unwrap();
    let mut first = world.consume::<CancelMessage>(world.settings.clone(), Source::Cancels, Verdict::Ack);
    let mut second = world.consume::<CancelMessage>(world.settings.clone(), Source::Cancels, Verdict::Ack);
    eventually("two bound cancel queues", || async {
        let bindings = world.api("bindings").await;
        (bindings.iter().filter(|binding| binding["source"] == CANCEL_EXCHANGE).count() == 2).then_some(())
    })
    .await;
    let message = CancelMessage {
        graph_exec_id: Uuid::new_v4(),
    };
    publisher.cancel(&message).await.unwrap();
    assert_eq!((soon(&mut first).await, soon(&mut second).await), (message.clone(), message));
    assert!(
        world
            .api("queues")
            .await
            .iter()
            .all(|queue| queue["name"] != "graph_execution_cancel_queue")
    );
}

#[tokio::test]
async fn notifications_take_the_queue_of_their_strategy_and_rejected_ones_the_dead_letters() {
    let world = World::new().await;
    let publisher = world.publisher();
    for (kind, queue) in [
        (NotificationType::AgentRun, "batch_notifications"),
        (NotificationType::LowBalance, "immediate_notifications"),
        (NotificationType::WeeklySummary, "summary_notifications"),
        (NotificationType::RefundRequest, "admin_notifications"),
    ] {
        publisher.notification(&notification(kind)).await.unwrap();
        assert!(NOTIFICATION_QUEUES.iter().any(|(_, name)| *name == queue));
        assert_eq!(world.drained(queue).await.len(), 1, "{kind:?}");
    }
    let lost = publisher
        .notification(&notification(NotificationType::BlockExecutionFailed))
        .await
        .unwrap_err();
    assert!(matches!(lost, Error::Unroutable { .. }), "{lost}");

    publisher.notification(&notification(NotificationType::LowBalance)).await.unwrap();
    let mut rejected = world.consume::<NotificationEvent>(world.settings.clone(), Source::Notifications(Strategy::Immediate), Verdict::Reject);
    soon(&mut rejected).await;
    let dead = eventually("the dead letter", || async {
        Some(world.drained(FAILED_QUEUE).await).filter(|found| !found.is_empty())
    })
    .await;
    assert!(dead[0].contains("LOW_BALANCE"));
}

#[tokio::test]
async fn publisher_and_consumer_come_back_with_the_broker() {
    let world = World::new().await;
    let proxy = Proxy::to(&world.url, false).await;
    let behind = proxy.instead(&world.url);
    let publisher = Publisher::at(behind.clone(), "test", &BOTH);
    let through = settings(&[("RABBITMQ_URL", &behind)]);
    let mut runs = world.consume::<RunMessage>(through, Source::Runs, Verdict::Ack);
    let outgoing = |message: &RunMessage| Outgoing::run(message).unwrap();
    assert!(publisher.publish(&outgoing(&run_message())).await.is_err());
    for _ in 0..2 {
        proxy.heal();
        let message = run_message();
        eventually("publishing", || async { publisher.publish(&outgoing(&message)).await.ok() }).await;
        // It may come twice: delivery is at least once.
        while soon(&mut runs).await != message {}
        proxy.cut();
        eventually("the loss", || async { publisher.publish(&outgoing(&run_message())).await.err() }).await;
    }
}
