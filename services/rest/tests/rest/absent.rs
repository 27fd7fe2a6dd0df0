//! Every operation of the contract either works or says that it is not there.

use std::collections::BTreeSet;

use http::Method;
use serde_json::Value;

use crate::app::{TestApp, TestUser};

fn contract() -> Value {
    serde_json::from_str(include_str!("../../contract/operations.json")).unwrap()
}

/// `(METHOD, path, operation)`.
fn operations(paths: &Value) -> Vec<(Method, String, &Value)> {
    let items = paths.as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| {
        let methods = item.as_object().unwrap().iter();
        methods.map(move |(method, operation)| (method.to_uppercase().parse().unwrap(), path.clone(), operation))
    });
    operations.collect()
}

/// Some value for each parameter of a path.
fn filled(path: &str) -> String {
    let parts = path.split('/').map(|part| if part.starts_with('{') { "0" } else { part });
    parts.collect::<Vec<_>>().join("/")
}

#[tokio::test]
async fn every_operation_of_the_contract_has_an_answer() {
    let app = TestApp::start().await;
    let served = app.request(Method::GET, "/openapi.json").send().await.body;
    let described: BTreeSet<String> = operations(&served["paths"])
        .iter()
        .map(|(_, _, operation)| operation["operationId"].as_str().unwrap().to_owned())
        .collect();
    let admin = TestUser::with(serde_json::json!({"role": "admin"}));
    let contract = contract();
    let (mut missing, mut absent) = (Vec::new(), 0);
    for (method, path, operation) in operations(&contract) {
        let id = operation["operationId"].as_str().unwrap();
        let answer = app.request(method.clone(), &filled(&path)).by(&admin).send().await;
        let no_route = answer.text == r#"{"detail":"Not Found"}"# || answer.status == 405;
        if no_route || !described.contains(id) {
            missing.push(format!("{method} {path} ({id})"));
        }
        if answer.status == 501 {
            absent += 1;
            assert!(answer.body["detail"].is_string(), "{}", answer.text);
            let anybody = app.request(method.clone(), &filled(&path)).send().await;
            let open = operation.get("security").is_none();
            assert_eq!(anybody.status, if open { 501 } else { 401 }, "{method} {path}");
        }
    }
    assert_eq!(missing, Vec::<String>::new());
    assert!(absent > 0);
}
