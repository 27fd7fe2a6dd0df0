//! Live events, on a real Redis.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod common;

use std::sync::Arc;
use std::time::{Duration, Instant};

use bus::events::{Channels, EventBus, Received, Subscriber, Subscription};
use common::{Proxy, eventually, settings};
use devservices::testing::redis_url;
use model::{ExecutionEvent, ExecutionStatus, GraphExecution, GraphExecutionMeta, Timestamp};
use runtime::{Settings, Shutdown};
use serde_json::Value;
use uuid::Uuid;

fn graph_event() -> ExecutionEvent {
    let now = Timestamp::now();
    let meta = GraphExecutionMeta {
        id: Uuid::new_v4(),
        user_id: Uuid::new_v4(),
        graph_id: Uuid::new_v4(),
        graph_version: 1,
        inputs: None,
        credential_inputs: None,
        nodes_input_masks: None,
        preset_id: None,
        status: ExecutionStatus::Running,
        started_at: now,
        ended_at: now,
        is_shared: false,
        share_token: None,
        stats: None,
    };
    ExecutionEvent::GraphExecutionUpdate(GraphExecution {
        meta,
        outputs: Default::default(),
    })
}

fn meta(event: &ExecutionEvent) -> &GraphExecutionMeta {
    match event {
        ExecutionEvent::GraphExecutionUpdate(graph) => &graph.meta,
        ExecutionEvent::NodeExecutionUpdate(_) => panic!("a graph event was made"),
    }
}

/// Own channel names, so that tests that run at the same time do not hear each other.
fn own(url: &str) -> Settings {
    let name = format!("execution_event_{}", Uuid::new_v4());
    settings(&[("REDIS_URL", url), ("EXECUTION_EVENT_BUS_NAME", &name)])
}

async fn next(subscription: &mut Subscription) -> Received {
    tokio::time::timeout(Duration::from_secs(10), subscription.next())
        .await
        .expect("nothing came")
}

async fn next_json(subscription: &mut Subscription) -> Value {
    match next(subscription).await {
        Received::Message(body) => serde_json::from_slice(&body).unwrap(),
        Received::Gap => panic!("a gap"),
    }
}

async fn subscribers(channel: &str) -> i64 {
    let mut connection = redis::Client::open(redis_url())
        .unwrap()
        .get_multiplexed_async_connection()
        .await
        .unwrap();
    let (_, count): (String, i64) = redis::cmd("PUBSUB")
        .arg("NUMSUB")
        .arg(channel)
        .query_async(&mut connection)
        .await
        .unwrap();
    count
}

#[tokio::test]
async fn an_event_has_the_contracts_form_and_reaches_run_graph_and_progress() {
    let settings = own(&redis_url());
    let shutdown = Shutdown::new();
    let (bus, subscriber, channels) = (
        EventBus::start(&settings),
        Subscriber::start(&settings, &shutdown),
        Channels::new(&settings),
    );
    let event = graph_event();
    let meta = meta(&event);
    let mut run = subscriber.subscribe(channels.run(meta.user_id, meta.graph_id, meta.id)).await;
    let mut graph = subscriber.subscribe(channels.graph(meta.user_id, meta.graph_id)).await;
    let mut progress = subscriber.subscribe(channels.progress()).await;
    bus.publish(&event, Some(7), Some(5));
    let seen = next_json(&mut run).await;
    assert_eq!(seen["payload"]["event_type"], "graph_execution_update");
    assert_eq!(seen["payload"]["id"], meta.id.to_string());
    assert_eq!((&seen["seq"], &seen["prev"]), (&7.into(), &5.into()));
    assert!(seen["payload"].get("seq").is_none());
    assert_eq!(next_json(&mut graph).await, seen);
    assert_eq!(next(&mut progress).await, Received::Message(Arc::from([])));
    assert_eq!(channels.run(meta.user_id, meta.graph_id, meta.id).split('/').count(), 4);
}

#[tokio::test]
async fn readers_of_one_channel_share_one_subscription_that_ends_with_the_last() {
    let settings = own(&redis_url());
    let subscriber = Subscriber::start(&settings, &Shutdown::new());
    let channel = format!("c/{}", Uuid::new_v4());
    let first = subscriber.subscribe(channel.clone()).await;
    let second = subscriber.subscribe(channel.clone()).await;
    assert_eq!(subscribers(&channel).await, 1);
    drop(first);
    let third = subscriber.subscribe(channel.clone()).await;
    drop(second);
    assert_eq!(subscribers(&channel).await, 1);
    drop(third);
    eventually("the end of the subscription", || async {
        (subscribers(&channel).await == 0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_reader_that_falls_behind_is_told_of_a_gap_once_and_then_hears_what_is_new() {
    let settings = own(&redis_url());
    let bus = EventBus::start(&settings);
    let subscriber = Subscriber::start(&settings, &Shutdown::new());
    let (news, end) = (Uuid::new_v4().to_string(), Uuid::new_v4().to_string());
    let mut slow = subscriber.subscribe(news.clone()).await;
    let mut marks = subscriber.subscribe(end.clone()).await;
    for round in 0..2_u32 {
        for number in 0..1000_u32 {
            bus.publish_bytes(news.clone(), number.to_be_bytes().to_vec());
        }
        bus.publish_bytes(end.clone(), vec![0]);
        // Messages arrive in the order in which they were published: all that went before are there.
        next(&mut marks).await;
        let mut heard = 0_u32;
        while let Received::Message(message) = next(&mut slow).await {
            assert_eq!(*message, heard.to_be_bytes(), "in round {round}");
            heard += 1;
        }
        assert!((1..1000).contains(&heard), "{heard}");
    }
}

#[tokio::test]
async fn losing_redis_neither_blocks_the_publisher_nor_deceives_the_reader() {
    let url = redis_url();
    let proxy = Proxy::to(&url, false).await;
    let settings = own(&proxy.instead(&url));
    let shutdown = Shutdown::new();
    let bus = EventBus::start(&settings);
    let subscriber = Subscriber::start(&settings, &shutdown);
    let begun = Instant::now();
    for _ in 0..1000 {
        bus.publish(&graph_event(), None, None);
    }
    assert!(begun.elapsed() < Duration::from_secs(10), "{:?}", begun.elapsed());
    let mut reader = subscriber.subscribe("news".to_owned() + &Uuid::new_v4().to_string()).await;
    for _ in 0..2 {
        proxy.heal();
        assert_eq!(next(&mut reader).await, Received::Gap);
        proxy.cut();
        // Until the proxy has closed its connections.
        tokio::time::sleep(Duration::from_millis(300)).await;
    }
    bus.flush().await;
    assert!(bus.dropped() > 0);
    proxy.heal();
    assert_eq!(next(&mut reader).await, Received::Gap);
}

#[tokio::test]
async fn an_event_that_is_too_large_is_shortened_before_it_is_given_up() {
    let url = redis_url();
    let name = format!("execution_event_{}", Uuid::new_v4());
    let settings = settings(&[
        ("REDIS_URL", &url),
        ("EXECUTION_EVENT_BUS_NAME", &name),
        ("MAX_MESSAGE_SIZE_LIMIT", "20000"),
    ]);
    let shutdown = Shutdown::new();
    let (bus, subscriber, channels) = (
        EventBus::start(&settings),
        Subscriber::start(&settings, &shutdown),
        Channels::new(&settings),
    );
    let ExecutionEvent::GraphExecutionUpdate(mut graph) = graph_event() else {
        panic!("a graph event was made")
    };
    graph.outputs.insert("long".to_owned(), vec![Value::String("x".repeat(100_000))]);
    let mut reader = subscriber
        .subscribe(channels.run(graph.meta.user_id, graph.meta.graph_id, graph.meta.id))
        .await;
    bus.publish(&ExecutionEvent::GraphExecutionUpdate(graph.clone()), None, None);
    let seen = next_json(&mut reader).await;
    assert!(seen["payload"]["outputs"]["long"][0].as_str().unwrap().contains("(omitted"), "{seen}");
    // Several of them, and a text that JSON makes twice as long.
    for name in ["a", "b", "c", "d"] {
        graph.outputs.insert(name.to_owned(), vec![Value::String("\n".repeat(15_000))]);
    }
    bus.publish(&ExecutionEvent::GraphExecutionUpdate(graph.clone()), None, None);
    let seen = next_json(&mut reader).await;
    assert_eq!(seen["payload"]["event_type"], "graph_execution_update");
    assert_eq!(seen["payload"]["outputs"].as_object().unwrap().len(), graph.outputs.len());
    // Credential references are never cut: when they alone are too large, only a notice goes out.
    graph.meta.preset_id = Some("y".repeat(30_000));
    bus.publish(&ExecutionEvent::GraphExecutionUpdate(graph), None, None);
    assert_eq!(next_json(&mut reader).await["payload"]["event_type"], "error_comms_update");
}
