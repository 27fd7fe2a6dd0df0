//! Definitions that a newer release has installed: the operator leaves them as they are, works with what it knows, and takes nothing away
//! of what it does not. This has an API server of its own: the definitions are everybody's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not recognised as tests

use controllers_tests::World;
use controllers_tests::eventually::eventually;
use crds::manifest::ANNOTATION_RELEASE;
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

const RELEASE: &str = "99.0.0";
const KINDS: [(&str, &str); 3] = [
    ("AutoGPTPlatform", "autogptplatforms"),
    ("GraphSchedule", "graphschedules"),
    ("GraphExecution", "graphexecutions"),
];

/// Each kind has a field that this release does not know.
async fn install_newer(world: &World) {
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    for (_, plural) in KINDS {
        let mut definition = api.get(&format!("{plural}.autogpt.dev")).await.unwrap();
        let mut text = serde_json::to_value(&definition.spec).unwrap();
        text["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"]["ofTheFuture"] = json!({"type": "string"});
        definition.spec = serde_json::from_value(text).unwrap();
        definition.annotations_mut().insert(ANNOTATION_RELEASE.to_owned(), RELEASE.to_owned());
        definition.metadata.managed_fields = None;
        api.replace(&definition.name_any(), &PostParams::default(), &definition).await.unwrap();
    }
}

fn spec(kind: &str) -> Value {
    let mut spec = match kind {
        "AutoGPTPlatform" => json!({"paused": true}),
        // Fires, and pauses itself: its status and its specification are written.
        "GraphSchedule" => {
            json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "seconds": true, "schedules": ["* * * * * *"]})
        }
        _ => json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}}),
    };
    spec["ofTheFuture"] = json!("x");
    spec
}

#[tokio::test]
async fn a_newer_release_s_definitions_and_fields_are_left_alone() {
    let world = World::new().await;
    install_newer(&world).await;
    let operator = world.operator("a").await;
    for (kind, plural) in KINDS {
        let manifest = json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": "p"}, "spec": spec(kind)});
        eventually(&format!("{kind} is looked at, and keeps what is not known"), || async {
            // The server takes a moment to serve a changed definition; until then it drops the field.
            world.apply(&manifest).await.unwrap();
            let found = world.dynamic(&manifest).get("p").await.unwrap().data;
            let is_looked_at = found["status"]["conditions"].is_array();
            let fires = kind != "GraphSchedule" || found["status"]["counters"]["fired"].as_i64() > Some(0);
            if is_looked_at && fires && found["spec"]["ofTheFuture"] == "x" {
                Ok(())
            } else {
                Err(found)
            }
        })
        .await;
        let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
        let definition = api.get(&format!("{plural}.autogpt.dev")).await.unwrap();
        assert_eq!(definition.annotations().get(ANNOTATION_RELEASE).map(String::as_str), Some(RELEASE));
        let text = serde_json::to_string(&definition.spec).unwrap();
        assert!(text.contains("ofTheFuture"), "{plural} was downgraded");
    }
    operator.assert_running().await.stop().await;
}
