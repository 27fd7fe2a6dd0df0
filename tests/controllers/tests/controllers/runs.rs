//! The execution controller in front of the real scheduler service, database manager and executor.

use chrono::{TimeDelta, Utc};
use controllers_tests::cluster::repository;
use controllers_tests::reveal::{REVEAL, REVEAL_INPUT};
use controllers_tests::world::documents;
use controllers_tests::{Operator, Services, World, eventually};
use crds::conditions::{self, reason};
use crds::execution::{GraphExecutionStatus, Phase};
use crds::{ANNOTATION_RUN_NOW, EXECUTION_FINALIZER, GraphExecution, GraphSchedule};
use futures::{StreamExt, stream};
use k8s_openapi::api::core::v1::Secret;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use model::ExecutionStatus;
use model::progress::{GraphSource, RunProgress, SubmitRequest, Submitted};
use rpc::services::Scheduler;
use serde_json::{Value, json};

const INPUT: &str = "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b";
const OUTPUT: &str = "363ae599-353e-4804-937e-b2ee3cef3da4";
const CALCULATOR: &str = "b1ab9b19-67a6-406d-abf5-2dba76d00c79";
const TIMER: &str = "d67a9c52-5e4e-11e2-bcfd-0800200c9a71";

/// A world with services and an operator that reaches them.
struct Scene {
    world: World,
    services: Services,
    operator: Option<Operator>,
}

impl Scene {
    async fn new() -> Self {
        let services = Services::prepare().await;
        services.start().await;
        Self::in_front_of(services).await
    }

    async fn in_front_of(services: Services) -> Self {
        let (world, operator) = services.in_cluster().await;
        Self {
            world,
            services,
            operator: Some(operator),
        }
    }

    /// The operator ends.
    async fn stop(&mut self) {
        self.operator.take().unwrap().stop().await;
    }

    async fn get(&self, name: &str) -> GraphExecution {
        self.world.api().get(name).await.unwrap()
    }

    /// Waits for a phase.
    async fn reaches(&self, name: &str, phase: Phase) -> GraphExecutionStatus {
        eventually(&format!("{name} is {phase:?}"), || async {
            let status = self.get(name).await.status.unwrap_or_default();
            if status.phase == Some(phase) { Ok(status) } else { Err(status) }
        })
        .await
    }

    /// Waits for the end.
    async fn reaches_end(&self, name: &str) -> GraphExecutionStatus {
        eventually(&format!("{name} is over"), || async {
            let status = self.get(name).await.status.unwrap_or_default();
            if status.phase.is_some_and(Phase::is_terminal) {
                Ok(status)
            } else {
                Err(status)
            }
        })
        .await
    }

    /// Submits `1 + 1` as an operator would that dies before it notes the answer.
    async fn submit(&self, key: &str) -> Submitted {
        let platform = self.world.api::<crds::AutoGPTPlatform>().get("p").await.unwrap();
        let request = SubmitRequest {
            idempotency_key: key.to_owned(),
            platform_uid: platform.uid().unwrap(),
            owner: None,
            graph: GraphSource::Inline {
                graph: serde_json::from_value(calculation("Add", 1)).unwrap(),
            },
            inputs: json!({"x": 1}).as_object().unwrap().clone(),
            inputs_from_schedule: None,
            credentials: Default::default(),
            deadline: None,
        };
        self.services.client().submit_graph_execution(request).await.unwrap()
    }

    /// All runs that the platform knows.
    async fn runs(&self) -> Vec<RunProgress> {
        self.services.client().get_execution_progress(None, 0, 1000).await.unwrap().runs
    }
}

fn execution(name: &str, graph: Value, inputs: Value) -> Value {
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": graph}, "inputs": inputs});
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name}, "spec": spec})
}

/// x → calculator → y
fn calculation(operation: &str, b: i32) -> Value {
    json!({"name": "calculation", "description": "", "nodes": [
        {"id": "x", "block_id": INPUT, "input_default": {"name": "x"}},
        {"id": "c", "block_id": CALCULATOR, "input_default": {"operation": operation, "b": b}},
        {"id": "y", "block_id": OUTPUT, "input_default": {"name": "y"}},
    ], "links": [
        {"source_id": "x", "source_name": "result", "sink_id": "c", "sink_name": "a"},
        {"source_id": "c", "source_name": "result", "sink_id": "y", "sink_name": "value"},
    ]})
}

fn verdict(status: &GraphExecutionStatus) -> (String, String, String) {
    let get = |kind| conditions::get(&status.conditions, kind).unwrap();
    let failed = get(conditions::FAILED);
    (get(conditions::SUCCEEDED).status.clone(), failed.status.clone(), failed.reason.clone())
}

fn expected(succeeded: &str, failed: &str, reason: &str) -> (String, String, String) {
    (succeeded.to_owned(), failed.to_owned(), reason.to_owned())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_example_runs_and_its_outputs_stand_in_the_status() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    let text = std::fs::read_to_string(repository().join("examples/execution.yaml")).unwrap();
    let mut example = documents(&text).remove(0);
    example["metadata"] = json!({"name": "hello"});
    example["spec"]["platformRef"]["name"] = json!("p");
    scene.world.apply(&example).await.unwrap();
    let status = scene.reaches("hello", Phase::Completed).await;
    assert_eq!(
        Value::Object(status.outputs.clone().unwrap()),
        json!({"greeting": ["Hello, Kubernetes! Your number is 42."], "doubled": [84]})
    );
    assert_eq!(verdict(&status), expected("True", "False", reason::COMPLETED));
    let nodes = status.nodes.clone().unwrap();
    assert_eq!((nodes.total, nodes.completed, nodes.failed, nodes.active), (7, 7, 0, 0));
    assert!(status.start_time.is_some() && status.completion_time >= status.start_time);
    assert_eq!(status.graph_hash.as_ref().map(String::len), Some(64));
    let run = scene.runs().await.remove(0);
    assert_eq!(status.execution_id, Some(run.graph_exec_id.to_string()));
    eventually("nothing holds a finished run", || async {
        let object = scene.get("hello").await;
        if object.finalizers().is_empty() {
            Ok(())
        } else {
            Err(object.metadata.finalizers)
        }
    })
    .await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn outputs_that_are_too_large_are_cut_short_with_the_address_of_all_of_them() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    // x → y
    let graph = json!({"name": "echo", "description": "", "nodes": [
        {"id": "x", "block_id": INPUT, "input_default": {"name": "x"}},
        {"id": "y", "block_id": OUTPUT, "input_default": {"name": "y"}},
    ], "links": [{"source_id": "x", "source_name": "result", "sink_id": "y", "sink_name": "value"}]});
    let long = "long ".repeat(20_000);
    let mut run = execution("long", graph, json!({"x": long}));
    run["spec"]["ttlSecondsAfterFinished"] = json!(3600);
    scene.world.apply(&run).await.unwrap();
    let status = scene.reaches("long", Phase::Completed).await;
    let kept = status.outputs.unwrap()["y"][0].as_str().unwrap().to_owned();
    assert!(kept.len() > 10_000 && kept.len() < 40_000, "{}", kept.len());
    assert_eq!(status.outputs_truncated, Some(true));
    let address = format!("GET /api/graphs/{}/executions/{}", status.graph_id.unwrap(), status.execution_id.unwrap());
    let message = status.message.unwrap();
    assert!(message.contains(&address), "{message}");
    // Its time begins with its end.
    scene
        .world
        .merge::<GraphExecution>("long", json!({"spec": {"ttlSecondsAfterFinished": 1}}))
        .await;
    eventually("its time is up", || async {
        match scene.world.api::<GraphExecution>().get_opt("long").await.unwrap() {
            None => Ok(()),
            Some(object) => Err(object.metadata),
        }
    })
    .await;
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bad_graph_fails_with_what_is_wrong() {
    let mut scene = Scene::new().await;
    let unknown_block = json!({"name": "g", "nodes": [{"id": "a", "block_id": "00000000-0000-4000-8000-000000000000"}]});
    let dangling = json!({"name": "g", "nodes": [{"id": "x", "block_id": INPUT, "input_default": {"name": "x"}}],
        "links": [{"source_id": "x", "source_name": "result", "sink_id": "nowhere", "sink_name": "value"}]});
    for (name, graph, inputs, words) in [
        ("unknown-block", unknown_block, json!({}), "00000000-0000-4000-8000-000000000000"),
        ("dangling", dangling, json!({"x": 1}), "nowhere"),
        (
            "missing-input",
            json!({"name": "g", "nodes": [{"id": "c", "block_id": CALCULATOR, "input_default": {"operation": "Add", "a": 1}}]}),
            json!({}),
            "b: ",
        ),
    ] {
        scene.world.apply(&execution(name, graph, inputs)).await.unwrap();
        let status = scene.reaches(name, Phase::Failed).await;
        let message = status.message.clone().unwrap();
        assert_eq!(verdict(&status).1, "True", "{name}: {message}");
        assert!(message.contains(words), "{name}: {message}");
        assert_eq!(conditions::get(&status.conditions, conditions::ACCEPTED).unwrap().status, "False");
    }
    let stored = json!({"platformRef": {"name": "p"}, "graph": {"id": "0190f1d2-0000-7000-8000-00000000dead"}});
    let stored = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": "no-graph"}, "spec": stored});
    scene.world.apply(&stored).await.unwrap();
    assert_eq!(
        verdict(&scene.reaches("no-graph", Phase::Failed).await),
        expected("False", "True", reason::GRAPH_NOT_FOUND)
    );
    assert!(scene.runs().await.is_empty());
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_node_failed_did_not_succeed_unless_that_is_fine() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    // The result is infinite, which no value of the contract is.
    scene
        .world
        .apply(&execution("fails", calculation("Divide", 0), json!({"x": 1})))
        .await
        .unwrap();
    let mut fine = execution("fine", calculation("Divide", 0), json!({"x": 1}));
    fine["spec"]["ignoreNodeErrors"] = json!(true);
    scene.world.apply(&fine).await.unwrap();
    let failed = scene.reaches("fails", Phase::Completed).await;
    assert_eq!(verdict(&failed), expected("False", "True", reason::NODES_FAILED), "{failed:#?}");
    let message = failed.message.unwrap();
    assert!(message.contains("1 of") && message.contains("ignoreNodeErrors"), "{message}");
    assert_eq!(
        verdict(&scene.reaches("fine", Phase::Completed).await),
        expected("True", "False", reason::COMPLETED)
    );
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn cancel_ends_a_run_that_waits() {
    let mut scene = Scene::new().await;
    // Nobody executes: it stays queued.
    scene
        .world
        .apply(&execution("waits", calculation("Add", 1), json!({"x": 1})))
        .await
        .unwrap();
    scene.reaches("waits", Phase::Queued).await;
    scene.world.merge::<GraphExecution>("waits", json!({"spec": {"cancel": true}})).await;
    let status = scene.reaches("waits", Phase::Terminated).await;
    assert_eq!(verdict(&status), expected("False", "False", reason::CANCELLED));
    assert_eq!(scene.runs().await[0].status, ExecutionStatus::Terminated);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_is_not_over_by_its_deadline_is_ended_and_failed() {
    let mut scene = Scene::new().await;
    // Nobody executes: it would wait for ever.
    let mut hurried = execution("hurried", calculation("Add", 1), json!({"x": 1}));
    hurried["spec"]["deadline"] = json!("2s");
    scene.world.apply(&hurried).await.unwrap();
    let status = scene.reaches("hurried", Phase::Terminated).await;
    assert_eq!(verdict(&status), expected("False", "True", reason::DEADLINE_EXCEEDED));
    let message = status.message.unwrap();
    assert!(message.contains("deadline of 2s"), "{message}");
    assert_eq!(scene.runs().await[0].status, ExecutionStatus::Terminated);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn deleting_an_execution_stops_its_run_first() {
    let mut scene = Scene::new().await;
    scene
        .world
        .apply(&execution("deleted", calculation("Add", 1), json!({"x": 1})))
        .await
        .unwrap();
    scene.reaches("deleted", Phase::Queued).await;
    assert!(scene.get("deleted").await.finalizers().contains(&EXECUTION_FINALIZER.to_owned()));
    scene
        .world
        .api::<GraphExecution>()
        .delete("deleted", &DeleteParams::default())
        .await
        .unwrap();
    eventually("it is gone", || async {
        match scene.world.api::<GraphExecution>().get_opt("deleted").await.unwrap() {
            None => Ok(()),
            Some(object) => Err(object),
        }
    })
    .await;
    assert_eq!(scene.runs().await[0].status, ExecutionStatus::Terminated);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_that_was_submitted_before_a_crash_is_taken_up_and_not_started_again() {
    let services = Services::prepare().await;
    services.start().await;
    services.start_executor().await;
    let mut scene = Scene::in_front_of(services).await;
    scene.stop().await;
    let object = scene
        .world
        .apply(&execution("once", calculation("Add", 1), json!({"x": 1})))
        .await
        .unwrap();
    let submitted = scene.submit(&object.metadata.uid.clone().unwrap()).await;
    eventually("the run is over before anybody looks", || async {
        let runs = scene.services.client().get_execution_progress(None, 0, 10).await.unwrap().runs;
        if runs.iter().any(|run| run.status.is_terminal()) {
            Ok(())
        } else {
            Err(runs)
        }
    })
    .await;

    let url = scene.services.url();
    let second = scene.world.operator_with("b", |config| config.scheduler_url = url).await;
    let status = eventually("the object follows", || async {
        let status = scene.world.api::<GraphExecution>().get("once").await.unwrap().status.unwrap_or_default();
        if status.phase == Some(Phase::Completed) {
            Ok(status)
        } else {
            Err(status)
        }
    })
    .await;
    assert_eq!(status.execution_id, Some(submitted.graph_exec_id.to_string()));
    assert_eq!(status.outputs.map(Value::Object), Some(json!({"y": [2]})));
    assert_eq!(scene.services.client().get_execution_progress(None, 0, 10).await.unwrap().runs.len(), 1);
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_copy_of_a_schedules_execution_has_a_run_of_its_own() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"inline": calculation("Add", 1)}, "inputs": {"x": 1}, "schedules": ["@yearly"]});
    let metadata = json!({"name": "s", "annotations": {ANNOTATION_RUN_NOW: "r"}});
    let schedule = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphSchedule", "metadata": metadata, "spec": spec});
    scene.world.apply(&schedule).await.unwrap();
    let original = eventually("it runs", || async {
        let all = scene.world.api::<GraphExecution>().list(&ListParams::default()).await.unwrap();
        all.items.into_iter().next().ok_or("none")
    })
    .await;
    let mut ids = vec![scene.reaches(&original.name_any(), Phase::Completed).await.execution_id.unwrap()];
    // As it is shown, under another name: with its owner, and without.
    for (name, owned) in [("owned", true), ("free", false)] {
        let mut copy = GraphExecution::new(name, original.spec.clone());
        copy.metadata.labels = original.metadata.labels.clone();
        copy.metadata.owner_references = original.metadata.owner_references.clone().filter(|_| owned);
        scene.world.api::<GraphExecution>().create(&PostParams::default(), &copy).await.unwrap();
        ids.push(scene.reaches(name, Phase::Completed).await.execution_id.unwrap());
    }
    let mut runs: Vec<String> = scene.runs().await.iter().map(|run| run.graph_exec_id.to_string()).collect();
    runs.sort();
    ids.sort();
    assert_eq!(ids, runs);
    assert_eq!(runs.len(), 3);
    let counters = eventually("the schedule counts its own", || async {
        let schedule = scene.world.api::<GraphSchedule>().get("s").await.unwrap();
        let status = schedule.status.unwrap_or_default();
        status.counters.filter(|_| status.active.is_empty()).ok_or(status.active)
    })
    .await;
    assert_eq!((counters.fired, counters.succeeded), (1, 1));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_platform_that_is_away_loses_no_run() {
    let mut scene = Scene::in_front_of(Services::prepare().await).await;
    scene
        .world
        .apply(&execution("patient", calculation("Multiply", 3), json!({"x": 5})))
        .await
        .unwrap();
    eventually("it says what it waits for", || async {
        let status = scene.get("patient").await.status.unwrap_or_default();
        match conditions::get(&status.conditions, conditions::ACCEPTED) {
            Some(condition) if condition.reason == reason::PLATFORM_UNREACHABLE => Ok(()),
            other => Err(other.cloned()),
        }
    })
    .await;
    scene.services.start().await;
    scene.services.start_executor().await;
    let status = scene.reaches("patient", Phase::Completed).await;
    assert_eq!(status.outputs.map(Value::Object), Some(json!({"y": [15]})));
    assert_eq!(scene.runs().await.len(), 1);
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_whose_submission_was_not_answered_is_found_and_cancelled() {
    let services = Services::prepare().await;
    services.start().await;
    let mut scene = Scene::in_front_of(services).await;
    scene.stop().await;
    let mut lost = execution("lost", calculation("Add", 1), json!({"x": 1}));
    lost["metadata"]["finalizers"] = json!([EXECUTION_FINALIZER]);
    let object = scene.world.apply(&lost).await.unwrap();
    let mut never = execution("never", calculation("Add", 1), json!({"x": 1}));
    never["metadata"]["finalizers"] = json!([EXECUTION_FINALIZER]);
    scene.world.apply(&never).await.unwrap();
    scene.submit(&object.metadata.uid.clone().unwrap()).await;
    for name in ["lost", "never"] {
        scene.world.merge::<GraphExecution>(name, json!({"spec": {"cancel": true}})).await;
    }
    let url = scene.services.url();
    let second = scene.world.operator_with("b", |config| config.scheduler_url = url).await;
    for (name, submitted) in [("lost", true), ("never", false)] {
        let status = eventually(&format!("{name} is cancelled"), || async {
            let status = scene.world.api::<GraphExecution>().get(name).await.unwrap().status.unwrap_or_default();
            if status.phase == Some(Phase::Terminated) {
                Ok(status)
            } else {
                Err(status)
            }
        })
        .await;
        assert_eq!(status.execution_id.is_some(), submitted, "{name}");
    }
    let runs = scene.services.client().get_execution_progress(None, 0, 10).await.unwrap().runs;
    assert_eq!(runs.iter().map(|run| run.status).collect::<Vec<_>>(), [ExecutionStatus::Terminated]);
    second.stop().await;
}

fn retry(name: &str, of: &str) -> Value {
    let spec = json!({"platformRef": {"name": "p"}, "retryOf": {"name": of}});
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "GraphExecution", "metadata": {"name": name}, "spec": spec})
}

/// x → x + 1 → before, and (x + 1) / 0 → y, which fails.
fn fragile() -> Value {
    json!({"name": "fragile", "description": "", "nodes": [
        {"id": "x", "block_id": INPUT, "input_default": {"name": "x"}},
        {"id": "before", "block_id": CALCULATOR, "input_default": {"operation": "Add", "b": 1}},
        {"id": "seen", "block_id": OUTPUT, "input_default": {"name": "before"}},
        {"id": "divide", "block_id": CALCULATOR, "input_default": {"operation": "Divide", "b": 0}},
        {"id": "y", "block_id": OUTPUT, "input_default": {"name": "y"}},
    ], "links": [
        {"source_id": "x", "source_name": "result", "sink_id": "before", "sink_name": "a"},
        {"source_id": "before", "source_name": "result", "sink_id": "seen", "sink_name": "value"},
        {"source_id": "before", "source_name": "result", "sink_id": "divide", "sink_name": "a"},
        {"source_id": "divide", "source_name": "result", "sink_id": "y", "sink_name": "value"},
    ]})
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_retry_goes_on_where_the_run_failed() {
    let mut scene = Scene::new().await;
    // Made first: it waits for what it names, and then for its end.
    scene.world.apply(&retry("second", "first")).await.unwrap();
    eventually("it waits for the object that it names", || async {
        let status = scene.get("second").await.status.unwrap_or_default();
        match conditions::get(&status.conditions, conditions::ACCEPTED) {
            Some(condition) if condition.reason == reason::RETRIED_MISSING => Ok(()),
            other => Err(other.cloned()),
        }
    })
    .await;
    scene.world.apply(&execution("first", fragile(), json!({"x": 1}))).await.unwrap();
    scene.reaches("first", Phase::Queued).await;
    scene.services.start_executor().await;
    let first = scene.reaches("first", Phase::Completed).await;
    assert_eq!(verdict(&first), expected("False", "True", reason::NODES_FAILED));
    assert!(first.message.clone().unwrap().contains("spec.retryOf"), "{:?}", first.message);

    let second = scene.reaches("second", Phase::Completed).await;
    assert_ne!(second.execution_id, first.execution_id);
    assert_eq!((&second.graph_id, second.graph_version), (&first.graph_id, first.graph_version));
    assert_eq!(
        verdict(&second),
        expected("False", "True", reason::NODES_FAILED),
        "it fails again, as nothing has changed"
    );
    assert_eq!(second.outputs, first.outputs);
    let counts = |status: &GraphExecutionStatus| status.nodes.clone().map(|nodes| (nodes.total, nodes.completed, nodes.failed));
    assert_eq!((counts(&second), counts(&first)), (Some((4, 3, 1)), Some((4, 3, 1))));
    // Only the failed node was at work after the run had started.
    let run = scene.services.execution(second.execution_id.as_deref().unwrap()).await;
    let began = run.execution.meta.started_at;
    let nodes = run.node_executions.iter().filter(|node| node.status.is_terminal());
    let worked: Vec<(ExecutionStatus, bool)> = nodes.map(|node| (node.status, node.end_time.is_some_and(|end| end > began))).collect();
    assert_eq!(worked.iter().filter(|(_, worked)| *worked).count(), 1, "{worked:?}");
    assert!(worked.contains(&(ExecutionStatus::Failed, true)), "{worked:?}");

    // A retry can be retried.
    scene.world.apply(&retry("third", "second")).await.unwrap();
    let third = scene.reaches("third", Phase::Completed).await;
    assert_eq!((counts(&third), &third.outputs), (counts(&first), &first.outputs));

    // The finished run stays as it was, and a run that went well is not retried.
    assert_eq!(scene.reaches("first", Phase::Completed).await, first);
    scene
        .world
        .apply(&execution("well", calculation("Add", 1), json!({"x": 1})))
        .await
        .unwrap();
    scene.reaches("well", Phase::Completed).await;
    scene.world.apply(&retry("needless", "well")).await.unwrap();
    let refused = scene.reaches("needless", Phase::Failed).await;
    assert_eq!(verdict(&refused), expected("False", "True", reason::NOTHING_TO_RETRY));
    assert_eq!(scene.runs().await.len(), 4);
    scene.stop().await;
}

/// Reveals its key to the output `key`.
fn revealing(name: &str, credentials: Value) -> Value {
    let graph = json!({"name": "reveal", "nodes": [
        {"id": "r", "block_id": REVEAL},
        {"id": "k", "block_id": OUTPUT, "input_default": {"name": "key"}},
    ], "links": [{"source_id": "r", "source_name": "key", "sink_id": "k", "sink_name": "value"}]});
    let mut manifest = execution(name, graph, json!({}));
    manifest["spec"]["credentials"] = credentials;
    manifest
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_run_uses_the_secrets_that_it_names_and_no_others() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    let reference = json!({REVEAL_INPUT: {"secretRef": {"name": "github"}}});
    scene.world.apply(&revealing("first", reference.clone())).await.unwrap();
    let waits = async |name: &'static str, reason: &'static str| {
        eventually(&format!("{name} waits: {reason}"), || async {
            let status = scene.get(name).await.status.unwrap_or_default();
            match conditions::get(&status.conditions, conditions::ACCEPTED) {
                Some(condition) if condition.reason == reason => Ok(condition.message.clone()),
                other => Err(other.cloned()),
            }
        })
        .await
    };
    waits("first", reason::CREDENTIALS_MISSING).await;
    let secret = |labels: Value, key: &str| json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "github", "labels": labels}, "stringData": {"api_key": key}});
    scene.world.apply(&secret(json!({}), "one")).await.unwrap();
    let message = waits("first", reason::CREDENTIALS_NOT_ALLOWED).await;
    assert!(message.contains("kubectl label secret github autogpt.dev/credential="), "{message}");
    scene
        .world
        .apply(&secret(json!({"autogpt.dev/credential": "github"}), "one"))
        .await
        .unwrap();
    let status = scene.reaches("first", Phase::Completed).await;
    assert_eq!(verdict(&status), expected("True", "False", reason::COMPLETED), "{status:#?}");
    assert_eq!(status.outputs.map(Value::Object), Some(json!({"key": ["one"]})));
    // The run carries the reference, and the key is nowhere.
    let run = scene.services.execution(status.execution_id.as_deref().unwrap()).await;
    let inputs = run.execution.meta.credential_inputs.unwrap();
    assert_eq!(
        (inputs[REVEAL_INPUT].provider.as_str(), inputs[REVEAL_INPUT].kind.as_str()),
        ("github", "api_key")
    );

    // What the Secret holds now is what the next run gets.
    scene
        .world
        .apply(&secret(json!({"autogpt.dev/credential": "github"}), "two"))
        .await
        .unwrap();
    scene.world.apply(&revealing("second", reference)).await.unwrap();
    let status = scene.reaches("second", Phase::Completed).await;
    assert_eq!(status.outputs.map(Value::Object), Some(json!({"key": ["two"]})));

    // The platform's own Secrets are nobody's, whatever somebody writes on them.
    scene
        .world
        .merge::<Secret>("p-encryption", json!({"metadata": {"labels": {"autogpt.dev/credential": "github"}}}))
        .await;
    let own = json!({REVEAL_INPUT: {"secretRef": {"name": "p-encryption"}}});
    scene.world.apply(&revealing("thief", own)).await.unwrap();
    assert_eq!(
        verdict(&scene.reaches("thief", Phase::Failed).await),
        expected("False", "True", reason::CREDENTIALS_NOT_ALLOWED)
    );
    let misspelt = json!({"gitlab": {"secretRef": {"name": "github"}}});
    scene.world.apply(&revealing("misspelt", misspelt)).await.unwrap();
    let status = scene.reaches("misspelt", Phase::Failed).await;
    assert!(status.message.clone().unwrap().contains(REVEAL_INPUT), "{status:#?}");
    // No Secret at all: the node says so.
    scene.world.apply(&revealing("without", json!({}))).await.unwrap();
    assert_ne!(verdict(&scene.reaches_end("without").await).0, "True");
    scene.stop().await;
}

/// The origins of what the platform keeps of Secrets.
async fn copies(services: &Services) -> Vec<String> {
    let copies = services.client().list_credential_copies("Secret/".to_owned(), None).await.unwrap();
    copies.into_iter().map(|copy| copy.origin).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_the_platform_keeps_of_a_secret_goes_with_the_secret() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    let names = ["deleted", "unlabelled", "stays", "later"];
    for name in names {
        let labels = json!({"autogpt.dev/credential": "github"});
        let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": name, "labels": labels}, "stringData": {"api_key": name}});
        scene.world.apply(&secret).await.unwrap();
        let reference = json!({REVEAL_INPUT: {"secretRef": {"name": name}}});
        scene.world.apply(&revealing(name, reference)).await.unwrap();
    }
    for name in names {
        scene.reaches(name, Phase::Completed).await;
    }
    let origin = |name: &str| format!("Secret/{}/{name}", scene.world.namespace);
    assert_eq!(copies(&scene.services).await.len(), 4);
    let secrets = scene.world.api::<Secret>();
    let are_left = async |expected: [&str; 2]| {
        let expected = expected.map(origin);
        eventually("the copies go, and no others", || async {
            let mut left = copies(&scene.services).await;
            left.sort_unstable();
            if left == expected { Ok(()) } else { Err(left) }
        })
        .await;
    };
    // The end of an execution is no reason: another one may name the Secret.
    scene
        .world
        .api::<GraphExecution>()
        .delete("stays", &DeleteParams::default())
        .await
        .unwrap();
    secrets.delete("deleted", &DeleteParams::default()).await.unwrap();
    scene
        .world
        .merge::<Secret>("unlabelled", json!({"metadata": {"labels": {"autogpt.dev/credential": null}}}))
        .await;
    are_left(["later", "stays"]).await;

    // One that goes while no operator is there, and one that came of it once more.
    scene.operator.take().unwrap().stop().await;
    secrets.delete("later", &DeleteParams::default()).await.unwrap();
    let url = scene.services.url();
    let operator = scene.world.operator_with("b", |config| config.scheduler_url = url).await;
    let secret = json!({"apiVersion": "v1", "kind": "Secret", "metadata": {"name": "deleted", "labels": {"autogpt.dev/credential": "github"}}, "stringData": {"api_key": "again"}});
    scene.world.apply(&secret).await.unwrap();
    scene
        .world
        .apply(&revealing("again", json!({REVEAL_INPUT: {"secretRef": {"name": "deleted"}}})))
        .await
        .unwrap();
    let status = scene.reaches("again", Phase::Completed).await;
    assert_eq!(status.outputs.map(Value::Object), Some(json!({"key": ["again"]})));
    are_left(["deleted", "stays"]).await;
    operator.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_follows_the_nodes_of_a_run_under_way() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    // x → calculator → y, and a timer that takes longer than the test.
    let mut graph = calculation("Add", 1);
    graph["nodes"][1]["metadata"] = json!({"customized_name": "Add one"});
    graph["nodes"].as_array_mut().unwrap().push(json!({
        "id": "timer", "block_id": TIMER, "input_default": {"input_message": "up", "seconds": 3600, "minutes": 0, "hours": 0, "days": 0},
    }));
    scene.world.apply(&execution("slow", graph, json!({"x": 1}))).await.unwrap();
    // Counts come with the stream of changes, nodes and outputs with the next look.
    let under_way = eventually("three nodes are done and shown, and the fourth is not", || async {
        let status = scene.get("slow").await.status.unwrap_or_default();
        let nodes = status.nodes.clone().unwrap_or_default();
        let in_phase = |phase| nodes.latest.iter().filter(|node| node.status == phase).count();
        let is_counted = (nodes.completed, nodes.active) == (3, 1);
        let is_shown = (in_phase(Phase::Completed), in_phase(Phase::Running)) == (3, 1) && status.outputs.is_some();
        if is_counted && is_shown { Ok(status) } else { Err(status) }
    })
    .await;
    assert_eq!((under_way.phase, under_way.completion_time), (Some(Phase::Running), None));
    assert_eq!(under_way.outputs.map(Value::Object), Some(json!({"y": [2]})));
    let latest = under_way.nodes.unwrap().latest;
    let mut seen: Vec<(&str, Phase, bool)> = latest
        .iter()
        .map(|node| (node.name.as_str(), node.status, node.start_time.is_some() && node.end_time.is_some()))
        .collect();
    seen.sort_unstable_by_key(|(name, ..)| *name);
    assert_eq!(
        seen,
        [
            ("Add one", Phase::Completed, true),
            ("AgentInputBlock", Phase::Completed, true),
            ("AgentOutputBlock", Phase::Completed, true),
            ("CountdownTimerBlock", Phase::Running, false),
        ]
    );

    // A change that has nothing to do with nodes takes nothing of that away.
    scene
        .world
        .merge::<GraphExecution>("slow", json!({"spec": {"ttlSecondsAfterFinished": 3600}}))
        .await;
    let after = eventually("it was looked at again", || async {
        let object = scene.get("slow").await;
        let status = object.status.unwrap_or_default();
        if status.observed_generation == object.metadata.generation {
            Ok(status)
        } else {
            Err(status)
        }
    })
    .await;
    assert_eq!(
        (after.nodes.unwrap().latest.len(), after.outputs.map(Value::Object)),
        (4, Some(json!({"y": [2]})))
    );

    scene.world.merge::<GraphExecution>("slow", json!({"spec": {"cancel": true}})).await;
    let over = scene.reaches("slow", Phase::Terminated).await;
    let nodes = over.nodes.unwrap();
    assert_eq!((nodes.total, nodes.completed, nodes.active), (4, 3, 0));
    assert!(nodes.latest.is_empty(), "nodes of a run that is over are the platform's affair");
    assert_eq!(over.outputs.unwrap()["y"], json!([2]));
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_status_says_at_once_that_a_run_is_over() {
    let mut scene = Scene::new().await;
    scene.services.start_executor().await;
    let mut lags = Vec::new();
    for number in 0..7 {
        let name = format!("run-{number}");
        scene
            .world
            .apply(&execution(&name, calculation("Add", 1), json!({"x": number})))
            .await
            .unwrap();
        scene.reaches(&name, Phase::Completed).await;
        let seen = Utc::now();
        let key = scene.get(&name).await.uid().unwrap();
        let run = scene.runs().await.into_iter().find(|run| run.idempotency_key == key).unwrap();
        lags.push(seen - run.ended_at.unwrap().into_inner());
    }
    lags.sort();
    eprintln!("the status followed after {lags:?}");
    // Without a word from the platform it is asked again after 20 s.
    assert!(lags[lags.len() / 2] < TimeDelta::seconds(10), "{lags:?}");
    scene.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_operator_that_starts_asks_for_what_it_waits_for_and_reads_nothing_else() {
    const FINISHED: usize = 2000;
    let mut scene = Scene::new().await;
    for name in ["ends", "stays"] {
        scene.world.apply(&execution(name, calculation("Add", 1), json!({"x": 1}))).await.unwrap();
        scene.reaches(name, Phase::Queued).await;
    }
    scene.stop().await;
    let lost = scene
        .world
        .apply(&execution("lost", calculation("Add", 1), json!({"x": 1})))
        .await
        .unwrap();
    // What happens while no operator is there: one run ends, and so do many that nobody waits for.
    let id = scene.get("ends").await.status.unwrap().execution_id.unwrap();
    let client = scene.services.client();
    client.stop_graph_execution(id.parse().unwrap()).await.unwrap();
    let scene_ref = &scene;
    let finished = stream::iter(0..FINISHED).map(|number| async move {
        let submitted = scene_ref.submit(&format!("finished-{number}")).await;
        let client = scene_ref.services.client();
        client.stop_graph_execution(submitted.graph_exec_id).await.unwrap()
    });
    let ends: Vec<ExecutionStatus> = finished.buffer_unordered(16).collect().await;
    assert!(ends.len() == FINISHED && ends.iter().all(|end| end.is_terminal()));
    let submitted = scene.submit(&lost.uid().unwrap()).await;
    client.stop_graph_execution(submitted.graph_exec_id).await.unwrap();

    let before = (
        scene.services.count("scheduler_progress_streamed_total").await,
        scene.services.count("scheduler_progress_told_by_key_total").await,
    );
    let url = scene.services.url();
    let second = scene.world.operator_with("b", |config| config.scheduler_url = url).await;
    scene.reaches("ends", Phase::Terminated).await;
    let status = scene.reaches("lost", Phase::Terminated).await;
    assert_eq!(status.execution_id, Some(submitted.graph_exec_id.to_string()));
    let stays = scene.get("stays").await.status.unwrap();
    assert_eq!(stays.phase, Some(Phase::Queued));
    // The stream goes on from there.
    client.stop_graph_execution(stays.execution_id.unwrap().parse().unwrap()).await.unwrap();
    scene.reaches("stays", Phase::Terminated).await;
    let streamed = scene.services.count("scheduler_progress_streamed_total").await - before.0;
    let by_key = scene.services.count("scheduler_progress_told_by_key_total").await - before.1;
    eprintln!("of {FINISHED} runs that were over the stream told {streamed}; {by_key} were asked for");
    // What was committed last before the start may be told once more.
    assert!((1..=50).contains(&streamed), "{streamed} runs of {FINISHED} were read");
    // Each of the three, and who looks at one first asks once more.
    assert!((3..=6).contains(&by_key), "{by_key} runs were told by key");
    second.stop().await;
}
