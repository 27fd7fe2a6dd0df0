//! Does what `make up` does on a cluster of its own, looks at everything a newcomer is promised, then breaks it.
//!
//! One test, because the cluster is made once; each step is a function that says what it shows.
#![allow(clippy::expect_used, clippy::print_stdout)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use e2e_tests::cluster::{Cluster, condition, condition_message};
use e2e_tests::platform::{Door, SERVICES, User, greeting_graph, ingress};
use serde_json::{Value, json};

/// The address for browsers.
const OUTSIDE: &str = "http://localhost:18080";
const SOON: Duration = Duration::from_secs(60);
const A_WHILE: Duration = Duration::from_secs(180);

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_newcomer_gets_a_platform_that_runs_agents_and_survives_breakage() {
    let cluster = Cluster::up();
    the_platform_is_ready(&cluster);
    the_example_ran_and_shows_its_outputs(&cluster);
    the_schedule_fired_into_a_finished_child(&cluster);
    the_plugin_answers(&cluster);

    let user = User::new(SERVICES, cluster.token("newcomer@example.com"));
    an_agent_runs_over_http_with_live_events(&user).await;
    everything_is_behind_the_ingress_and_behind_the_gateway(&cluster).await;
    the_forwarder_leads_to_the_pod_that_stays(&cluster, &user).await;
    a_schedule_made_over_http_is_an_object_of_the_cluster(&cluster, &user).await;
    what_makes_no_sense_is_refused_at_its_door(&cluster);
    a_run_can_be_cancelled(&cluster);
    nothing_accepted_is_lost_when_pods_die(&cluster, &user).await;
    a_broken_image_is_reported_and_the_old_version_serves_on(&cluster, &user).await;
    external_data_services_work_too(&cluster);
    deleting_the_platform_removes_it_all(&cluster);
}

fn step(text: &str) {
    println!("--- {text}");
}

fn the_platform_is_ready(cluster: &Cluster) {
    step("the platform is ready, with six Deployments and Services");
    let platform = cluster.get("agp", "autogpt");
    for kind in ["Ready", "MigrationsApplied", "DependenciesReady"] {
        assert_eq!(condition(&platform, kind), "True", "{kind}: {}", condition_message(&platform, kind));
    }
    assert_eq!(platform["status"]["observedGeneration"], platform["metadata"]["generation"]);
    for (service, port) in [
        ("rest", 8006),
        ("websocket", 8001),
        ("database-manager", 8005),
        ("scheduler", 8003),
        ("executor", 8002),
        ("notification", 8007),
    ] {
        let name = format!("autogpt-{service}");
        assert_eq!(cluster.get("service", &name)["spec"]["ports"][0]["port"], port, "{name}");
        assert!(
            cluster.get("deployment", &name)["status"]["availableReplicas"].as_i64().unwrap_or(0) >= 1,
            "{name} is available"
        );
    }
}

fn the_example_ran_and_shows_its_outputs(cluster: &Cluster) {
    step("the example execution is COMPLETED and its outputs stand in status.outputs");
    let run = cluster.get("gexec", "hello");
    assert_eq!(run["status"]["phase"], "COMPLETED", "{run}");
    assert_eq!(condition(&run, "Succeeded"), "True");
    assert!(
        run["status"]["outputs"].as_object().is_some_and(|outputs| outputs.len() >= 2),
        "{}",
        run["status"]
    );
    assert!(run["status"]["executionId"].is_string() && run["status"]["startTime"].is_string() && run["status"]["completionTime"].is_string());
}

fn the_schedule_fired_into_a_finished_child(cluster: &Cluster) {
    step("the schedule fired; its child finished; the next fire time is shown");
    let schedule = cluster.get("gsch", "every-minute");
    assert_eq!(
        schedule["status"]["nextFireTimes"].as_array().map(Vec::len),
        Some(5),
        "{}",
        schedule["status"]
    );
    assert!(schedule["status"]["lastFireTime"].is_string());
    let children = cluster.list("gexec", "autogpt.dev/schedule=every-minute");
    assert!(children.iter().any(|child| child["status"]["phase"] == "COMPLETED"), "{children:?}");
    for child in &children {
        assert_eq!(child["metadata"]["ownerReferences"][0]["uid"], schedule["metadata"]["uid"]);
    }
}

fn the_plugin_answers(cluster: &Cluster) {
    step("kubectl autogpt answers about platform, schedule and execution, and reads the logs of real pods");
    let status = cluster.plugin(&["status"]);
    assert!(status.starts_with("platform autogpt: ready"), "{status}");
    assert!(status.contains("every-minute"), "{status}");
    let why = cluster.plugin(&["why", "every-minute"]);
    assert!(why.contains("next: ") && why.contains("Fired"), "{why}");
    assert_eq!(cluster.plugin(&["next", "every-minute", "-n", "3"]).lines().count(), 4);
    let followed = cluster.plugin(&["follow", "hello"]);
    assert!(followed.contains("hello succeeded"), "{followed}");
    let logs = cluster.plugin(&["logs", "hello"]);
    let run = cluster.get("gexec", "hello")["status"]["executionId"].as_str().expect("an id").to_owned();
    assert!(
        logs.starts_with("autogpt-executor-") && logs.contains(&run) && logs.contains("done with a run"),
        "{logs}"
    );
}

async fn an_agent_runs_over_http_with_live_events(user: &User) {
    step("an agent made over REST runs, with live events on the WebSocket");
    user.post("/api/auth/user", json!({})).await;
    let graph = user.post("/api/graphs", json!({"graph": greeting_graph()})).await;
    let id = graph["id"].as_str().expect("an id").to_owned();
    let frames = user
        .watch_graph(&id, async || {
            user.post(&format!("/api/graphs/{id}/execute/1"), json!({"inputs": {"a": "Hello", "b": "world"}}))
                .await;
        })
        .await;
    let last = frames.last().expect("frames");
    assert_eq!(last["method"], "graph_execution_event");
    assert_eq!(last["data"]["outputs"], json!({"text": ["Hello, world!"]}));
    let execution = last["data"]["id"].as_str().expect("an id");
    let run = user.get(&format!("/api/graphs/{id}/executions/{execution}")).await;
    assert_eq!(run["outputs"], json!({"text": ["Hello, world!"]}));
    assert_eq!(run["node_executions"].as_array().map(Vec::len), Some(4));
    let shared = user.post(&format!("/api/graphs/{id}/executions/{execution}/share"), json!({})).await;
    let address = shared["share_url"].as_str().expect("an address");
    assert!(address.starts_with(&format!("{OUTSIDE}/")), "{address}");
}

async fn everything_is_behind_the_ingress_and_behind_the_gateway(cluster: &Cluster) {
    step("everything works at one address, with a frontend, through the Ingress, then with the Ingress gone through the HTTPRoute");
    let (by_ingress, by_route) = (ingress("localhost"), ingress("gateway.localhost"));
    let platform = cluster.get("agp", "autogpt");
    for kind in ["IngressReady", "GatewayReady"] {
        assert_eq!(condition(&platform, kind), "True", "{kind}: {}", condition_message(&platform, kind));
    }
    change(cluster, &json!({"frontend": stand_in_for_the_frontend(cluster)}));
    becomes_ready(cluster);
    pages_come_from_the_frontend(by_ingress).await;
    one_address_is_enough(by_ingress, "ingress@example.com").await;
    a_roll_out_turns_nobody_away(cluster, by_ingress).await;

    change(cluster, &json!({"ingress": null}));
    leads_nowhere(cluster, by_ingress).await;
    assert_eq!(
        condition(&cluster.get("agp", "autogpt"), "IngressReady"),
        "",
        "the condition went with the Ingress"
    );
    pages_come_from_the_frontend(by_route).await;
    one_address_is_enough(by_route, "gateway@example.com").await;

    change(cluster, &json!({"gateway": null, "frontend": null}));
    leads_nowhere(cluster, by_route).await;
    becomes_ready(cluster);
    assert!(cluster.get("deployment", "autogpt-frontend").is_null(), "the frontend is gone");
}

/// Calls REST all the time while it rolls: each call is answered by REST, by its old pod or its new one.
async fn a_roll_out_turns_nobody_away(cluster: &Cluster, door: Door) {
    let rolled = Arc::new(AtomicBool::new(false));
    let calls = [false, true].map(|new_connections| tokio::spawn(call_until(rolled.clone(), door, new_connections)));
    change(cluster, &json!({"components": {"rest": {"env": [{"name": "ROLLED", "value": "once"}]}}}));
    becomes_ready(cluster);
    the_former_pod_is_gone(cluster);
    rolled.store(true, Ordering::Relaxed);
    for answered in calls {
        println!("  REST rolled under {} calls", answered.await.expect("each is answered"));
    }
}

/// The number of calls, on one connection or on new ones.
async fn call_until(done: Arc<AtomicBool>, door: Door, new_connections: bool) -> usize {
    let mut client = door.client();
    let mut answered = 0;
    while !done.load(Ordering::Relaxed) {
        if new_connections {
            client = door.client();
        }
        let response = client.get(door.url("/api/graphs")).send().await.expect("the controller answers");
        assert_eq!(response.status(), 401, "call {answered}: {:?}", response.text().await);
        answered += 1;
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    answered
}

fn the_former_pod_is_gone(cluster: &Cluster) {
    cluster.eventually("the former pod of REST is gone", A_WHILE, || {
        Some(()).filter(|()| cluster.list("pods", "app.kubernetes.io/component=rest").len() == 1)
    });
}

/// Without a gateway the platform has another public address, so REST rolls; a forwarded port belongs to one pod and ends with it.
async fn the_forwarder_leads_to_the_pod_that_stays(cluster: &Cluster, user: &User) {
    the_former_pod_is_gone(cluster);
    let start = std::time::Instant::now();
    while !user.reaches("/api/graphs").await {
        assert!(start.elapsed() < SOON, "REST does not answer by the forwarder");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// The controller's own image, which answers `/ping` on the frontend's port and says 404 to all else.
fn stand_in_for_the_frontend(cluster: &Cluster) -> Value {
    let at = "jsonpath={.spec.template.spec.containers[0].image}";
    let image = cluster.kubectl(&["--namespace", "traefik", "get", "deployment", "traefik", "-o", at]);
    let variable = |name: &str, value: &str| json!({"name": name, "value": value});
    json!({"image": image.trim(), "env": [
        variable("TRAEFIK_ENTRYPOINTS_WEB_ADDRESS", ":3000"),
        variable("TRAEFIK_PING", "true"),
        variable("TRAEFIK_PING_ENTRYPOINT", "web"),
    ]})
}

/// The frontend has `/` and its own `/api/proxy`, which wins over REST's `/api`.
async fn pages_come_from_the_frontend(door: Door) {
    let nobody = User::new(door, String::new());
    // The controller learns of changes within a few seconds.
    let start = std::time::Instant::now();
    loop {
        let page = nobody.call(reqwest::Method::GET, "/ping", None).await;
        if page == (200, json!("OK")) {
            break;
        }
        assert!(start.elapsed() < SOON, "{door:?}: {page:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    let proxied = nobody.call(reqwest::Method::GET, "/api/proxy/api/graphs", None).await;
    assert_eq!(proxied, (404, json!("404 page not found\n")));
}

/// Changes the specification of the platform.
fn change(cluster: &Cluster, spec: &Value) {
    let patch = json!({"spec": spec}).to_string();
    cluster.kubectl(&["patch", "agp", "autogpt", "--type=merge", "-p", &patch]);
}

fn becomes_ready(cluster: &Cluster) {
    cluster.eventually("the platform is Ready in its present generation", A_WHILE, || {
        Some(()).filter(|()| {
            let platform = cluster.get("agp", "autogpt");
            condition(&platform, "Ready") == "True" && platform["status"]["observedGeneration"] == platform["metadata"]["generation"]
        })
    });
}

/// Waits until the controller knows nothing under this name: its own 404, which is no JSON.
async fn leads_nowhere(cluster: &Cluster, door: Door) {
    let client = door.client();
    let start = std::time::Instant::now();
    loop {
        let response = client.get(door.url("/api/blocks")).send().await.expect("the controller answers");
        let status = response.status().as_u16();
        let text = response.text().await.expect("a body");
        if status == 404 && text.trim() == "404 page not found" {
            return;
        }
        assert!(
            start.elapsed() < SOON,
            "{door:?}: {status} {text}\n{}",
            cluster.kubectl(&["get", "ingress,httproute"])
        );
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
}

/// What a browser and a program need, at one address: login, REST, the interface for API keys, live events.
async fn one_address_is_enough(door: Door, email: &str) {
    let (status, refusal) = User::new(door, String::new()).call(reqwest::Method::GET, "/api/graphs", None).await;
    assert_eq!((status, refusal["detail"].is_string()), (401, true), "REST's own refusal: {refusal}");
    let user = User::sign_up(door, email).await;
    assert!(user.get("/api/blocks").await.as_array().is_some_and(|blocks| !blocks.is_empty()));
    let made = user.post("/api/api-keys", json!({"name": "robot", "permissions": ["READ_BLOCK"]})).await;
    let key = made["plain_text_key"].as_str().expect("a key");
    let (status, blocks) = user.get_with_key("/external-api/v1/blocks", key).await;
    assert_eq!((status, blocks.is_array()), (200, true), "{blocks}");
    let (status, _) = user.get_with_key("/external-api/v1/blocks", "agpt_wrong").await;
    assert_eq!(status, 401);
    an_agent_runs_over_http_with_live_events(&user).await;
}

async fn a_schedule_made_over_http_is_an_object_of_the_cluster(cluster: &Cluster, user: &User) {
    step("a schedule made over REST is a GraphSchedule, in the contract's dialect at one door and the standard one at the other");
    let graph = user.post("/api/graphs", json!({"graph": greeting_graph()})).await;
    let id = graph["id"].as_str().expect("an id").to_owned();
    let request = json!({"name": "tuesdays", "cron": "30 9 * * 1", "inputs": {"a": "Hello", "b": "again"}, "timezone": "Europe/Berlin"});
    let made = user.post(&format!("/api/graphs/{id}/schedules"), request).await;
    let schedule_id = made["id"].as_str().expect("an id").to_owned();
    let object = cluster.get("gsch", &format!("s-{schedule_id}"));
    assert_eq!(object["metadata"]["labels"]["autogpt.dev/origin"], "rest", "{object}");
    assert_eq!(object["spec"]["timeZone"], "Europe/Berlin");
    // 1 is Tuesday for the contract and Monday for standard cron.
    let line = object["spec"]["schedules"][0].as_str().expect("a cron line").to_ascii_lowercase();
    assert!(line.ends_with("* * 2") || line.ends_with("* * tue"), "{line}");
    let listed = user.get("/api/schedules").await;
    assert_eq!(listed.as_array().map(Vec::len), Some(1), "{listed}");
    assert_eq!(listed[0]["cron"], "30 9 * * 1", "the contract's own words come back");
    let (status, answer) = user.call(reqwest::Method::DELETE, &format!("/api/schedules/{schedule_id}"), None).await;
    assert_eq!(status, 200, "{answer}");
    assert!(cluster.get("gsch", &format!("s-{schedule_id}")).is_null());
}

fn what_makes_no_sense_is_refused_at_its_door(cluster: &Cluster) {
    step("malformed resources are refused; what only the controller can judge becomes a condition with a remedy");
    let nonsense = execution(
        "nonsense",
        json!({"inline": {"name": "x", "description": "", "nodes": []}, "id": "12345678-1234-1234-1234-123456789012"}),
    );
    let refusal = cluster
        .try_apply(&nonsense.to_string())
        .expect_err("exactly one source of a graph is allowed");
    assert!(refusal.contains("exactly one"), "{refusal}");

    let unknown_block =
        json!({"inline": {"name": "x", "description": "", "nodes": [{"id": "1", "block_id": "00000000-0000-4000-8000-000000000000"}], "links": []}});
    cluster.apply(&execution("unknown-block", unknown_block).to_string());
    let refused = cluster.eventually("a graph with an unknown block fails", SOON, || {
        Some(cluster.get("gexec", "unknown-block")).filter(|run| condition(run, "Failed") == "True")
    });
    assert!(
        condition_message(&refused, "Failed").contains("00000000-0000-4000-8000-000000000000"),
        "{refused}"
    );

    let mut schedule = json!({
        "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "nowhere", "namespace": "autogpt"},
        "spec": {"platformRef": {"name": "autogpt"}, "schedules": ["0 9 * * *"], "timeZone": "Mars/Olympus", "graph": {"inline": greeting_graph()}}
    });
    cluster.apply(&schedule.to_string());
    let invalid = cluster.eventually("an unknown time zone is reported", SOON, || {
        Some(cluster.get("gsch", "nowhere")).filter(|schedule| condition(schedule, "SpecValid") == "False")
    });
    assert!(condition_message(&invalid, "SpecValid").contains("Mars/Olympus"), "{invalid}");
    schedule["spec"]["timeZone"] = json!("Europe/Berlin");
    cluster.apply(&schedule.to_string());
    cluster.eventually("and mended", SOON, || {
        Some(()).filter(|()| condition(&cluster.get("gsch", "nowhere"), "SpecValid") == "True")
    });
    cluster.kubectl(&["delete", "gsch", "nowhere", "--timeout=60s"]);
    cluster.kubectl(&["delete", "gexec", "unknown-block", "--timeout=60s"]);
}

fn a_run_can_be_cancelled(cluster: &Cluster) {
    step("cancel: true ends a run");
    let mut endless = execution("endless", json!({"inline": endless_graph()}));
    cluster.apply(&endless.to_string());
    cluster.eventually("the run is RUNNING", SOON, || {
        Some(()).filter(|()| cluster.get("gexec", "endless")["status"]["phase"] == "RUNNING")
    });
    endless["spec"]["cancel"] = json!(true);
    cluster.apply(&endless.to_string());
    let run = cluster.eventually("the run is TERMINATED", SOON, || {
        Some(cluster.get("gexec", "endless")).filter(|run| run["status"]["phase"] == "TERMINATED")
    });
    assert_eq!(condition(&run, "Succeeded"), "False");
    cluster.kubectl(&["delete", "gexec", "endless", "--timeout=60s"]);
}

async fn nothing_accepted_is_lost_when_pods_die(cluster: &Cluster, user: &User) {
    step("executor, RabbitMQ, Redis and PostgreSQL die; every accepted run completes");
    let graph = user.post("/api/graphs", json!({"graph": greeting_graph()})).await;
    let id = graph["id"].as_str().expect("an id").to_owned();
    for victim in ["executor", "rabbitmq", "redis", "postgres"] {
        let mut runs = Vec::new();
        for number in 0..20 {
            let run = user
                .post(
                    &format!("/api/graphs/{id}/execute/1"),
                    json!({"inputs": {"a": victim, "b": number.to_string()}}),
                )
                .await;
            runs.push(run["id"].as_str().expect("an id").to_owned());
            if number == 9 {
                let component = format!("app.kubernetes.io/component={victim}");
                let pods = cluster.list("pods", &component);
                assert!(!pods.is_empty(), "there are pods with {component}");
                cluster.kubectl(&["delete", "pods", "-l", &component, "--grace-period=0", "--force", "--wait=false"]);
                if victim == "postgres" {
                    break;
                }
            }
        }
        if victim == "postgres" {
            cluster.kubectl(&["rollout", "status", "statefulset/autogpt-postgres", "--timeout=120s"]);
            cluster.eventually("REST is ready again", A_WHILE, || {
                Some(()).filter(|()| {
                    cluster.get("deployment", "autogpt-rest")["status"]["availableReplicas"]
                        .as_i64()
                        .unwrap_or(0)
                        >= 1
                })
            });
        }
        for run in &runs {
            let done = user.run_reaches(&id, run, &["COMPLETED", "FAILED", "TERMINATED"], A_WHILE).await;
            assert_eq!(done["status"], "COMPLETED", "{victim}: {done}");
            assert_eq!(done["outputs"]["text"].as_array().map(Vec::len), Some(1), "{victim}: {done}");
        }
        println!("  {victim}: {} runs completed", runs.len());
    }
}

async fn a_broken_image_is_reported_and_the_old_version_serves_on(cluster: &Cluster, user: &User) {
    step("an image that cannot be pulled becomes a condition with a remedy; the old version serves on");
    let before = cluster.get("agp", "autogpt");
    let set_tag = |tag: &Value| change(cluster, &json!({"image": {"tag": tag}}));
    set_tag(&json!("no-such-tag"));
    let degraded = cluster.eventually("the platform says so", A_WHILE, || {
        Some(cluster.get("agp", "autogpt")).filter(|platform| condition(platform, "Degraded") == "True")
    });
    assert!(condition_message(&degraded, "Degraded").contains("image"), "{}", degraded["status"]);
    user.get("/api/graphs").await;
    set_tag(&before["spec"]["image"]["tag"]);
    becomes_ready(cluster);
}

fn external_data_services_work_too(cluster: &Cluster) {
    step("a second platform with external{secretRef} for all three, first without its Secret");
    let password = |secret: &str, key: &str| {
        let text = cluster.kubectl(&["get", "secret", secret, "-o", &format!("jsonpath={{.data.{key}}}")]);
        assert!(!text.is_empty(), "{secret} has {key}");
        text
    };
    cluster.kubectl(&[
        "exec",
        "autogpt-postgres-0",
        "--",
        "sh",
        "-c",
        "PGPASSWORD=\"$POSTGRES_PASSWORD\" psql -h 127.0.0.1 -U \"$POSTGRES_USER\" -d \"$POSTGRES_DB\" -c 'CREATE DATABASE second'",
    ]);
    cluster.apply(include_str!("second-platform.yaml"));
    let waiting = cluster.eventually("the missing Secret is named", SOON, || {
        Some(cluster.get("agp", "second")).filter(|platform| condition_message(platform, "DependenciesReady").contains("second-postgres"))
    });
    assert_eq!(condition(&waiting, "Ready"), "False");
    for (secret, url) in external_urls(&password) {
        cluster.kubectl(&["create", "secret", "generic", &secret, &format!("--from-literal=url={url}")]);
    }
    cluster.kubectl(&["wait", "--for=condition=Ready", "agp/second", "--timeout=180s"]);
    let mut run = execution("elsewhere", json!({"inline": greeting_graph()}));
    run["spec"]["platformRef"]["name"] = json!("second");
    run["spec"]["inputs"] = json!({"a": "Hello", "b": "elsewhere"});
    cluster.apply(&run.to_string());
    cluster.kubectl(&["wait", "--for=jsonpath={.status.phase}=COMPLETED", "gexec/elsewhere", "--timeout=60s"]);
    cluster.kubectl(&["delete", "agp", "second", "--timeout=120s"]);
}

fn external_urls(secret: &dyn Fn(&str, &str) -> String) -> [(String, String); 3] {
    let decode = |name: &str| {
        let text = secret(name, "url");
        let output = std::process::Command::new("sh")
            .args(["-c", &format!("printf %s '{text}' | base64 -d")])
            .output()
            .expect("base64 runs");
        String::from_utf8(output.stdout).expect("a URL")
    };
    let postgres = decode("autogpt-postgres");
    let (base, _) = postgres.rsplit_once('/').expect("a database in the URL");
    [
        ("second-postgres".to_owned(), format!("{base}/second")),
        ("second-redis".to_owned(), decode("autogpt-redis")),
        ("second-rabbitmq".to_owned(), decode("autogpt-rabbitmq")),
    ]
}

fn deleting_the_platform_removes_it_all(cluster: &Cluster) {
    step("deleting the platform removes its workloads");
    cluster.kubectl(&["delete", "gsch,gexec", "--all", "--timeout=120s"]);
    cluster.kubectl(&["delete", "agp", "autogpt", "--timeout=120s"]);
    cluster.eventually("nothing of it is left", A_WHILE, || {
        Some(()).filter(|()| {
            cluster
                .list("deployments,statefulsets,services,jobs,pods", "app.kubernetes.io/instance=autogpt")
                .is_empty()
        })
    });
}

fn execution(name: &str, graph: Value) -> Value {
    json!({
        "apiVersion": "autogpt.dev/v1alpha1",
        "kind": "GraphExecution",
        "metadata": {"name": name, "namespace": "autogpt"},
        "spec": {"platformRef": {"name": "autogpt"}, "graph": graph}
    })
}

/// A value that goes round for ever: a condition that feeds itself.
fn endless_graph() -> Value {
    const CONDITION: &str = "715696a0-e1da-45c8-b209-c2fa9c3b0be6";
    json!({
        "name": "endless",
        "description": "a loop",
        "nodes": [
            {"id": "1", "block_id": e2e_tests::platform::AGENT_INPUT, "input_default": {"name": "n", "value": 1}},
            {"id": "2", "block_id": CONDITION, "input_default": {"operator": "==", "value2": 1, "yes_value": 1}}
        ],
        "links": [
            {"source_id": "1", "sink_id": "2", "source_name": "result", "sink_name": "value1"},
            {"source_id": "2", "sink_id": "2", "source_name": "yes_output", "sink_name": "value1"}
        ]
    })
}
