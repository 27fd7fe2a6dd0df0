//! An object that cannot be read, written through definitions without their rules, does not keep the others from being looked at. This
//! has an API server of its own: the definitions are everybody's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not recognised as tests

use controllers_tests::{World, eventually};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::ResourceExt;
use kube::api::{Api, PostParams};
use serde_json::{Value, json};

const KINDS: [(&str, &str); 3] = [
    ("AutoGPTPlatform", "autogptplatforms"),
    ("GraphSchedule", "graphschedules"),
    ("GraphExecution", "graphexecutions"),
];

fn object(kind: &str, name: &str, spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": kind, "metadata": {"name": name}, "spec": spec})
}

fn sound(kind: &str) -> Value {
    match kind {
        "AutoGPTPlatform" => json!({"paused": true}),
        "GraphSchedule" => json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}, "schedules": ["@yearly"]}),
        _ => json!({"platformRef": {"name": "p"}, "graph": {"configMapRef": {"name": "g"}}}),
    }
}

/// Anything may be written from now on.
async fn relax(world: &World) {
    let api: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    for (_, plural) in KINDS {
        let mut definition = api.get(&format!("{plural}.autogpt.dev")).await.unwrap();
        let anything = json!({"openAPIV3Schema": {"type": "object", "x-kubernetes-preserve-unknown-fields": true}});
        definition.spec.versions[0].schema = Some(serde_json::from_value(anything).unwrap());
        definition.metadata.managed_fields = None;
        api.replace(&definition.name_any(), &PostParams::default(), &definition).await.unwrap();
    }
}

async fn is_looked_at(world: &World, name: &str) {
    for (kind, _) in KINDS {
        let manifest = object(kind, name, sound(kind));
        world.apply(&manifest).await.unwrap();
        eventually(&format!("{kind} {name} is looked at"), || async {
            let found = world.dynamic(&manifest).get(name).await.unwrap();
            if found.data["status"]["conditions"].is_array() {
                Ok(())
            } else {
                Err(found.data)
            }
        })
        .await;
    }
}

#[tokio::test]
async fn what_cannot_be_read_does_not_stop_the_rest() {
    let world = World::new().await;
    let operator = world.operator_with("a", |config| config.apply_crds = false).await;
    world.apply(&object("AutoGPTPlatform", "p", sound("AutoGPTPlatform"))).await.unwrap();
    is_looked_at(&world, "before").await;
    relax(&world).await;
    for (kind, _) in KINDS {
        for (number, spec) in [json!("x"), json!({"graph": 7, "schedules": 5, "components": []})]
            .into_iter()
            .enumerate()
        {
            let manifest = object(kind, &format!("malformed-{number}"), spec);
            let object = serde_json::from_value(manifest.clone()).unwrap();
            eventually("the definition takes anything", || async {
                world.dynamic(&manifest).create(&PostParams::default(), &object).await
            })
            .await;
        }
    }
    is_looked_at(&world, "after").await;
    operator.assert_running().await.stop().await;
    let second = world.operator_with("b", |config| config.apply_crds = false).await;
    is_looked_at(&world, "with-a-new-operator").await;
    second.assert_running().await.stop().await;
}
