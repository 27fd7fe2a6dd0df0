//! Schedules as GraphSchedule objects, on a real API server and PostgreSQL.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // a test that cannot go on says so

use std::collections::BTreeMap;

use blocks::Registry;
use chrono_tz::Tz;
use controllers_tests::{World as Cluster, eventually};
use crds::schedule::DayMatch;
use crds::{GraphSchedule, InputsRef};
use indexmap::IndexMap;
use k8s_openapi::api::core::v1::ServiceAccount;
use k8s_openapi::api::events::v1::Event;
use k8s_openapi::api::rbac::v1::RoleBinding;
use kube::api::{DeleteParams, PostParams};
use model::{Graph, GraphId, UserId};
use scheduler::ScheduleError;
use scheduler::schedules::{KubernetesSchedules, Removal, ScheduleStore, object_name};
use serde_json::json;
use store::{NewSchedule, Schedule, Store};
use submit::Submitter;
use uuid::Uuid;

const PLATFORM: &str = "shop";

struct World {
    cluster: Cluster,
    store: Store,
    submitter: Submitter,
    schedules: KubernetesSchedules,
}

impl World {
    async fn new() -> Self {
        let cluster = Cluster::new().await;
        let store = Store::connect(&devservices::testing::database().await, 4).unwrap();
        store.migrate().await.unwrap();
        Self {
            schedules: KubernetesSchedules::new(store.clone(), cluster.client.clone(), Some(&cluster.namespace), PLATFORM.to_owned()),
            submitter: Submitter::new(store.clone(), Registry::standard()),
            store,
            cluster,
        }
    }

    async fn user_with_graph(&self) -> (UserId, GraphId) {
        let user = Uuid::new_v4();
        self.store.get_or_create_user(user, &format!("{user}@example.com"), None).await.unwrap();
        (user, self.graph(user).await)
    }

    async fn graph(&self, user: UserId) -> GraphId {
        let note = json!({"id": "n", "block_id": "c0a8e994-ebf1-4a9c-a4d8-89d09c86741b", "input_default": {"name": "x"}});
        let graph: Graph = serde_json::from_value(json!({"name": "g", "description": "", "nodes": [note]})).unwrap();
        self.submitter.create_graph(user, graph).await.unwrap().id
    }

    async fn add(&self, user: UserId, graph: GraphId, cron: &str) -> Result<Schedule, ScheduleError> {
        self.schedules
            .add(schedule(user, graph, cron), &cron.parse().unwrap(), Tz::Asia__Tokyo)
            .await
    }

    async fn names(&self) -> Vec<String> {
        let objects = self.cluster.api::<GraphSchedule>().list(&Default::default()).await.unwrap();
        objects.items.into_iter().filter_map(|object| object.metadata.name).collect()
    }
}

fn schedule(user_id: UserId, graph_id: GraphId, cron: &str) -> NewSchedule {
    NewSchedule {
        id: Uuid::new_v4(),
        user_id,
        graph_id,
        graph_version: 1,
        name: "mine".to_owned(),
        cron: cron.to_owned(),
        timezone: "Asia/Tokyo".to_owned(),
        inputs: json!({"x": "secret"}).as_object().cloned().unwrap(),
        credentials: IndexMap::new(),
        next_run_at: None,
    }
}

#[tokio::test]
async fn a_schedule_is_an_object_in_the_standard_dialect_that_refers_to_its_row() {
    let world = World::new().await;
    let (user, graph) = world.user_with_graph().await;
    let added = world.add(user, graph, "0 9 1-7 * mon").await.unwrap();
    assert_eq!((added.cron.as_str(), added.next_run_at), ("0 9 1-7 * mon", None));
    let object = world.cluster.api::<GraphSchedule>().get(&object_name(added.id)).await.unwrap();
    let labels = [
        ("autogpt.dev/origin", "rest"),
        ("autogpt.dev/platform", PLATFORM),
        ("autogpt.dev/user", &user.to_string()),
        ("autogpt.dev/graph", &graph.to_string()),
    ];
    let labels: BTreeMap<String, String> = labels.map(|(label, value)| (label.to_owned(), value.to_owned())).into();
    assert_eq!(object.metadata.labels, Some(labels));
    let spec = object.spec;
    assert_eq!(spec.platform_ref.name, PLATFORM);
    assert_eq!((spec.graph.id, spec.graph.version), (Some(graph.to_string()), Some(1)));
    assert_eq!(spec.owner, Some(user.to_string()));
    assert_eq!((spec.schedules, spec.time_zone.as_str()), (vec!["0 9 1-7 * 1".to_owned()], "Asia/Tokyo"));
    assert_eq!(spec.day_match, DayMatch::Both);
    let row = InputsRef {
        schedule_id: added.id.to_string(),
    };
    assert_eq!((spec.inputs, spec.inputs_ref), (None, Some(row)));
    assert_eq!(world.schedules.get(added.id).await.unwrap().unwrap().inputs, added.inputs);
}

#[tokio::test]
async fn what_is_listed_are_the_objects_that_fire() {
    let world = World::new().await;
    let (user, graph) = world.user_with_graph().await;
    let (other_user, other_graph) = world.user_with_graph().await;
    let mut added = Vec::new();
    for cron in ["0 1 * * *", "0 2 * * *", "0 3 * * *"] {
        added.push(world.add(user, graph, cron).await.unwrap());
    }
    world.add(other_user, other_graph, "0 4 * * *").await.unwrap();
    assert_eq!(world.schedules.list(None, None).await.unwrap().len(), 4);
    assert_eq!(world.schedules.list(Some(user), Some(graph)).await.unwrap(), added);
    assert_eq!(world.schedules.list(Some(user), Some(other_graph)).await.unwrap(), []);

    let suspend = json!({"spec": {"suspend": {"note": "on holiday"}}});
    world.cluster.merge::<GraphSchedule>(&object_name(added[0].id), suspend).await;
    let objects = world.cluster.api::<GraphSchedule>();
    objects.delete(&object_name(added[1].id), &DeleteParams::default()).await.unwrap();
    assert_eq!(world.schedules.list(Some(user), None).await.unwrap(), added[2..]);
}

#[tokio::test]
async fn deleting_removes_object_and_row_and_may_be_repeated() {
    let world = World::new().await;
    let (user, graph) = world.user_with_graph().await;
    let added = world.add(user, graph, "0 1 * * *").await.unwrap();
    for _ in 0..2 {
        world.schedules.delete(added.id, None).await.unwrap();
        assert_eq!(world.names().await, Vec::<String>::new());
        assert_eq!(world.schedules.get(added.id).await.unwrap(), None);
    }
}

#[tokio::test]
async fn a_graph_takes_its_objects_along_also_when_their_rows_are_gone() {
    let world = World::new().await;
    let (user, graph) = world.user_with_graph().await;
    let kept_graph = world.graph(user).await;
    let gone = world.add(user, graph, "0 1 * * *").await.unwrap();
    world.add(user, graph, "0 2 * * *").await.unwrap();
    let kept = world.add(user, kept_graph, "0 3 * * *").await.unwrap();
    let by_hand =
        json!({"metadata": {"name": "by-hand"}, "spec": {"platformRef": {"name": PLATFORM}, "graph": {"id": graph}, "schedules": ["@daily"]}});
    world.cluster.create::<GraphSchedule>(by_hand).await;
    world.store.delete_schedule(gone.id).await.unwrap();
    assert_eq!(world.schedules.delete_of_graph(user, graph, &hopeless()).await.unwrap(), 2);
    assert_eq!(world.names().await, ["by-hand".to_owned(), object_name(kept.id)]);
    assert_eq!(world.store.list_schedules(None, None).await.unwrap(), [kept]);
}

fn hopeless() -> Removal {
    Removal::hopeless("GraphNotFound", "Graph #g not found.")
}

/// With the rights that the operator gives the scheduler service, and no others.
#[tokio::test]
async fn a_schedule_that_goes_unasked_leaves_an_event() {
    let mut world = World::new().await;
    let operator = world.cluster.operator("a").await;
    let platform = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": PLATFORM}, "spec": {}});
    world.cluster.apply(&platform).await.unwrap();
    let account = format!("{PLATFORM}-scheduler");
    eventually("the scheduler has its rights", || async {
        let made = world.cluster.api::<RoleBinding>().get_opt(&account).await.unwrap();
        made.ok_or("not yet")
    })
    .await;
    let request = serde_json::from_value(json!({"metadata": {}, "spec": {"audiences": []}})).unwrap();
    let accounts = world.cluster.api::<ServiceAccount>();
    let token = accounts.create_token_request(&account, &PostParams::default(), &request).await.unwrap();
    let client = world.cluster.cluster.client(&token.status.unwrap().token);
    world.schedules = KubernetesSchedules::new(world.store.clone(), client, Some(&world.cluster.namespace), PLATFORM.to_owned());
    eventually("they are in force", || async {
        world.schedules.list(None, None).await.map_err(|error| error.to_string())
    })
    .await;

    let (user, graph) = world.user_with_graph().await;
    let (other_user, other_graph) = world.user_with_graph().await;
    let mut uids = BTreeMap::new();
    for (user, graph) in [(user, graph), (user, graph), (other_user, other_graph), (other_user, other_graph)] {
        let name = object_name(world.add(user, graph, "0 1 * * *").await.unwrap().id);
        let object = world.cluster.api::<GraphSchedule>().get(&name).await.unwrap();
        uids.insert(name, object.metadata.uid.unwrap());
    }
    let others = world.schedules.list(Some(other_user), None).await.unwrap();
    assert_eq!(world.schedules.delete_of_graph(user, graph, &hopeless()).await.unwrap(), 2);
    let invalid = Removal::hopeless("GraphInvalid", &"x".repeat(5000));
    // The second time there is nothing to tell about.
    for _ in 0..2 {
        world.schedules.delete(others[0].id, Some(&invalid)).await.unwrap();
    }
    world.schedules.delete(others[1].id, None).await.unwrap();
    assert_eq!(world.names().await, Vec::<String>::new());

    let events = world.cluster.api::<Event>().list(&Default::default()).await.unwrap();
    let told = events
        .items
        .into_iter()
        .filter(|event| event.reporting_controller.as_deref() == Some("autogpt-scheduler"));
    let told: BTreeMap<String, Event> = told.map(|event| (event.regarding.clone().unwrap().name.unwrap(), event)).collect();
    let (asked, unasked): (Vec<_>, Vec<_>) = uids.into_iter().partition(|(name, _)| *name == object_name(others[1].id));
    assert!(!told.contains_key(&asked[0].0), "its user knows: {told:#?}");
    assert_eq!(told.len(), unasked.len(), "{told:#?}");
    for (name, uid) in unasked {
        let event = &told[&name];
        let about = event.regarding.clone().unwrap();
        assert_eq!((about.kind.as_deref(), about.uid), (Some("GraphSchedule"), Some(uid)));
        assert_eq!(event.type_.as_deref(), Some("Warning"));
        let note = event.note.as_deref().unwrap();
        if name == object_name(others[0].id) {
            assert_eq!((event.reason.as_deref(), note.ends_with('…')), (Some("GraphInvalid"), true), "{note}");
        } else {
            assert_eq!(event.reason.as_deref(), Some("GraphNotFound"));
            assert!(
                note.starts_with("deleted, as no run can come") && note.contains("Graph #g not found. Make"),
                "{note}"
            );
        }
    }
    operator.stop().await;
}

#[tokio::test]
async fn what_the_api_server_refuses_leaves_no_row() {
    let world = World::new().await;
    let (user, graph) = world.user_with_graph().await;
    let elsewhere = KubernetesSchedules::new(
        world.store.clone(),
        world.cluster.client.clone(),
        Some("no-such-namespace"),
        PLATFORM.to_owned(),
    );
    let refused = elsewhere
        .add(schedule(user, graph, "0 1 * * *"), &"0 1 * * *".parse().unwrap(), Tz::UTC)
        .await;
    let error = refused.unwrap_err().to_string();
    assert!(error.contains("no-such-namespace"), "{error}");
    let never = world.add(user, graph, "0 1 31 2 *").await.unwrap_err();
    assert!(matches!(never, ScheduleError::NeverDue(_)), "{never}");
    assert_eq!(world.store.list_schedules(None, None).await.unwrap(), []);
    assert_eq!(world.names().await, Vec::<String>::new());
}
