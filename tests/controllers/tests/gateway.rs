//! A cluster without the Gateway API: the operator goes on, says what is missing, and notices when it appears and goes. This has an API
//! server of its own: the definitions are everybody's.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic)] // helpers of tests are not recognised as tests

use std::time::Duration;

use controllers_tests::eventually::within;
use controllers_tests::{World, eventually};
use crds::AutoGPTPlatform;
use crds::conditions::{self, reason};
use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::api::{Api, DeleteParams};
use operator::platform::gateway::HttpRoute;
use serde_json::{Value, json};

fn platform(spec: Value) -> Value {
    json!({"apiVersion": "autogpt.dev/v1alpha1", "kind": "AutoGPTPlatform", "metadata": {"name": "p"}, "spec": spec})
}

/// The operator asks again within half a minute.
const PATIENCE: Duration = Duration::from_secs(60);

async fn expect(world: &World, wanted: &str) -> String {
    within(PATIENCE, &format!("GatewayReady is {wanted}"), || async {
        let object = world.api::<AutoGPTPlatform>().get("p").await.unwrap();
        match conditions::get(&object.status.unwrap_or_default().conditions, conditions::GATEWAY_READY) {
            Some(found) if found.status == "False" && found.reason == wanted => Ok(found.message.clone()),
            other => Err(other.cloned()),
        }
    })
    .await
}

#[tokio::test]
async fn the_gateway_api_may_be_missing_and_come_and_go() {
    let world = World::without_gateway_api().await;
    let operator = world.operator("a").await;
    world.apply(&platform(json!({"gateway": {"parentRef": {"name": "edge"}}}))).await.unwrap();
    let message = expect(&world, reason::GATEWAY_API_MISSING).await;
    assert!(message.contains("install the standard definitions of the Gateway API"), "{message}");
    // Everything else is brought about, and nothing is tried over and over.
    world.bring_up("p").await;
    world.comes_to_rest(Duration::from_secs(3)).await;
    let user = format!("system:serviceaccount:{}:autogpt-operator", world.namespace);
    let asked = || {
        let events = world.cluster.asked_by(&user);
        events.iter().filter(|event| event["objectRef"]["resource"] == "httproutes").count()
    };
    let before = asked();
    tokio::time::sleep(Duration::from_secs(4)).await;
    let more = asked() - before;
    assert!(more <= 4, "asked for HTTPRoutes {more} times in four seconds");

    world.install_gateway_api().await;
    expect(&world, reason::ROUTE_PENDING).await;
    eventually("the route is made", || async { world.api::<HttpRoute>().get("p").await }).await;

    let definitions: Api<CustomResourceDefinition> = Api::all(world.client.clone());
    definitions
        .delete("httproutes.gateway.networking.k8s.io", &DeleteParams::default())
        .await
        .unwrap();
    expect(&world, reason::GATEWAY_API_MISSING).await;
    world.bring_up("p").await;
    // It can be given up while it is missing.
    world.apply(&platform(json!({}))).await.unwrap();
    eventually("the condition is gone", || async {
        let object = world.api::<AutoGPTPlatform>().get("p").await.unwrap();
        let status = object.status.unwrap_or_default();
        match conditions::get(&status.conditions, conditions::GATEWAY_READY) {
            None => Ok(()),
            Some(found) => Err(found.clone()),
        }
    })
    .await;
    operator.assert_running().await.stop().await;
}
