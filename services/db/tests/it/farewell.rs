//! Runs that end without an executor: what their watchers hear over Redis.

use std::time::Duration;

use bus::events::{Channels, Received, Subscriber, Subscription};
use model::{ExecutionStatus, GivenUpRun, JournalBatch, JournalEntry, Timestamp};
use rpc::services::DatabaseManager;
use runtime::{Settings, Shutdown};
use serde_json::Value;
use submit::SubmitCommand;
use uuid::Uuid;

use crate::world::{Server, World};

/// A database manager with events of its own, and one who watches runs of the world's graph.
struct Audience {
    world: World,
    server: Server,
    channels: Channels,
    subscriber: Subscriber,
    settings: Vec<(&'static str, String)>,
}

impl Audience {
    async fn new() -> Self {
        let world = World::new().await;
        let (redis, bus) = (devservices::testing::redis_url(), format!("events_{}", Uuid::new_v4().simple()));
        let settings = vec![
            ("DATABASE_URL", world.database.clone()),
            ("RABBITMQ_URL", world.amqp.clone()),
            ("REDIS_URL", redis),
            ("EXECUTION_EVENT_BUS_NAME", bus),
            ("MAX_ATTEMPTS", "1".to_owned()),
        ];
        let parsed = Settings::from_pairs(pairs(&settings)).unwrap();
        Self {
            server: Server::start(&pairs(&settings)).await,
            channels: Channels::new(&parsed),
            subscriber: Subscriber::start(&parsed, &Shutdown::new()),
            settings,
            world,
        }
    }

    async fn watch(&self, run: Uuid) -> Subscription {
        let channel = self.channels.run(self.world.user, self.world.graph.id, run);
        self.subscriber.subscribe(channel).await
    }
}

fn pairs<'a>(settings: &'a [(&'static str, String)]) -> Vec<(&'static str, &'a str)> {
    settings.iter().map(|(name, value)| (*name, value.as_str())).collect()
}

async fn next(events: &mut Subscription) -> Value {
    let received = tokio::time::timeout(Duration::from_secs(20), events.next()).await;
    let Received::Message(event) = received.unwrap() else {
        panic!("a gap instead of the event");
    };
    serde_json::from_slice(&event).unwrap()
}

#[tokio::test]
async fn a_run_that_is_cancelled_while_it_waits() {
    let audience = Audience::new().await;
    let run = audience.world.submit().await;
    let mut events = audience.watch(run).await;
    audience.world.store.request_cancel(None, run).await.unwrap();
    let event = next(&mut events).await;
    assert_eq!(event["payload"]["event_type"], "graph_execution_update");
    assert_eq!(event["payload"]["id"], run.to_string());
    assert_eq!(event["payload"]["status"], "TERMINATED");
    assert_eq!(event["payload"]["inputs"]["x"], "hello");
    assert_eq!((&event["seq"], &event["prev"]), (&1.into(), &0.into()));
}

#[tokio::test]
async fn a_run_that_is_past_its_deadline() {
    let audience = Audience::new().await;
    let command = SubmitCommand {
        user_id: audience.world.user,
        graph_id: audience.world.graph.id,
        deadline: Some(Timestamp::from(Timestamp::now().into_inner() + Duration::from_secs(2))),
        ..SubmitCommand::default()
    };
    let run = audience.world.submitter.submit(command).await.unwrap().id;
    let mut events = audience.watch(run).await;
    let event = next(&mut events).await;
    assert_eq!(event["payload"]["status"], "TERMINATED");
    assert_eq!(event["payload"]["stats"]["error"], model::PAST_DEADLINE);
}

#[tokio::test]
async fn a_run_that_is_given_up_after_some_of_its_journal() {
    let audience = Audience::new().await;
    let run = audience.world.submit().await;
    let mut events = audience.watch(run).await;
    let owner = Uuid::new_v4();
    let client = &audience.server.client;
    let claimed = client.claim(owner, "executor-0".to_owned(), 1).await.unwrap().pop().unwrap();
    let started = JournalBatch {
        graph_exec_id: run,
        epoch: claimed.epoch,
        first_seq: claimed.next_seq,
        news_seen: 0,
        entries: vec![JournalEntry::RunStatus {
            status: ExecutionStatus::Running,
            stats: None,
            at: Timestamp::now(),
        }],
    };
    client.append_journal(owner, vec![started]).await.unwrap();
    let given_up = GivenUpRun {
        held: claimed.held(),
        reason: "it broke".to_owned(),
    };
    client.give_up_runs(owner, vec![given_up]).await.unwrap();
    let event = next(&mut events).await;
    assert_eq!(event["payload"]["status"], "FAILED");
    assert!(event["payload"]["stats"]["error"].as_str().unwrap().contains("it broke"), "{event}");
    assert_eq!((&event["seq"], &event["prev"]), (&2.into(), &1.into()));
}

#[tokio::test]
async fn runs_that_end_while_nobody_is_there_to_tell() {
    let mut audience = Audience::new().await;
    let runs = [audience.world.submit().await, audience.world.submit().await];
    let mut events = [audience.watch(runs[0]).await, audience.watch(runs[1]).await];
    audience.server.stop().await;
    for run in runs {
        audience.world.store.request_cancel(None, run).await.unwrap();
    }
    audience.server = Server::start(&pairs(&audience.settings)).await;
    for events in &mut events {
        assert_eq!(next(events).await["payload"]["status"], "TERMINATED");
    }
}
