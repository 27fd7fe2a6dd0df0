//! The protocol of internals §3.2 with a real client and a real Redis. Run with `make test`, or
//! `cargo run -p devservices -- run -- cargo test -p ws`.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

mod app;

use std::time::Duration;

use app::{POSITION, TestApp, add_redis_user, graph_event, node_event, sign, token};
use serde_json::{Value, json};
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::protocol::frame::coding::Data;
use uuid::Uuid;

fn subscribe(graph_exec_id: impl serde::Serialize) -> Value {
    json!({"method": "subscribe_graph_execution", "data": {"graph_exec_id": graph_exec_id}})
}

fn subscribe_graph(graph_id: impl serde::Serialize) -> Value {
    json!({"method": "subscribe_graph_executions", "data": {"graph_id": graph_id}})
}

fn done(method: &str, channel: Option<String>) -> Value {
    json!({"method": method, "data": null, "success": true, "channel": channel, "error": null})
}

fn refused(text: &str) -> Value {
    json!({"method": "error", "data": null, "success": false, "channel": null, "error": text})
}

#[tokio::test]
async fn a_connection_without_a_valid_token_is_refused_before_the_handshake() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let expired = sign(&json!({"sub": user, "aud": "authenticated", "exp": 1}));
    let nobody = sign(&json!({"aud": "authenticated", "exp": 4_000_000_000_i64}));
    let unsigned = token(user).rsplit_once('.').unwrap().0.to_owned() + ".";
    for query in [
        String::new(),
        "?token=".to_owned(),
        "?token=x".to_owned(),
        format!("?token={expired}"),
        format!("?token={nobody}"),
        format!("?token={unsigned}"),
        format!("?other={}", token(user)),
    ] {
        assert_eq!(app.try_connect(&query).await.err(), Some(403), "{query}");
    }
    assert!(app.try_connect(&format!("?token={}", token(user))).await.is_ok());
}

#[tokio::test]
async fn without_authentication_everybody_is_the_default_user() {
    let app = TestApp::with(&[("ENABLE_AUTH", "false")]).await;
    let mut client = app.try_connect("").await.ok().unwrap();
    let graph = Uuid::new_v4();
    let channel = format!("3e53486c-cf57-477e-ba2a-cb02dc828e1a|graph#{graph}|executions");
    assert_eq!(
        client.ask(subscribe_graph(graph)).await,
        done("subscribe_graph_executions", Some(channel))
    );
}

#[tokio::test]
async fn a_subscriber_of_a_run_gets_its_nodes_and_itself() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    let channel = format!("{user}|graph_exec#{}", run.id);
    assert_eq!(
        client.ask(subscribe(run.id)).await,
        done("subscribe_graph_execution", Some(channel.clone()))
    );

    app.publish(&node_event(&run));
    let frame = client.json().await;
    assert_eq!((&frame["method"], &frame["channel"]), (&json!("node_execution_event"), &json!(channel)));
    assert_eq!((&frame["success"], &frame["error"]), (&Value::Null, &Value::Null));
    assert_eq!(
        (&frame["data"]["event_type"], &frame["data"]["status"]),
        (&json!("node_execution_update"), &json!("COMPLETED"))
    );
    assert_eq!(frame["data"]["output_data"], json!({"result": [1.5]}));

    app.publish(&graph_event(&run));
    let frame = client.json().await;
    assert_eq!((&frame["method"], &frame["channel"]), (&json!("graph_execution_event"), &json!(channel)));
    assert_eq!(
        (&frame["data"]["event_type"], &frame["data"]["id"]),
        (&json!("graph_execution_update"), &json!(run.id))
    );
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_subscriber_of_a_graph_gets_its_runs_but_not_their_nodes() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    let channel = format!("{user}|graph#{}|executions", run.graph_id);
    assert_eq!(
        client.ask(subscribe_graph(run.graph_id)).await,
        done("subscribe_graph_executions", Some(channel.clone()))
    );
    app.publish(&node_event(&run));
    app.publish(&graph_event(&run));
    let frame = client.json().await;
    assert_eq!((&frame["method"], &frame["channel"]), (&json!("graph_execution_event"), &json!(channel)));
    client.expect_quiet().await;
}

#[tokio::test]
async fn subscribed_to_both_a_socket_gets_the_run_twice() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    client.ask(subscribe(run.id)).await;
    client.ask(subscribe_graph(run.graph_id)).await;
    app.publish(&graph_event(&run));
    let mut channels = [client.json().await["channel"].to_string(), client.json().await["channel"].to_string()];
    channels.sort();
    assert!(channels[0].contains("|executions") && channels[1].contains("graph_exec#"), "{channels:?}");
}

#[tokio::test]
async fn what_a_graph_tells_of_a_run_never_overtakes_the_runs_nodes() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    client.ask(subscribe(run.id)).await;
    client.ask(subscribe_graph(run.graph_id)).await;
    let rounds = 100;
    for _ in 0..rounds {
        app.publish(&node_event(&run));
        app.publish(&graph_event(&run));
    }
    let (mut nodes, mut told_by_graph) = (0, 0);
    while told_by_graph < rounds {
        let frame = client.json().await;
        if frame["method"] == "node_execution_event" {
            nodes += 1;
        } else if frame["channel"].as_str().unwrap().ends_with("|executions") {
            told_by_graph += 1;
            assert!(nodes >= told_by_graph, "the graph was told of {told_by_graph}, the nodes of {nodes}");
        }
    }
}

#[tokio::test]
async fn a_run_and_its_graph_are_told_in_one_order() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let mut run = app.run_of(user);
    let mut client = app.connect(user).await;
    client.ask(subscribe(run.id)).await;
    client.ask(subscribe_graph(run.graph_id)).await;
    let rounds = 100;
    for round in 1..=rounds {
        // Stands for what changes: RUNNING behind COMPLETED would be an earlier one behind a later one.
        run.graph_version = round;
        app.publish(&graph_event(&run));
    }
    let mut newest = 0;
    for _ in 0..2 * rounds {
        let frame = client.json().await;
        let version = frame["data"]["graph_version"].as_i64().unwrap();
        assert!(version >= newest, "{} tells {version} behind {newest}", frame["channel"]);
        newest = version;
    }
    assert_eq!(newest, i64::from(rounds));
}

#[tokio::test]
async fn somebody_elses_run_is_accepted_and_silent() {
    let app = TestApp::start().await;
    let (owner, stranger) = (Uuid::new_v4(), Uuid::new_v4());
    let run = app.run_of(owner);
    let mut client = app.connect(stranger).await;
    for id in [run.id.to_string(), "no-such-id".to_owned(), "*".to_owned()] {
        let channel = format!("{stranger}|graph_exec#{id}");
        assert_eq!(client.ask(subscribe(&id)).await, done("subscribe_graph_execution", Some(channel)));
    }
    client.ask(subscribe_graph(run.graph_id)).await;
    app.publish(&node_event(&run));
    app.publish(&graph_event(&run));
    client.expect_quiet().await;
}

#[tokio::test]
async fn unsubscribing_ends_the_events_and_tells_whether_there_was_something_to_end() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    let unsubscribe = json!({"method": "unsubscribe", "data": {"graph_exec_id": run.id}});
    assert_eq!(client.ask(unsubscribe.clone()).await, done("unsubscribe", None));
    client.ask(subscribe(run.id)).await;
    let channel = format!("{user}|graph_exec#{}", run.id);
    assert_eq!(client.ask(unsubscribe.clone()).await, done("unsubscribe", Some(channel)));
    app.publish(&node_event(&run));
    client.expect_quiet().await;
    assert_eq!(client.ask(unsubscribe).await, done("unsubscribe", None));
}

#[tokio::test]
async fn a_heartbeat_is_answered_with_exactly_three_keys() {
    let app = TestApp::start().await;
    let mut client = app.connect(Uuid::new_v4()).await;
    client.send(r#"{"method":"heartbeat","data":"ping"}"#).await;
    assert_eq!(client.text().await, r#"{"method":"heartbeat","data":"pong","success":true}"#);
}

#[tokio::test]
async fn bad_frames_are_answered_and_the_socket_stays_open() {
    let app = TestApp::start().await;
    let mut client = app.connect(Uuid::new_v4()).await;
    let cases = [
        ("no json", "Invalid message format. Review the schema and retry"),
        (r#"{"method":"dance"}"#, "Invalid message format. Review the schema and retry"),
        (r#"{"method":"subscribe_graph_execution"}"#, "Subscription data missing"),
        (
            r#"{"method":"subscribe_graph_execution","data":{"x":1}}"#,
            "Invalid message data. Refer to the API schema",
        ),
        (r#"{"method":"notification"}"#, "Message type is not processed by the server"),
    ];
    for (frame, text) in cases {
        client.send(frame).await;
        assert_eq!(client.json().await, refused(text), "{frame}");
    }
    client.send_binary(vec![0, 159, 146, 150]).await;
    assert_eq!(client.json().await, refused("Invalid message format. Review the schema and retry"));
    client.send(r#"{"method":"error","error":"mine"}"#).await;
    client.expect_quiet().await;
    assert_eq!(client.ask(json!({"method": "heartbeat"})).await["data"], "pong");
}

#[tokio::test]
async fn a_message_that_cannot_be_read_ends_the_connection_with_the_reason() {
    const MOST: usize = 1 << 20;
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let connect = async || app.connect(user).await;
    let too_large = (1009, "a message may have at most 1 MiB".to_owned());
    let text = |length| vec![b'x'; length];

    let mut largest = connect().await;
    largest.send_frame(Data::Text, text(MOST), true).await;
    assert_eq!(largest.json().await, refused("Invalid message format. Review the schema and retry"));

    // More than the buffers of both kernels hold: the close is read by a client that still sends.
    for length in [MOST + 1, 40 * MOST] {
        let mut client = connect().await;
        client.send_frame(Data::Text, text(length), true).await;
        assert_eq!(client.closed().await, too_large, "{length}");
    }
    let mut client = connect().await;
    for (kind, is_final) in [(Data::Text, false), (Data::Continue, false), (Data::Continue, true)] {
        client.send_frame(kind, text(MOST / 2), is_final).await;
    }
    assert_eq!(client.closed().await, too_large);

    let mut client = connect().await;
    client.send_frame(Data::Text, vec![0xff, 0xfe], true).await;
    assert_eq!(client.closed().await, (1007, "a text message must be UTF-8".to_owned()));
    let mut client = connect().await;
    client.send_frame(Data::Continue, text(2), true).await;
    assert_eq!(client.closed().await, (1002, "a frame breaks the rules of the protocol".to_owned()));
}

#[tokio::test]
async fn notifications_reach_all_sockets_of_their_user() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let (mut first, mut second, mut other) = (app.connect(user).await, app.connect(user).await, app.connect(Uuid::new_v4()).await);
    let channel = format!("notification_event/{user}");
    timeout(Duration::from_secs(10), async { while app.readers(&channel).await == 0 {} })
        .await
        .unwrap();
    // Both are in the room once Redis has the subscription and the second had time to enter.
    tokio::time::sleep(Duration::from_millis(200)).await;
    let payload = json!({"type": "onboarding", "event": "step_completed", "step": "WELCOME"});
    let event = json!({"payload": {"user_id": user, "payload": payload}});
    app.publish_raw(&channel, &event.to_string()).await;
    let expected = json!({"method": "notification", "data": payload, "success": null, "channel": null, "error": null});
    assert_eq!(first.json().await, expected);
    assert_eq!(second.json().await, expected);
    other.expect_quiet().await;
}

#[tokio::test]
async fn many_sockets_cost_redis_one_subscription_and_the_last_one_ends_it() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let channel = format!("execution_event/{user}/{}/{}", run.graph_id, run.id);
    let mut clients = Vec::new();
    for _ in 0..3 {
        let mut client = app.connect(user).await;
        client.ask(subscribe(run.id)).await;
        clients.push(client);
    }
    assert_eq!(app.readers(&channel).await, 1);
    app.publish(&node_event(&run));
    for client in &mut clients {
        assert_eq!(client.json().await["method"], "node_execution_event");
    }
    drop(clients);
    let ended = async { while app.readers(&channel).await > 0 {} };
    timeout(Duration::from_secs(10), ended)
        .await
        .expect("the subscription ends with its last reader");
}

#[tokio::test]
async fn a_socket_that_does_not_read_is_closed_and_the_others_are_not_held_up() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let (mut slow, mut quick) = (app.connect(user).await, app.connect(user).await);
    slow.ask(subscribe_graph(run.graph_id)).await;
    quick.ask(subscribe_graph(run.graph_id)).await;
    let channel = format!("execution_event/{user}/{}", run.graph_id);
    // More than the queue and the buffers of both kernels hold.
    let event = json!({"payload": {"event_type": "graph_execution_update", "filler": "x".repeat(64_000)}}).to_string();
    for _ in 0..1000 {
        app.publish_raw(&channel, &event).await;
        assert_eq!(quick.json().await["method"], "graph_execution_event");
    }
    assert_eq!(slow.closed_after_events().await, 1013);
}

#[tokio::test]
async fn a_socket_whose_peer_is_gone_without_a_word_is_let_go() {
    let patience = ws::Patience {
        ping_every: Duration::from_millis(100),
        silence: Duration::from_millis(500),
    };
    let app = TestApp::with_patience(&[("ENABLE_METRICS", "true")], patience).await;
    let (silent, mut alive) = (app.connect(Uuid::new_v4()).await, app.connect(Uuid::new_v4()).await);
    let open = async |count: u32| {
        app.status("/metrics")
            .await
            .1
            .contains(&format!("autogpt_websocket_connections_total {count}\n"))
    };
    assert!(open(2).await);
    // The other one's connection stays as it is, but nobody is there.
    let let_go = async {
        while !open(1).await {
            assert_eq!(alive.ask(json!({"method": "heartbeat"})).await["data"], "pong");
        }
    };
    timeout(Duration::from_secs(10), let_go)
        .await
        .expect("a connection without a sign of life ends");
    // Who reads answers the pings, and so stays.
    assert!(timeout(3 * patience.silence, alive.text()).await.is_err(), "nothing was to come");
    assert!(open(1).await);
    assert_eq!(alive.ask(json!({"method": "heartbeat"})).await["data"], "pong");
    drop(silent);
}

#[tokio::test]
async fn after_redis_was_lost_the_present_state_is_told() {
    let user = Uuid::new_v4();
    let redis_user = format!("lost-{user}");
    let app = TestApp::with(&[("REDIS_URL", &add_redis_user(&redis_user).await)]).await;
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    client.ask(subscribe(run.id)).await;
    app.cut_redis(&redis_user).await;
    let methods = [client.json().await["method"].clone(), client.json().await["method"].clone()];
    assert_eq!(methods, ["node_execution_event", "graph_execution_event"]);
}

#[tokio::test]
async fn the_health_routes_answer_and_ws_is_for_sockets_only() {
    let app = TestApp::start().await;
    assert_eq!(app.status("/").await, (200, r#"{"status":"healthy"}"#.to_owned()));
    assert_eq!(app.status("/readyz").await.0, 200);
    assert_eq!(app.status("/ws").await.0, 404);
    assert_eq!(app.status("/metrics").await.0, 404);
    let app = TestApp::with(&[("ENABLE_METRICS", "true")]).await;
    let _client = app.connect(Uuid::new_v4()).await;
    let (_, text) = app.status("/metrics").await;
    assert!(text.contains("autogpt_websocket_connections_total 1"), "{text}");
}

#[tokio::test]
async fn on_shutdown_readiness_goes_off_first_and_then_the_sockets_are_closed() {
    let mut app = TestApp::start().await;
    let mut client = app.connect(Uuid::new_v4()).await;
    app.shutdown.trigger();
    assert_eq!(app.status("/readyz").await.0, 503);
    assert_eq!(client.ask(json!({"method": "heartbeat"})).await["data"], "pong", "still served");
    assert_eq!(client.closed().await.0, 1001);
    timeout(Duration::from_secs(8), &mut app.service).await.expect("ends in time").unwrap();
}

/// Subscribes with what the client has seen, and expects the reply.
async fn resume(client: &mut app::Client, user: Uuid, run: Uuid, last_event_id: i64) {
    let request = json!({"method": "subscribe_graph_execution", "data": {"graph_exec_id": run, "last_event_id": last_event_id}});
    let reply = client.ask(request).await;
    assert_eq!(reply, done("subscribe_graph_execution", Some(format!("{user}|graph_exec#{run}"))));
}

#[tokio::test]
async fn a_client_that_comes_back_is_told_what_it_missed_and_only_then() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let mut client = app.connect(user).await;
    resume(&mut client, user, run.id, POSITION).await;
    client.expect_quiet().await;

    let mut late = app.connect(user).await;
    resume(&mut late, user, run.id, 2).await;
    let frames = [late.json().await, late.json().await, late.json().await];
    let methods: Vec<&str> = frames.iter().map(|frame| frame["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["resync", "node_execution_event", "graph_execution_event"]);
    assert_eq!(frames[0]["data"], json!({"graph_exec_id": run.id, "position": POSITION}));
    assert_eq!((&frames[1]["event_id"], &frames[2]["event_id"]), (&Value::Null, &json!(POSITION)));
}

#[tokio::test]
async fn what_happens_while_a_subscription_is_made_is_told_behind_its_reply() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let (run, over) = (app.run_of(user), app.ended_run_of(user));
    app.let_runs_go_on();
    let mut client = app.connect(user).await;
    let channel = format!("{user}|graph_exec#{}", run.id);
    assert_eq!(client.ask(subscribe(run.id)).await, done("subscribe_graph_execution", Some(channel)));
    let frames = [client.json().await, client.json().await];
    let methods: Vec<&str> = frames.iter().map(|frame| frame["method"].as_str().unwrap()).collect();
    assert_eq!(methods, ["node_execution_event", "graph_execution_event"]);
    assert!(
        frames.iter().all(|frame| frame.get("event_id").is_none()),
        "the client has not asked for numbers"
    );
    client.ask(subscribe(over.id)).await;
    client.expect_quiet().await;
}

#[tokio::test]
async fn a_lost_event_is_followed_by_the_marker_and_the_present_state() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let (mut numbered, mut plain) = (app.connect(user).await, app.connect(user).await);
    resume(&mut numbered, user, run.id, POSITION).await;
    plain.ask(subscribe(run.id)).await;
    app.publish_at(&node_event(&run), 6, 5);
    assert_eq!(numbered.json().await["event_id"], 6);
    let frame = plain.json().await;
    assert!(frame.get("event_id").is_none(), "the contract's frames have five keys: {frame}");
    // 7 is lost.
    app.publish_at(&graph_event(&run), 8, 7);
    let mut methods = Vec::new();
    for _ in 0..4 {
        methods.push(numbered.json().await["method"].as_str().unwrap().to_owned());
    }
    assert_eq!(
        methods,
        ["resync", "node_execution_event", "graph_execution_event", "graph_execution_event"]
    );
    for expected in ["node_execution_event", "graph_execution_event", "graph_execution_event"] {
        assert_eq!(plain.json().await["method"], expected);
    }
}

/// Five events of nearly the largest size, which is more than may wait for a connection, and one that is larger than an event may be.
fn large() -> impl Iterator<Item = String> {
    std::iter::repeat_n(15 << 20, 5).chain([20 << 20]).map(|bytes| "x".repeat(bytes))
}

/// Reads the present state of a run whose nodes have the outputs of `large`, behind its marker when there are numbers.
async fn expect_large(client: &mut app::Client, run: Uuid, numbered: bool) {
    if numbered {
        let marker = client.json().await;
        let expected = json!({"graph_exec_id": run, "position": POSITION});
        assert_eq!((&marker["method"], &marker["data"]), (&json!("resync"), &expected));
    }
    for (number, whole) in large().enumerate() {
        let frame = client.json().await;
        assert_eq!(frame["data"]["graph_exec_id"], json!(run));
        assert_eq!(frame["data"]["node_exec_id"], json!(Uuid::from_u128(number as u128)));
        let output = frame["data"]["output_data"]["result"][0].as_str().unwrap();
        match number {
            5 => assert!(output.len() < 16 << 20 && output.contains("(omitted"), "{}", output.len()),
            _ => assert!(output == whole, "{}", output.len()),
        }
    }
    let frame = client.json().await;
    assert_eq!((&frame["method"], &frame["data"]["id"]), (&json!("graph_execution_event"), &json!(run)));
    assert_eq!(frame.get("event_id"), numbered.then_some(&json!(POSITION)));
}

#[tokio::test]
async fn large_states_are_told_whole_to_who_reads_one_after_the_other() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let (one, other) = (app.run_with_outputs(user, large()), app.run_with_outputs(user, large()));
    let mut client = app.connect(user).await;
    for run in [&one, &other] {
        let request = json!({"method": "subscribe_graph_execution", "data": {"graph_exec_id": run.id, "last_event_id": 0}});
        client.send(request.to_string()).await;
    }
    for run in [&one, &other] {
        let channel = format!("{user}|graph_exec#{}", run.id);
        assert_eq!(client.json().await, done("subscribe_graph_execution", Some(channel)));
        expect_large(&mut client, run.id, true).await;
    }
    client.expect_quiet().await;
    assert_eq!(client.ask(json!({"method": "heartbeat"})).await["data"], "pong");
}

#[tokio::test]
async fn after_a_loss_a_large_state_is_told_whole_to_all_who_read() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_with_outputs(user, large());
    let mut clients = [app.connect(user).await, app.connect(user).await];
    for client in &mut clients {
        client.ask(subscribe(run.id)).await;
    }
    app.publish_at(&node_event(&run), 6, 5);
    // 7 is lost.
    app.publish_at(&node_event(&run), 8, 7);
    for client in &mut clients {
        assert_eq!(client.json().await["method"], "node_execution_event");
        expect_large(client, run.id, false).await;
        assert_eq!(client.json().await["method"], "node_execution_event");
        assert_eq!(client.ask(json!({"method": "heartbeat"})).await["data"], "pong");
    }
}

#[tokio::test]
async fn all_nodes_of_a_run_are_told_and_where_there_may_be_more_the_marker_says_so() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let small = |count| std::iter::repeat_n("x".to_owned(), count);
    let (some, many) = (app.run_with_outputs(user, small(300)), app.run_with_outputs(user, small(1000)));
    app.let_runs_go_on();
    for (run, count) in [(&some, 300), (&many, 1000)] {
        let channel = format!("{user}|graph_exec#{}", run.id);
        for last_event_id in [None, Some(0)] {
            let mut client = app.connect(user).await;
            match last_event_id {
                Some(seen) => resume(&mut client, user, run.id, seen).await,
                None => assert_eq!(client.ask(subscribe(run.id)).await["channel"], json!(channel)),
            }
            let is_whole = count < 1000;
            if last_event_id.is_some() || !is_whole {
                let marker = client.json().await;
                assert_eq!((&marker["method"], &marker["channel"]), (&json!("resync"), &json!(channel)));
                assert_eq!(marker["data"].get("complete"), (!is_whole).then_some(&json!(false)));
                assert_eq!(marker["data"].get("position").is_some(), last_event_id.is_some());
                assert_eq!(marker.get("event_id"), last_event_id.map(|_| &Value::Null));
            }
            for number in 0..count {
                let id = json!(Uuid::from_u128(number));
                assert_eq!(client.json().await["data"]["node_exec_id"], id);
            }
            assert_eq!(client.json().await["method"], "graph_execution_event");
            client.expect_quiet().await;
        }
    }
}

#[tokio::test]
async fn who_does_not_read_a_state_while_the_run_goes_on_is_closed() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_with_outputs(user, large());
    let (mut slow, mut quick) = (app.connect(user).await, app.connect(user).await);
    resume(&mut quick, user, run.id, POSITION).await;
    resume(&mut slow, user, run.id, 0).await;
    // More than may wait, while the first of the large frames waits for its reader.
    for seq in POSITION + 1..POSITION + 601 {
        app.publish_at(&graph_event(&run), seq, seq - 1);
        assert_eq!(quick.json().await["event_id"], seq);
    }
    let mut told = 0;
    let code = loop {
        match slow.frame_or_close().await {
            Ok(_) => told += 1,
            Err((code, _)) => break code,
        }
    };
    assert_eq!(code, 1013);
    assert!(told < 7, "what is left of the state is not told: {told}");
}

#[tokio::test]
async fn what_happens_while_a_state_is_read_is_told_once_and_behind_it() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let run = app.run_of(user);
    let (mut new, mut known, mut other) = (app.connect(user).await, app.connect(user).await, app.connect(user).await);
    resume(&mut other, user, run.id, POSITION).await;
    resume(&mut known, user, run.id, POSITION).await;
    let held = app.hold_states().await;
    let request = json!({"method": "subscribe_graph_execution", "data": {"graph_exec_id": run.id, "last_event_id": 0}});
    for client in [&mut new, &mut known] {
        client.send(request.to_string()).await;
    }
    app.states_asked(2).await;
    app.publish_at(&node_event(&run), POSITION + 1, POSITION);
    assert_eq!(other.json().await["event_id"], POSITION + 1, "all are in one room");
    drop(held);
    let channel = format!("{user}|graph_exec#{}", run.id);
    for mut client in [new, known] {
        assert_eq!(client.json().await, done("subscribe_graph_execution", Some(channel.clone())));
        let mut told = Vec::new();
        for _ in 0..4 {
            let frame = client.json().await;
            told.push((frame["method"].as_str().unwrap().to_owned(), frame["event_id"].as_i64()));
        }
        let told: Vec<_> = told.iter().map(|(method, id)| (method.as_str(), *id)).collect();
        let expected = [
            ("resync", None),
            ("node_execution_event", None),
            ("graph_execution_event", Some(POSITION)),
            ("node_execution_event", Some(POSITION + 1)),
        ];
        assert_eq!(told, expected);
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn a_connection_ends_with_its_token() {
    let app = TestApp::start().await;
    let user = Uuid::new_v4();
    let soon = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap().as_secs() + 3;
    let brief = sign(&json!({"sub": user, "aud": "authenticated", "exp": soon}));
    let mut client = app.try_connect(&format!("?token={brief}")).await.unwrap();
    let mut other = app.connect(user).await;
    assert_eq!(client.closed().await, (4003, "the token has expired".to_owned()));
    assert_eq!(other.ask(json!({"method": "heartbeat"})).await["data"], "pong");
}

#[tokio::test]
async fn more_connections_than_allowed_are_refused_before_the_handshake() {
    let app = TestApp::with(&[("WEBSOCKET_MAX_CONNECTIONS", "3"), ("WEBSOCKET_MAX_CONNECTIONS_PER_USER", "2")]).await;
    let (user, other) = (Uuid::new_v4(), Uuid::new_v4());
    let first = app.connect(user).await;
    let _second = app.connect(user).await;
    let query = |user| format!("?token={}", token(user));
    assert_eq!(app.try_connect(&query(user)).await.err(), Some(429));
    let _third = app.connect(other).await;
    assert_eq!(app.try_connect(&query(other)).await.err(), Some(503));
    drop(first);
    let freed = async { while app.try_connect(&query(user)).await.is_err() {} };
    timeout(Duration::from_secs(10), freed).await.expect("a place is given back");
}
