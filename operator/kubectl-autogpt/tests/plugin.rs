//! The real binary, as kubectl starts it, on a real kube-apiserver; for runs with an operator and the real services behind it.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)]

use std::collections::BTreeSet;
use std::io::{BufRead, Write};
use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use controllers_tests::cluster::repository;
use controllers_tests::{Services, World, eventually};
use crds::execution::Phase;
use crds::schedule::Decision;
use crds::{GraphExecution, GraphSchedule};
use k8s_openapi::api::core::v1::{Node, Pod, ResourceQuota};
use kube::ResourceExt;
use kube::api::{Api, Patch, PatchParams, PostParams};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ServerConfig, ServerConnection, StreamOwned};
use serde_json::{Value, json};
use tokio::io::{AsyncBufReadExt, AsyncWriteExt, BufReader};
use tokio::process::{Child, Command};

const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";
const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";

/// Somebody at a terminal.
struct User {
    directory: tempfile::TempDir,
    kubectl: PathBuf,
}

/// What a command said.
#[derive(Debug)]
struct Said {
    code: Option<i32>,
    out: String,
    err: String,
}

impl User {
    fn of(world: &World, token: Option<&str>) -> Self {
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("config"), world.cluster.kubeconfig(token, &world.namespace)).unwrap();
        Self {
            directory,
            kubectl: world.cluster.binaries.join("kubectl"),
        }
    }

    /// `kubectl autogpt …`
    async fn says(&self, line: &str) -> Said {
        self.pipes("", line).await
    }

    /// `… | kubectl autogpt …`
    async fn pipes(&self, text: &str, line: &str) -> Said {
        let mut child = self.starts(line);
        let mut stdin = child.stdin.take().unwrap();
        // Who does not read it may have ended before.
        let _ = stdin.write_all(text.as_bytes()).await;
        drop(stdin);
        let output: Output = child.wait_with_output().await.unwrap();
        Said {
            code: output.status.code(),
            out: String::from_utf8(output.stdout).unwrap(),
            err: String::from_utf8(output.stderr).unwrap(),
        }
    }

    /// `kubectl autogpt … &`
    fn starts(&self, line: &str) -> Child {
        let binary = Path::new(env!("CARGO_BIN_EXE_kubectl-autogpt"));
        let path = format!("{}:{}", binary.parent().unwrap().display(), std::env::var("PATH").unwrap_or_default());
        Command::new(&self.kubectl)
            .arg("autogpt")
            .args(line.split_whitespace())
            .env("PATH", path)
            .env("KUBECONFIG", self.directory.path().join("config"))
            .current_dir(self.directory.path())
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()
            .unwrap()
    }

    /// `kubectl …`
    async fn kubectl(&self, line: &str) -> String {
        let output = Command::new(&self.kubectl)
            .args(line.split_whitespace())
            .env("KUBECONFIG", self.directory.path().join("config"))
            .kill_on_drop(true)
            .output()
            .await
            .unwrap();
        assert!(output.status.success(), "{line}: {output:?}");
        String::from_utf8(output.stdout).unwrap()
    }

    fn file(&self, name: &str, value: &Value) {
        std::fs::write(self.directory.path().join(name), value.to_string()).unwrap();
    }
}

impl Said {
    #[track_caller]
    fn well(self) -> String {
        assert_eq!(self.code, Some(0), "{self:#?}");
        self.out
    }

    /// An error with a remedy.
    #[track_caller]
    fn complains(self, words: &str) {
        assert_eq!(self.code, Some(1), "{self:#?}");
        assert!(self.err.contains(words) && self.err.contains("what to do: "), "{words}: {self:#?}");
    }
}

/// x → calculator → y
fn calculation(operation: &str, b: i32) -> Value {
    json!({"name": "Calculate it", "nodes": [
        {"id": "x", "block_id": INPUT, "input_default": {"name": "x"}},
        {"id": "c", "block_id": CALCULATOR, "input_default": {"operation": operation, "b": b}},
        {"id": "y", "block_id": OUTPUT, "input_default": {"name": "y"}},
    ], "links": [
        {"source_id": "x", "source_name": "result", "sink_id": "c", "sink_name": "a"},
        {"source_id": "c", "source_name": "result", "sink_id": "y", "sink_name": "value"},
    ]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn runs_are_started_followed_retried_and_stopped() {
    let services = Services::prepare().await;
    services.start().await;
    let (world, operator) = services.in_cluster().await;
    let user = User::of(&world, None);
    user.file("graph.json", &calculation("Multiply", 3));
    user.file("fails.json", &calculation("Divide", 0));

    // Nobody executes yet.
    let said = user.says("run graph.json -i x=5 --name waits --deadline 1h").await.well();
    assert!(said.starts_with("graphexecution/waits created"), "{said}");
    let waiting = eventually("the platform has the run", || async {
        let execution: GraphExecution = world.api().get("waits").await.unwrap();
        let phase = execution.status.as_ref().and_then(|status| status.phase);
        if phase == Some(Phase::Queued) { Ok(execution) } else { Err(phase) }
    })
    .await;
    assert_eq!(waiting.spec.deadline.as_deref(), Some("1h"));
    let said = user.says("cancel waits --wait").await.well();
    assert!(said.starts_with("waits is TERMINATED: stopped because"), "{said}");
    assert_eq!(user.says("cancel waits").await.well(), "waits is over already: TERMINATED\n");
    let followed = user.says("follow waits").await;
    assert_eq!(
        (followed.code, followed.out.contains("waits was stopped")),
        (Some(2), true),
        "{followed:?}"
    );

    services.start_executor().await;
    let said = user.says("run graph.json -i x=5 --follow").await.well();
    assert!(said.contains("\ny: 15\n") && said.contains("succeeded"), "{said}");
    assert!(
        said.starts_with("graphexecution/calculate-it-"),
        "the name is made from the graph's: {said}"
    );
    assert!(said.contains("COMPLETED  3 of 3 nodes done"), "{said}");

    let piped = serde_yaml::to_string(&calculation("Add", 2)).unwrap();
    user.file("five", &json!(5));
    let said = user.pipes(&piped, "run - --name piped -i x=@five --follow").await.well();
    assert!(said.contains("\ny: 7\n"), "a graph as YAML, an input from a file: {said}");

    let failed = user.says("run fails.json -i x=1 --name fails --follow").await;
    assert_eq!(
        failed.code,
        Some(2),
        "a run that failed is not the command's failure, but no success: {failed:#?}"
    );
    assert!(failed.out.contains("`kubectl autogpt retry fails` goes on"), "{}", failed.out);
    let again = user.says("retry fails --name again --follow").await;
    assert_eq!(again.code, Some(2), "{again:#?}");
    let retry: GraphExecution = world.api().get("again").await.unwrap();
    assert_eq!(retry.spec.retry_of.unwrap().name, "fails");
    assert_eq!(retry.status.unwrap().phase, Some(Phase::Completed));

    // What scripts do.
    user.kubectl("wait --for=jsonpath={.status.phase}=COMPLETED gexec/again --timeout=30s")
        .await;
    let listed = user.kubectl("get gexec").await;
    let again = listed.lines().find(|line| line.starts_with("again ")).expect(&listed);
    assert!(again.contains("COMPLETED") && again.contains("False"), "{listed}");

    // A whole object from a file, with an input of the command line.
    let example = std::fs::read_to_string(repository().join("examples/execution.yaml")).unwrap();
    std::fs::write(user.directory.path().join("example.yaml"), example).unwrap();
    let said = user
        .says("run example.yaml --name hello --platform p -i number=7 -i name=Ada --follow")
        .await
        .well();
    assert!(
        said.contains("greeting: Hello, Ada! Your number is 7.") && said.contains("increased: 8"),
        "{said}"
    );

    let said = user.says("status").await.well();
    assert!(said.starts_with("platform p: ready"), "{said}");
    assert!(said.contains("6 executions: 0 under way, 3 succeeded, 2 failed"), "{said}");
    assert!(said.lines().count() <= 24, "one screen: {said}");

    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "inputs": {"x": 2}, "schedules": ["@yearly"]});
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "yearly"}, "spec": spec}))
        .await
        .unwrap();
    let said = user.says("trigger yearly --follow").await.well();
    assert!(said.contains("\ny: 3\n") && said.contains("succeeded"), "{said}");

    user.says("logs hello").await.complains("platform p has no executor pods");
    user.says("run graph.json -i x").await.complains("name=value");
    user.says("run graph.json --platform p --deadline soon").await.complains("deadline");
    user.says("run nowhere.json").await.complains("nowhere.json cannot be read");
    user.says("follow nobody")
        .await
        .complains("graphexecutions.autogpt.dev \"nobody\" not found");
    operator.assert_running().await.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn schedules_are_explained_paused_and_resumed() {
    let world = World::new().await;
    let user = User::of(&world, None);
    let empty = user.says("status").await.well();
    assert!(empty.contains("nothing of AutoGPT in namespace"), "{empty}");
    let operator = world.operator("a").await;
    // Without its platform a schedule decides nothing.
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {}}))
        .await
        .unwrap();
    let spec = json!({
        "platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "schedules": ["30 2 * * *"], "timeZone": "Europe/Berlin",
    });
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "nightly"}, "spec": spec}))
        .await
        .unwrap();
    eventually("the schedule is armed", || async {
        let status = world.api::<GraphSchedule>().get("nightly").await.unwrap().status.unwrap_or_default();
        if status.next_fire_times.len() == 5 { Ok(()) } else { Err(status) }
    })
    .await;
    let said = user.says("next nightly -n 7").await.well();
    assert_eq!(said.lines().count(), 8, "{said}");
    // The first line of the list is what the operator says itself.
    let status = world.api::<GraphSchedule>().get("nightly").await.unwrap().status.unwrap();
    let next = serde_json::to_value(&status.next_fire_times[0]).unwrap();
    assert!(said.lines().nth(1).unwrap().starts_with(next.as_str().unwrap()), "{next}: {said}");
    let said = user.says("why nightly").await.well();
    assert!(said.contains("next: ") && said.contains("nothing was decided yet"), "{said}");
    let said = user.says("why nightly 2020-01-01T00:00:00Z").await.well();
    assert!(said.contains("not due by the calendar"), "{said}");

    let said = user.says("trigger nightly").await.well();
    let execution = said
        .trim()
        .strip_prefix("graphexecution/")
        .and_then(|rest| rest.strip_suffix(" created"))
        .expect(&said)
        .to_owned();
    let child: GraphExecution = world.api().get(&execution).await.unwrap();
    assert_eq!(child.metadata.labels.unwrap()["autogpt.dev/schedule"], "nightly");
    let said = user
        .says("backfill nightly --from 2026-01-01T00:00:00Z --to 2026-01-03T00:00:00Z --overlap allow --name january --wait")
        .await
        .well();
    assert!(
        said.contains("backfill january: 2 due times") && said.contains("is done: 2 fired, 0 skipped"),
        "{said}"
    );
    let said = user.says("why nightly").await.well();
    assert!(
        said.contains("backfill january: done, 2 fired") && said.contains(&execution) && said.contains("run-now/kubectl-"),
        "{said}"
    );
    let said = user.says("why nightly 2026-01-01T01:30:00Z").await.well();
    assert!(
        said.contains("2026-01-01T01:30:00Z: Backfilled for backfill/january as nightly-"),
        "{said}"
    );
    // The same without the plugin, on one screen.
    let listed = user.kubectl("get gsch").await;
    let row = listed.lines().nth(1).expect(&listed);
    for word in [
        "nightly",
        "30 2 * * *",
        "Europe/Berlin",
        "True",
        "Armed",
        next.as_str().unwrap(),
        "Backfilled",
    ] {
        assert!(row.contains(word), "{word}: {listed}");
    }
    // Events come a little later.
    let became = format!("became {execution}: ");
    let described = eventually("an event tells of the decision", || async {
        let described = user.kubectl("describe gsch nightly").await;
        let events = described.split_once("Events:").map(|(_, events)| events.contains(&became));
        if events == Some(true) { Ok(described) } else { Err(described) }
    })
    .await;
    for word in [
        "Next Fire Times:",
        next.as_str().unwrap(),
        "Recent Decisions:",
        "backfill january; ",
        "asked for by run-now",
        &execution,
    ] {
        assert!(described.contains(word), "{word}: {described}");
    }
    // Nothing but the ledger could know, and there is none here.
    user.says("why nightly 2025-12-01T01:30:00Z")
        .await
        .complains("the ledger could not be asked");
    user.says("backfill nightly --from 2126-01-01T00:00:00Z --to 2126-01-03T00:00:00Z")
        .await
        .complains("no due time");
    user.says("backfill nightly --from 2026-01-03T00:00:00Z --to 2026-01-01T00:00:00Z")
        .await
        .complains("swap --from and --to");

    user.says("pause nightly --note holidays").await.well();
    let paused: GraphSchedule = world.api().get("nightly").await.unwrap();
    assert_eq!(paused.spec.suspend.unwrap().note.as_deref(), Some("holidays"));
    assert!(user.says("next nightly").await.well().contains("is suspended (holidays)"));
    let said = user.says("why nightly 2126-01-01T01:30:00Z").await.well();
    assert!(said.contains("; but nightly is suspended (holidays): nothing fires until"), "{said}");
    assert!(user.says("status").await.well().contains("1 schedules, 1 suspended"));
    user.says("resume nightly").await.well();
    assert!(world.api::<GraphSchedule>().get("nightly").await.unwrap().spec.suspend.is_none());
    assert_eq!(user.says("resume nightly").await.well(), "nightly is not suspended\n");

    // Over: one run of its calendar was all that it was to have.
    let finished = json!({
        "platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "schedules": ["* * * * * *"], "seconds": true, "maxRuns": 1,
    });
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "once"}, "spec": finished}))
        .await
        .unwrap();
    let said = eventually("it is said that it is over", || async {
        let said = user.says("next once").await.well();
        if said.contains("Finished: ") { Ok(said) } else { Err(said) }
    })
    .await;
    assert!(
        said.starts_with("once does not fire as it is, Finished: the schedule has had its 1 runs"),
        "{said}"
    );
    let said = user.says("why once 2126-01-01T00:00:00Z").await.well();
    assert!(said.contains("; but once does not fire as it is, Finished: "), "{said}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn everybody_who_triggers_at_once_gets_a_run() {
    let world = World::new().await;
    let user = User::of(&world, None);
    let operator = world.operator("a").await;
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": {}}))
        .await
        .unwrap();
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "schedules": ["@yearly"]});
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "yearly"}, "spec": spec}))
        .await
        .unwrap();
    let said = futures::future::join_all((0..8).map(|_| user.says("trigger yearly"))).await;
    let mut executions = BTreeSet::new();
    for said in said {
        let said = said.well();
        let name = said.trim().strip_prefix("graphexecution/").and_then(|rest| rest.strip_suffix(" created"));
        let name = name.expect(&said).to_owned();
        world.api::<GraphExecution>().get(&name).await.unwrap();
        executions.insert(name);
    }
    assert_eq!(executions.len(), 8, "{executions:?}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_request_that_nobody_answers_is_told_of_as_it_stands() {
    let world = World::new().await;
    let user = User::of(&world, None);
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "schedules": ["@yearly"]});
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "yearly"}, "spec": spec}))
        .await
        .unwrap();
    let carried = || async {
        let schedule: GraphSchedule = world.api().get("yearly").await.unwrap();
        schedule.annotations().get(crds::ANNOTATION_RUN_NOW).cloned()
    };
    let (first, second) = tokio::join!(user.says("trigger yearly"), async {
        eventually("the first one asks", || async { carried().await.ok_or("nothing") }).await;
        user.says("trigger yearly").await
    });
    first.complains("the request stays");
    let request = carried().await.unwrap();
    second.complains(&format!("yearly was not asked to run: another request, {request:?}, is before this one"));

    let remove = json!({"metadata": {"annotations": {crds::ANNOTATION_RUN_NOW: null}}});
    world.merge::<GraphSchedule>("yearly", remove).await;
    let (replaced, ()) = tokio::join!(user.says("trigger yearly"), async {
        eventually("it asks", || async { carried().await.ok_or("nothing") }).await;
        let other = json!({"metadata": {"annotations": {crds::ANNOTATION_RUN_NOW: "other"}}});
        world.merge::<GraphSchedule>("yearly", other).await;
    });
    replaced.complains("was replaced by another one, \"other\", before anything came of it: it will not run");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_trigger_that_has_to_wait_is_no_failure() {
    let services = Services::prepare().await;
    services.start().await;
    let (world, operator) = services.in_cluster().await;
    let user = User::of(&world, None);
    for (name, policy) in [("one", "BufferOne"), ("all", "BufferAll")] {
        let spec = json!({
            "platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "inputs": {"x": 2}, "schedules": ["@yearly"], "overlapPolicy": policy,
        });
        world
            .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": name}, "spec": spec}))
            .await
            .unwrap();
        // Nobody executes yet.
        let said = user.says(&format!("trigger {name}")).await.well();
        assert!(said.ends_with(" created\n"), "{said}");
    }
    let said = user.says("trigger one").await.well();
    assert!(said.starts_with("one waits: "), "{said}");
    user.says("trigger one").await.complains("one did not run: ");
    let said = user.says("trigger one --follow").await;
    assert_eq!(said.code, Some(1), "what is skipped is not waited for: {said:?}");

    let (said, ()) = tokio::join!(user.says("trigger all --follow"), async {
        eventually("it waits", || async {
            let schedule: GraphSchedule = world.api().get("all").await.unwrap();
            let waits = schedule.status.as_ref().is_some_and(|status| !status.buffer.is_empty());
            if waits { Ok(()) } else { Err(schedule.status) }
        })
        .await;
        services.start_executor().await;
    });
    let said = said.well();
    assert!(
        said.starts_with("all waits: ") && said.contains("\ny: 3\n") && said.contains("succeeded"),
        "{said}"
    );
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_decisions_are_looked_up_in_the_ledger() {
    let services = Services::prepare().await;
    services.start().await;
    let (world, operator) = services.in_cluster().await;
    let user = User::of(&world, None);
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "schedules": ["0 12 * * *"]});
    world
        .apply(&json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": {"name": "noon"}, "spec": spec}))
        .await
        .unwrap();
    let said = user
        .says("backfill noon --from 2026-01-01T00:00:00Z --to 2026-01-14T00:00:00Z --overlap allow --name january --wait")
        .await
        .well();
    assert!(said.contains("is done: 13 fired, 0 skipped"), "{said}");
    let first = json!("2026-01-01T12:00:00Z");
    // That the ledger has it stands in the status with the next decision.
    eventually("the status has forgotten the first one", || async {
        user.says("trigger noon").await.well();
        let schedule: GraphSchedule = world.api().get("noon").await.unwrap();
        let recent = schedule.status.unwrap().recent_decisions;
        let is_first = |decision: &Decision| serde_json::to_value(&decision.slot).unwrap() == first;
        if recent.iter().any(is_first) { Err(recent.len()) } else { Ok(()) }
    })
    .await;
    let said = user.says("why noon 2026-01-01T12:00:00Z").await.well();
    let execution = said
        .strip_prefix("2026-01-01T12:00:00Z: Backfilled for backfill/january as ")
        .and_then(|rest| rest.split_whitespace().next())
        .expect(&said);
    let child: GraphExecution = world.api().get(execution).await.unwrap();
    assert_eq!(serde_json::to_value(child.spec.scheduled_for).unwrap(), first);
    // The question does not stay behind.
    let schedule: GraphSchedule = world.api().get("noon").await.unwrap();
    assert!(!schedule.annotations().contains_key(crds::ANNOTATION_EXPLAIN), "{:?}", schedule.metadata);

    // Due by the calendar, and nothing is known about it.
    let said = user.says("why noon 2025-12-31T12:00:00Z").await.well();
    assert!(said.contains("no backfill of it is in the ledger"), "{said}");
    let said = user.says("why noon 2025-12-31T12:30:00Z").await.well();
    assert!(said.contains("not due by the calendar"), "{said}");
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_api_server_refuses_is_said_with_the_remedy() {
    const EXECUTIONS: &str = "count/graphexecutions.autogpt.dev";
    let world = World::new().await;
    let user = User::of(&world, None);
    let object =
        |kind: &str, name: &str, spec: Value| json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec});
    world.apply(&object("AutoGPTPlatform", "p", json!({"paused": true}))).await.unwrap();
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {EXECUTIONS: "0"}}});
    world.apply(&quota).await.unwrap();
    let counted = json!({"hard": {EXECUTIONS: "0"}, "used": {EXECUTIONS: "0"}});
    world.merge_status::<ResourceQuota>("q", counted).await;
    let probe = object(
        "GraphExecution",
        "probe",
        json!({"platformRef": {"name": "none"}, "graph": {"configMapRef": {"name": "g"}}}),
    );
    eventually("the quota is in force", || async {
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        let probe = serde_json::from_value(probe.clone()).unwrap();
        match world.api::<GraphExecution>().create(&dry, &probe).await {
            Ok(_) => Err("it may be made"),
            Err(error) if error.to_string().contains("exceeded quota") => Ok(()),
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let operator = world.operator("a").await;
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "seconds": true, "schedules": ["*/2 * * * * *"]});
    world.apply(&object("GraphSchedule", "often", spec)).await.unwrap();
    let said = eventually("why says it", || async {
        let said = user.says("why often").await.well();
        if said.starts_with("QuotaExceeded: ") { Ok(said) } else { Err(said) }
    })
    .await;
    assert!(
        said.contains("exceeded quota: q") && said.contains("raise the ResourceQuota") && said.contains("nothing was decided yet"),
        "{said}"
    );
    // One that was due after the schedule was made, and that is over by now.
    let schedule: GraphSchedule = world.api().get("often").await.unwrap();
    let slot = schedule.creation_timestamp().unwrap().0.as_second() / 2 * 2 + 2;
    let slot = operator::runtime::time::from_chrono(chrono::DateTime::from_timestamp(slot, 0).unwrap());
    let slot = serde_json::to_value(slot).unwrap().as_str().unwrap().to_owned();
    let said = user.says(&format!("why often {slot}")).await.well();
    assert!(
        said.starts_with(&format!("{slot}: due and not decided yet; QuotaExceeded: ")) && said.contains("raise the ResourceQuota"),
        "{said}"
    );
    operator.stop().await;
}

/// A node's end of reading logs. Every log has a line about the run, four megabytes about others and, once `go` says so, another line
/// about it. What was asked for goes to `asked`.
fn serve_logs(world: &World, run: &str, go: Receiver<()>, asked: Sender<String>) -> u16 {
    let certs = world.cluster.directory.join("certs");
    let chain = CertificateDer::pem_file_iter(certs.join("apiserver.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(certs.join("apiserver.key")).unwrap();
    let config = ServerConfig::builder()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let run = run.to_owned();
    std::thread::spawn(move || {
        let (socket, _) = listener.accept().unwrap();
        let mut stream = StreamOwned::new(ServerConnection::new(Arc::new(config)).unwrap(), socket);
        let mut head = String::new();
        std::io::BufReader::new(&mut stream).read_line(&mut head).unwrap();
        asked.send(head).unwrap();
        write!(
            stream,
            "HTTP/1.1 200 OK\r\ncontent-type: text/plain\r\nconnection: close\r\n\r\n{{{run}}} first\n"
        )
        .unwrap();
        for _ in 0..4096 {
            writeln!(stream, "{:1023}", "about others").unwrap();
        }
        go.recv().unwrap();
        writeln!(stream, "{{{run}}} last").unwrap();
        stream.conn.send_close_notify();
        stream.flush().unwrap();
    });
    port
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logs_are_shown_as_they_come_from_the_start_of_the_run_on() {
    const RUN: &str = "00000000-0000-4000-8000-000000000007";
    let world = World::new().await;
    let user = User::of(&world, None);
    let (go, may) = channel();
    let (asks, asked) = channel();
    let port = serve_logs(&world, RUN, may, asks);
    // Nodes have no namespace.
    let nodes: Api<Node> = Api::all(world.client.clone());
    let node = format!("node-of-{}", world.namespace);
    nodes
        .create(
            &PostParams::default(),
            &serde_json::from_value(json!({"metadata": {"name": node}})).unwrap(),
        )
        .await
        .unwrap();
    let reached =
        json!({"status": {"addresses": [{"type": "InternalIP", "address": "127.0.0.1"}], "daemonEndpoints": {"kubeletEndpoint": {"Port": port}}}});
    nodes.patch_status(&node, &PatchParams::default(), &Patch::Merge(&reached)).await.unwrap();
    let labels = json!({"app.kubernetes.io/instance": "p", "app.kubernetes.io/component": "executor"});
    world
        .create::<Pod>(
            json!({"metadata": {"name": "p-executor-1", "labels": labels}, "spec": {"nodeName": node, "containers": [{"name": "c", "image": "i"}]}}),
        )
        .await;
    world
        .create::<GraphExecution>(json!({
            "apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "e"},
            "spec": {"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}},
        }))
        .await;
    let status = json!({"phase": "RUNNING", "executionId": RUN, "startTime": "2026-01-01T00:01:00Z"});
    world.merge_status::<GraphExecution>("e", status).await;

    let mut child = user.starts("logs e");
    let mut lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let first = tokio::time::timeout(Duration::from_secs(20), lines.next_line()).await;
    let first = first.expect("the log is not over yet, and its beginning is shown").unwrap();
    assert_eq!(first, Some(format!("p-executor-1  {{{RUN}}} first")));
    go.send(()).unwrap();
    assert_eq!(lines.next_line().await.unwrap(), Some(format!("p-executor-1  {{{RUN}}} last")));
    assert_eq!(lines.next_line().await.unwrap(), None);
    assert!(child.wait().await.unwrap().success());
    let asked = asked.recv().unwrap();
    assert!(asked.contains("sinceTime=2026-01-01T00%3A00%3A00Z"), "{asked}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_goes_wrong_says_what_to_do() {
    let world = World::new().await;
    let user = User::of(&world, None);
    user.file("graph.json", &calculation("Add", 1));
    user.says("run graph.json").await.complains("there is no AutoGPTPlatform");
    for platform in ["p", "q"] {
        let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": platform}, "spec": {}});
        world.apply(&platform).await.unwrap();
    }
    user.says("run graph.json").await.complains("there are several platforms");
    user.says("status -n elsewhere --context none")
        .await
        .complains("the kubeconfig cannot be used");
    for line in [
        "next nobody",
        "why nobody",
        "pause nobody",
        "cancel nobody",
        "retry nobody",
        "logs nobody",
    ] {
        user.says(line).await.complains("not found");
    }
    User::of(&world, Some("nobody-knows-it"))
        .says("status")
        .await
        .complains("does not know you");
    let usage = user.says("next").await;
    assert_eq!(usage.code, Some(2), "{usage:?}");
    assert!(usage.err.contains("<SCHEDULE>"), "{usage:?}");
}
