//! What the operator does when it may not: a quota is used up, a right is missing, somebody else holds a field. It lives on, asks no
//! faster than it has to, and does what it was kept from as soon as it may.

use std::time::Duration;

use controllers_tests::World;
use controllers_tests::eventually::{eventually, within};
use controllers_tests::world::documents;
use crds::conditions::{ACCEPTED, READY, reason};
use crds::{GraphExecution, GraphSchedule};
use k8s_openapi::api::admissionregistration::v1::{ValidatingAdmissionPolicy, ValidatingAdmissionPolicyBinding};
use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::ResourceQuota;
use k8s_openapi::api::events::v1::Event;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, PostParams};
use serde_json::{Value, json};

const EXECUTIONS: &str = "count/graphexecutions.autogpt.dev";
/// For so long the operator may not.
const REFUSED: Duration = Duration::from_secs(5);
/// What it waited for is done within its longest pause between two tries.
const PATIENCE: Duration = Duration::from_secs(60);
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
    let said = says(&world, "GraphSchedule", "s", READY, "False", reason::QUOTA_EXCEEDED).await;
    assert!(said.contains("exceeded quota: q") && said.contains("; raise the ResourceQuota"), "{said}");
    warns(&world, "GraphSchedule", "s", reason::QUOTA_EXCEEDED).await;
    let operator = operator.assert_running().await;

    // What may be made of many that are due is decided, so that it runs and makes room.
    allow_executions(&world, "2").await;
    within(PATIENCE, "two are made and decided", || async {
        let counters = status().await.counters;
        if counters.as_ref().is_some_and(|counters| counters.fired == 2) {
            Ok(())
        } else {
            Err(counters)
        }
    })
    .await;
    says(&world, "GraphSchedule", "s", READY, "False", reason::QUOTA_EXCEEDED).await;
    assert_eq!(api.list(&ListParams::default()).await.unwrap().items.len(), 2);

    // What has ended is counted and goes all the while: that, too, makes room.
    world
        .merge::<GraphSchedule>("s", json!({"spec": {"historyLimit": {"succeeded": 0, "failed": 0}}}))
        .await;
    for child in api.list(&ListParams::default()).await.unwrap().items {
        let verdict = json!({"type": "Succeeded", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let over = json!({"phase": "COMPLETED", "conditions": [verdict]});
        world.merge_status::<GraphExecution>(&child.name_any(), over).await;
    }
    within(PATIENCE, "they are gone", || async {
        let left = api.list(&ListParams::default()).await.unwrap().items;
        if left.is_empty() { Ok(()) } else { Err(left.len()) }
    })
    .await;
    assert_eq!(status().await.counters.map(|counters| (counters.fired, counters.succeeded)), Some((2, 2)));

    allow_executions(&world, "1000").await;
    is_made_up_for(&world, &schedule).await;
    says(&world, "GraphSchedule", "s", READY, "True", reason::ARMED).await;
    operator.stop().await;
}

/// Waits until a schedule that is due every three seconds has decided everything, and fired for all of it.
async fn is_made_up_for(world: &World, schedule: &GraphSchedule) {
    let since = operator::runtime::time::now().0.as_second();
    let status = within(PATIENCE, "what was refused is made up for", || async {
        let live = world.api::<GraphSchedule>().get(&schedule.name_any()).await.unwrap();
        let status = live.status.unwrap_or_default();
        let through = status.decided_through.as_ref().map(|through| through.0.as_second());
        if through >= Some(since) { Ok(status) } else { Err(status) }
    })
    .await;
    let (created, through) = (schedule.creation_timestamp().unwrap(), status.decided_through.unwrap());
    let due = through.0.as_second() / 3 - created.0.as_second() / 3;
    let counters = status.counters.unwrap();
    assert_eq!((counters.fired, counters.missed, counters.skipped), (due, 0, 0));
}

/// Waits until a condition of an object has this status and reason; its message.
async fn says(world: &World, kind: &str, name: &str, condition: &str, status: &str, reason: &str) -> String {
    let api = world.dynamic(&object(kind, name, json!({})));
    let what = format!("{kind} {name} says {condition} {status} {reason}");
    let found = within(PATIENCE, &what, || async {
        let found = api.get(name).await.unwrap().data;
        let conditions = found["status"]["conditions"].as_array().cloned().unwrap_or_default();
        let is_wanted = |found: &&Value| found["type"] == condition && found["status"] == status && found["reason"] == reason;
        conditions.iter().find(is_wanted).cloned().ok_or(found)
    })
    .await;
    found["message"].as_str().unwrap().to_owned()
}

/// Waits until there is a warning about an object.
async fn warns(world: &World, kind: &str, name: &str, reason: &str) {
    eventually(&format!("a warning {reason} about {kind} {name}"), || async {
        let events = world.api::<Event>().list(&ListParams::default()).await.unwrap().items;
        let is_wanted = |event: &Event| {
            let about = event.regarding.clone().unwrap_or_default();
            about.kind.as_deref() == Some(kind)
                && about.name.as_deref() == Some(name)
                && event.reason.as_deref() == Some(reason)
                && event.type_.as_deref() == Some("Warning")
        };
        if events.iter().any(is_wanted) { Ok(()) } else { Err(events.len()) }
    })
    .await;
}

/// A policy of the cluster that forbids an operator to make and change these.
struct Policy<'a> {
    world: &'a World,
    name: String,
}

impl<'a> Policy<'a> {
    /// In force when this returns.
    async fn forbid(world: &'a World, rules: Value) -> Self {
        let name = format!("{}.example.com", world.namespace);
        let operator = format!("system:serviceaccount:{}:autogpt-operator", world.namespace);
        let policy = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicy", "metadata": {"name": name}, "spec": {
            "failurePolicy": "Fail", "matchConstraints": {"resourceRules": rules},
            "matchConditions": [{"name": "operator", "expression": format!("request.userInfo.username == '{operator}'")}],
            "validations": [{"expression": "false", "message": "not before the change is approved"}]}});
        let policies: Api<ValidatingAdmissionPolicy> = Api::all(world.client.clone());
        policies
            .create(&PostParams::default(), &serde_json::from_value(policy).unwrap())
            .await
            .unwrap();
        let binding = json!({"apiVersion": "admissionregistration.k8s.io/v1", "kind": "ValidatingAdmissionPolicyBinding", "metadata": {"name": name},
            "spec": {"policyName": name, "validationActions": ["Deny"]}});
        Self::bindings(world)
            .create(&PostParams::default(), &serde_json::from_value(binding).unwrap())
            .await
            .unwrap();
        let operators: Api<GraphExecution> = Api::namespaced(world.operator_client().await, &world.namespace);
        let dry = PostParams {
            dry_run: true,
            ..PostParams::default()
        };
        eventually("the policy is in force", || async {
            let probe = serde_json::from_value(execution("probe")).unwrap();
            match operators.create(&dry, &probe).await {
                Ok(_) => Err("it may be made"),
                Err(error) if error.to_string().contains("not before the change") => Ok(()),
                Err(error) => panic!("{error}"),
            }
        })
        .await;
        Self { world, name }
    }

    async fn lift(self) {
        Self::bindings(self.world).delete(&self.name, &DeleteParams::default()).await.unwrap();
    }

    fn bindings(world: &World) -> Api<ValidatingAdmissionPolicyBinding> {
        Api::all(world.client.clone())
    }
}

#[tokio::test]
async fn what_an_admission_policy_refuses_is_said_by_every_kind_until_it_is_allowed() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&object("AutoGPTPlatform", "p", json!({}))).await.unwrap();
    world.bring_up("p").await;
    let policy = Policy::forbid(
        &world,
        json!([
            {"apiGroups": ["autogpt.dev"], "apiVersions": ["*"], "operations": ["CREATE", "UPDATE"], "resources": ["graphexecutions"]},
            {"apiGroups": [""], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["services"]},
        ]),
    )
    .await;
    let graph = json!({"configMapRef": {"name": "g"}});
    let spec = json!({"platformRef": {"name": "p"}, "graph": graph, "seconds": true, "schedules": ["*/3 * * * * *"],
        "catchUp": {"policy": "All", "limit": 1000}, "historyLimit": {"succeeded": 1000, "failed": 1000}});
    let schedule: GraphSchedule = world.create(object("GraphSchedule", "s", spec)).await;
    let spec = json!({"platformRef": {"name": "p"}, "graph": graph});
    world.apply(&object("GraphExecution", "e", spec)).await.unwrap();
    world.apply(&object("AutoGPTPlatform", "q", json!({}))).await.unwrap();

    let denied = reason::ADMISSION_DENIED;
    let told = [
        (
            "GraphSchedule",
            "s",
            says(&world, "GraphSchedule", "s", READY, "False", denied).await,
            denied,
        ),
        (
            "GraphExecution",
            "e",
            says(&world, "GraphExecution", "e", ACCEPTED, "False", denied).await,
            denied,
        ),
        (
            "AutoGPTPlatform",
            "q",
            says(&world, "AutoGPTPlatform", "q", READY, "False", reason::APPLY_REFUSED).await,
            reason::APPLY_REFUSED,
        ),
    ];
    for (kind, name, message, reason) in told {
        let complete = message.contains("not before the change is approved") && message.contains("change what it complains about, or the policy");
        assert!(complete, "{kind}: {message}");
        warns(&world, kind, name, reason).await;
    }
    let user = format!("system:serviceaccount:{}:autogpt-operator", world.namespace);
    let before = world.cluster.requests_of(&user);
    tokio::time::sleep(REFUSED).await;
    let asked = world.cluster.requests_of(&user) - before;
    assert!(asked < REQUESTS, "{asked} requests in {REFUSED:?}");
    let operator = operator.assert_running().await;

    policy.lift().await;
    says(&world, "GraphSchedule", "s", READY, "True", reason::ARMED).await;
    is_made_up_for(&world, &schedule).await;
    // It goes on to the next thing that it waits for.
    says(&world, "GraphExecution", "e", ACCEPTED, "False", reason::CONFIG_MAP_MISSING).await;
    says(&world, "AutoGPTPlatform", "q", READY, "False", reason::WAITING_FOR_DATA_SERVICES).await;
    operator.assert_running().await.stop().await;
}

#[tokio::test]
async fn a_schedule_that_cannot_be_written_to_keeps_what_it_has_not_counted_whatever_the_ttl() {
    let world = World::new().await;
    let operator = world.operator("a").await;
    world.apply(&object("AutoGPTPlatform", "p", json!({"paused": true}))).await.unwrap();
    let backfill = json!({"name": "b", "from": "2026-01-01T00:00:00Z", "to": "2026-01-03T00:00:00Z", "overlapPolicy": "Allow"});
    let spec = json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "schedules": ["@daily"],
        "ttlSecondsAfterFinished": 0, "backfills": [backfill]});
    world.create::<GraphSchedule>(object("GraphSchedule", "s", spec)).await;
    let status = || async { world.api::<GraphSchedule>().get("s").await.unwrap().status.unwrap_or_default() };
    let names = || async {
        let all = world.api::<GraphExecution>().list(&ListParams::default()).await.unwrap();
        all.iter().map(ResourceExt::name_any).collect::<Vec<_>>()
    };
    eventually("three run", || async {
        let active = status().await.active;
        if active.len() == 3 { Ok(()) } else { Err(active) }
    })
    .await;
    let rules = json!([
        {"apiGroups": ["autogpt.dev"], "apiVersions": ["*"], "operations": ["CREATE"], "resources": ["graphexecutions"]},
        {"apiGroups": ["autogpt.dev"], "apiVersions": ["*"], "operations": ["UPDATE"], "resources": ["graphschedules/status"]},
    ]);
    let policy = Policy::forbid(&world, rules).await;
    let three = names().await;
    for name in &three {
        let verdict = json!({"type": "Succeeded", "status": "True", "reason": "Test", "message": "", "lastTransitionTime": "2026-01-01T00:00:00Z"});
        let over = json!({"phase": "COMPLETED", "completionTime": "2026-01-01T00:00:00Z", "conditions": [verdict]});
        world.merge_status::<GraphExecution>(name, over).await;
    }
    tokio::time::sleep(REFUSED).await;
    assert_eq!(names().await, three, "they are not counted");
    policy.lift().await;
    within(PATIENCE, "all are counted, and go", || async {
        let counted = status().await.counters.unwrap_or_default().succeeded;
        let left = names().await;
        if (counted, left.len()) == (3, 0) { Ok(()) } else { Err((counted, left)) }
    })
    .await;
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
