//! What the operator does when it may not: a quota is used up, a right is missing, somebody else holds a field. It lives on, asks no
//! faster than it has to, and does what it was kept from as soon as it may.

use std::time::Duration;

use controllers_tests::World;
use controllers_tests::eventually::{eventually, within};
use controllers_tests::world::documents;
use crds::{GraphExecution, GraphSchedule};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ResourceQuota;
use kube::ResourceExt;
use kube::api::{DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

const EXECUTIONS: &str = "count/graphexecutions.autogpt.dev";
/// For so long the operator may not.
const REFUSED: Duration = Duration::from_secs(5);
/// What it waited for is done within its longest pause between two tries.
const PATIENCE: Duration = Duration::from_secs(90);
/// Requests of one operator while something is refused: a loop without pauses asks for thousands.
const REQUESTS: usize = 400;

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn execution(name: &str) -> Value {
    object(
        "GraphExecution",
        name,
        json!({"platformRef": {"name": "none"}, "graph": {"configMapRef": {"name": "g"}}}),
    )
}

/// So many executions may be in the namespace. Without Kubernetes' own controllers nobody else counts.
async fn allow_executions(world: &World, count: &str) {
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "q"}, "spec": {"hard": {EXECUTIONS: count}}});
    world.apply(&quota).await.unwrap();
    world
        .merge_status::<ResourceQuota>("q", json!({"hard": {EXECUTIONS: count}, "used": {EXECUTIONS: "0"}}))
        .await;
}

#[tokio::test]
async fn a_quota_that_is_used_up_delays_slots_and_loses_none() {
    let world = World::new().await;
    world.apply(&object("AutoGPTPlatform", "p", json!({"paused": true}))).await.unwrap();
    allow_executions(&world, "0").await;
    let api = world.api::<GraphExecution>();
    eventually("the quota is in force", || async {
        let probe = serde_json::from_value(execution("probe")).unwrap();
        match api.create(&PostParams::default(), &probe).await {
            Ok(_) => Err(api.delete("probe", &DeleteParams::default()).await.map(drop)),
            Err(error) if error.to_string().contains("exceeded quota") => Ok(()),
            Err(error) => panic!("{error}"),
        }
    })
    .await;
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "seconds": true, "schedules": ["*/3 * * * * *"],
        "catchUp": {"policy": "All", "limit": 1000}, "historyLimit": {"succeeded": 1000, "failed": 1000}});
    let schedule: GraphSchedule = world.create(object("GraphSchedule", "s", spec)).await;
    let operator = world.operator("a").await;
    let status = || async { world.api::<GraphSchedule>().get("s").await.unwrap().status.unwrap_or_default() };
    tokio::time::sleep(2 * REFUSED).await;
    assert_eq!(status().await.decided_through, None, "what has no execution is not decided");
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 0);
    let operator = operator.assert_running().await;

    allow_executions(&world, "1000").await;
    let raised = operator::runtime::time::now().0.as_second();
    let status = within(PATIENCE, "what was refused is made up for", || async {
        let status = status().await;
        let through = status.decided_through.as_ref().map(|through| through.0.as_second());
        if through >= Some(raised) { Ok(status) } else { Err(status) }
    })
    .await;
    let (created, through) = (schedule.creation_timestamp().unwrap(), status.decided_through.unwrap());
    let due = through.0.as_second() / 3 - created.0.as_second() / 3;
    let counters = status.counters.unwrap();
    assert_eq!((counters.fired, counters.missed, counters.skipped), (due, 0, 0));
    operator.stop().await;
}

/// What the chart lets the operator do in its namespace.
fn roles(world: &World) -> Vec<Value> {
    documents(&world.render(&[]))
        .into_iter()
        .filter(|document| document["kind"] == "Role")
        .collect()
}

/// The same without a verb.
fn without(verb: &str, roles: &[Value]) -> Vec<Value> {
    let mut fewer = roles.to_vec();
    for rules in fewer.iter_mut().map(|role| role["rules"].as_array_mut().unwrap()) {
        for rule in rules.iter_mut() {
            rule["verbs"].as_array_mut().unwrap().retain(|other| other != verb);
        }
        rules.retain(|rule| rule["verbs"] != json!([]));
    }
    fewer
}

async fn give(world: &World, roles: &[Value]) {
    for role in roles {
        world.apply(role).await.unwrap();
    }
}

#[tokio::test]
async fn an_operator_without_a_verb_lives_and_works_when_it_has_it_again() {
    let world = World::new().await;
    let all = roles(&world);
    let user = format!("system:serviceaccount:{}:autogpt-operator", world.namespace);
    for verb in ["get", "list", "watch", "create", "update", "patch", "delete"] {
        let fewer = without(verb, &all);
        assert_ne!(fewer, all, "the operator has no {verb}");
        give(&world, &fewer).await;
        let operator = world.operator(verb).await;
        let objects = [
            object("AutoGPTPlatform", &format!("{verb}-p"), json!({"paused": true})),
            object(
                "GraphSchedule",
                &format!("{verb}-s"),
                json!({"platformRef": {"name": "none"}, "graph": {"configMapRef": {"name": "g"}}, "schedules": ["@yearly"]}),
            ),
            execution(&format!("{verb}-e")),
        ];
        for object in &objects {
            world.apply(object).await.unwrap();
        }
        let before = world.cluster.requests_of(&user);
        tokio::time::sleep(REFUSED).await;
        let asked = world.cluster.requests_of(&user) - before;
        assert!(asked < REQUESTS, "without {verb}: {asked} requests in {REFUSED:?}");
        let operator = operator.assert_running().await;
        give(&world, &all).await;
        for object in &objects {
            let name = object["metadata"]["name"].as_str().unwrap();
            within(PATIENCE, &format!("{name} is looked at"), || async {
                let found = world.dynamic(object).get(name).await.unwrap().data;
                if found["status"]["conditions"].is_array() { Ok(()) } else { Err(found) }
            })
            .await;
        }
        operator.assert_running().await.stop().await;
    }
}

#[tokio::test]
async fn a_field_that_somebody_else_takes_is_taken_back_and_his_own_are_left_alone() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&object("AutoGPTPlatform", "p", json!({}))).await.unwrap();
    world.bring_up("p").await;
    world.comes_to_rest(Duration::from_secs(3)).await;
    // By force, as `kubectl apply --server-side --force-conflicts` does.
    let theirs = json!({"apiVersion": "apps/v1", "kind": "Deployment",
        "metadata": {"name": "p-rest", "annotations": {"example.com/mine": "yes"}}, "spec": {"replicas": 7}});
    world.apply(&theirs).await.unwrap();
    let deployment = || async { world.api::<Deployment>().get("p-rest").await.unwrap() };
    eventually("the field is the operator's again", || async {
        let replicas = deployment().await.spec.unwrap().replicas;
        if replicas == Some(1) { Ok(()) } else { Err(replicas) }
    })
    .await;
    world.comes_to_rest(Duration::from_secs(3)).await;
    let deployment = deployment().await;
    assert_eq!(deployment.spec.as_ref().unwrap().replicas, Some(1));
    assert_eq!(deployment.annotations().get("example.com/mine").map(String::as_str), Some("yes"));
    operator.assert_running().await.stop().await;
}
