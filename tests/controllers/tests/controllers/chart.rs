//! The chart, as far as it is more than the operator's rights, which every other test uses.

use controllers_tests::World;
use controllers_tests::world::documents;
use serde_json::{Value, json};

fn rules(documents: &[Value]) -> impl Iterator<Item = (&Value, &Value)> {
    let roles = documents
        .iter()
        .filter(|document| document["kind"] == "Role" || document["kind"] == "ClusterRole");
    roles.flat_map(|role| role["rules"].as_array().unwrap().iter().map(move |rule| (role, rule)))
}

#[tokio::test]
async fn no_rule_has_a_wildcard_and_only_the_definitions_are_cluster_wide() {
    let world = World::new().await;
    let documents = documents(&world.render(&[]));
    for (role, rule) in rules(&documents) {
        assert!(!rule.to_string().contains('*'), "{} {rule}", role["metadata"]["name"]);
        if role["kind"] == "ClusterRole" {
            assert_eq!(rule["resources"], json!(["customresourcedefinitions"]));
            assert_eq!(rule["resourceNames"].as_array().unwrap().len(), 3);
            assert_eq!(rule["verbs"], json!(["get", "patch"]));
        }
    }
    assert!(rules(&documents).count() > 5);
}

#[tokio::test]
async fn without_the_right_to_apply_definitions_nothing_is_cluster_wide() {
    let world = World::new().await;
    let documents = documents(&world.render(&["--set", "applyCrds=false"]));
    assert!(!documents.iter().any(|document| document["kind"].as_str().unwrap().starts_with("Cluster")));
}

#[tokio::test]
async fn a_platform_in_the_values_is_a_platform() {
    let world = World::new().await;
    let documents = documents(&world.render(&["--set", "platform.name=mine", "--set", "platform.spec.paused=true"]));
    let platform = documents.iter().find(|document| document["kind"] == "AutoGPTPlatform").unwrap();
    world.apply(platform).await.unwrap();
    assert_eq!(
        (&platform["metadata"]["name"], &platform["spec"]["paused"]),
        (&json!("mine"), &json!(true))
    );
}
