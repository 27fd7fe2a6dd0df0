//! The served document against the contract: what differs is listed with its reason in docs/contract.md, and nothing else differs.

use std::collections::{BTreeMap, BTreeSet};

use http::Method;
use serde_json::{Map, Value, json};

use crate::app::{TestApp, TestUser};

const PREFIX: &str = "#/components/schemas/";
const FILL_TEMPLATE: &str = "db7d8f02-2f44-4c55-ab7a-eae0941f0c30";

fn file(path: &str) -> String {
    let path = format!("{}/{path}", env!("CARGO_MANIFEST_DIR"));
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

fn contract(name: &str) -> Value {
    serde_json::from_str(&file(&format!("contract/{name}.json"))).unwrap()
}

async fn served() -> Value {
    let app = TestApp::builder().without_database().start().await;
    let answer = app.request(Method::GET, "/openapi.json").send().await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    answer.body
}

/// `id → ("get", path, operation)`.
fn operations(paths: &Value) -> BTreeMap<String, (String, String, &Value)> {
    let items = paths.as_object().unwrap().iter();
    let operations = items.flat_map(|(path, item)| item.as_object().unwrap().iter().map(move |(method, operation)| (method, path, operation)));
    operations
        .map(|(method, path, operation)| {
            let id = operation["operationId"].as_str().unwrap().to_owned();
            (id, (method.clone(), path.clone(), operation))
        })
        .collect()
}

/// What a schema says to a client, whatever the spelling: texts are dropped, "or null" has one form.
fn normal(schema: &Value) -> Value {
    let Value::Object(given) = schema else {
        return schema.clone();
    };
    let mut map = Map::new();
    for (key, value) in given {
        let value = match (key.as_str(), value) {
            ("title" | "description" | "example" | "examples" | "propertyNames" | "readOnly" | "writeOnly", _)
                if !value.is_object() || key == "propertyNames" =>
            {
                continue;
            }
            ("format", Value::String(format)) if matches!(format.as_str(), "uuid" | "int32" | "int64" | "double" | "float") => continue,
            ("additionalProperties", Value::Bool(true)) | ("default", Value::Null) => continue,
            ("additionalProperties", anything) if normal(anything) == json!({}) => continue,
            ("properties", Value::Object(properties)) => {
                let properties = properties.iter().map(|(name, schema)| (name.clone(), normal(schema)));
                Value::Object(properties.collect())
            }
            ("required" | "enum", Value::Array(names)) => {
                let mut names = names.clone();
                names.sort_by_key(Value::to_string);
                Value::Array(names)
            }
            ("const", value) => {
                map.insert("enum".to_owned(), json!([value]));
                continue;
            }
            ("minimum" | "maximum", value) => json!(value.as_f64()),
            ("items" | "additionalProperties", value) => normal(value),
            (_, value) => value.clone(),
        };
        map.insert(key.clone(), value);
    }
    if let Some(Value::Array(types)) = map.get("type").cloned() {
        let others: Vec<Value> = types.iter().filter(|kind| **kind != "null").cloned().collect();
        if let ([kind], true) = (others.as_slice(), others.len() < types.len()) {
            map.insert("type".to_owned(), kind.clone());
            map.insert("nullable".to_owned(), json!(true));
        }
    }
    if let Some(Value::Array(choices)) = map.remove("anyOf").or_else(|| map.remove("oneOf")) {
        let (null, others): (Vec<Value>, Vec<Value>) = choices.iter().map(normal).partition(|choice| choice["type"] == "null");
        match others.as_slice() {
            [Value::Object(only)] => map.extend(only.clone()),
            _ => {
                map.insert("anyOf".to_owned(), Value::Array(others));
            }
        }
        if !null.is_empty() {
            map.insert("nullable".to_owned(), json!(true));
        }
    }
    let sorted: BTreeMap<String, Value> = map.into_iter().collect();
    json!(sorted)
}

fn content(holder: &Value) -> Value {
    let content = holder["content"].as_object().cloned().unwrap_or_default();
    Value::Object(content.iter().map(|(kind, media)| (kind.clone(), normal(&media["schema"]))).collect())
}

/// The parts of an operation by which clients are generated.
fn parts(operation: &Value) -> BTreeMap<String, Value> {
    let mut parts = BTreeMap::new();
    parts.insert("tags".to_owned(), operation["tags"].clone());
    parts.insert("security".to_owned(), operation["security"].clone());
    for parameter in operation["parameters"].as_array().into_iter().flatten() {
        let place = format!("parameter {}", parameter["name"].as_str().unwrap());
        let required = parameter["required"] == json!(true);
        parts.insert(place, json!([parameter["in"], required, normal(&parameter["schema"])]));
    }
    if let Some(body) = operation.get("requestBody") {
        let mut schema = content(body);
        // An optional body may be null (rest.md trap 3).
        let required = body["required"] == json!(true);
        for schema in schema.as_object_mut().unwrap().values_mut().filter(|_| !required) {
            schema.as_object_mut().unwrap().retain(|key, _| key != "nullable" && key != "default");
        }
        parts.insert("body".to_owned(), json!([required, schema]));
    }
    for (status, response) in operation["responses"].as_object().unwrap() {
        if status.starts_with('2') || status == "422" {
            parts.insert(format!("answer {status}"), content(response));
        } else if status == "401" {
            parts.insert("answer 401".to_owned(), response.clone());
        }
    }
    parts
}

/// Where two documents differ: (operation or schema, place).
fn differences(ours: &Value, operations_of_contract: &Value, schemas_of_contract: &Value) -> BTreeMap<(String, String), String> {
    let mut found = BTreeMap::new();
    let theirs = operations(operations_of_contract);
    for (id, (method, path, operation)) in operations(&ours["paths"]) {
        let Some((their_method, their_path, their_operation)) = theirs.get(&id) else {
            found.insert((id, "operation".to_owned()), format!("{method} {path} is not in the contract"));
            continue;
        };
        if (&method, &path) != (their_method, their_path) {
            found.insert(
                (id.clone(), "path".to_owned()),
                format!("{method} {path}, not {their_method} {their_path}"),
            );
        }
        let (ours, theirs) = (parts(operation), parts(their_operation));
        let places: BTreeSet<&String> = ours.keys().chain(theirs.keys()).collect();
        for place in places {
            let (our, their) = (ours.get(place), theirs.get(place));
            if our != their {
                found.insert((id.clone(), place.clone()), format!("{our:?}\n      not {their:?}"));
            }
        }
    }
    for (name, schema) in ours["components"]["schemas"].as_object().unwrap() {
        let their = &schemas_of_contract[name];
        if their.is_null() {
            found.insert((name.clone(), "schema".to_owned()), "is not in the contract".to_owned());
        } else if normal(schema) != normal(their) {
            found.insert(
                (name.clone(), "schema".to_owned()),
                format!("{}\n      not {}", normal(schema), normal(their)),
            );
        }
    }
    found
}

/// The rows `| `what` | `where` | why |` below the heading "Deviations" of docs/contract.md.
fn listed() -> BTreeSet<(String, String)> {
    let page = file("../../docs/contract.md");
    let table = page.split("\n## Deviations").nth(1).unwrap();
    let section = table.split("\n## ").next().unwrap();
    let rows = section.lines().filter_map(|line| {
        let cells: Vec<&str> = line.strip_prefix("| `")?.split('|').map(|cell| cell.trim().trim_matches('`')).collect();
        assert!(cells.len() >= 3 && !cells[2].is_empty(), "a row needs what, where and why: {line}");
        Some((cells[0].to_owned(), cells[1].to_owned()))
    });
    rows.collect()
}

#[tokio::test]
async fn the_document_is_the_contracts_but_for_the_listed_deviations() {
    let found = differences(&served().await, &contract("operations"), &contract("schemas"));
    let listed = listed();
    let unlisted: Vec<String> = found
        .iter()
        .filter(|(place, _)| !listed.contains(place))
        .map(|((what, place), how)| format!("  {what} | {place}: {how}"))
        .collect();
    assert!(
        unlisted.is_empty(),
        "not as the contract has it, and not listed in docs/contract.md:\n{}",
        unlisted.join("\n")
    );
    let stale: Vec<&(String, String)> = listed.iter().filter(|place| !found.contains_key(place)).collect();
    assert!(stale.is_empty(), "listed in docs/contract.md, but as the contract has it: {stale:?}");
}

#[tokio::test]
async fn every_reference_leads_to_a_schema_and_ids_are_unique() {
    fn references<'a>(value: &'a Value, found: &mut BTreeSet<&'a str>) {
        match value {
            Value::Object(map) => {
                found.extend(map.get("$ref").and_then(Value::as_str));
                map.values().for_each(|value| references(value, found));
            }
            Value::Array(items) => items.iter().for_each(|item| references(item, found)),
            _ => {}
        }
    }
    let document = served().await;
    let mut found = BTreeSet::new();
    references(&document, &mut found);
    for reference in found {
        assert!(document.pointer(&reference[1..]).is_some(), "{reference} leads nowhere");
    }
    let items = document["paths"].as_object().unwrap().values();
    let count: usize = items.map(|item| item.as_object().unwrap().len()).sum();
    assert_eq!(operations(&document["paths"]).len(), count, "an operation id is used twice");
    assert!(
        document["components"]["schemas"]
            .as_object()
            .unwrap()
            .keys()
            .all(|name| !name.contains(PREFIX))
    );
}

#[test]
fn a_difference_is_seen() {
    let (operations, schemas) = (contract("operations"), contract("schemas"));
    let ours = json!({ "paths": operations, "components": { "schemas": schemas } });
    assert_eq!(differences(&ours, &operations, &schemas), BTreeMap::new());
    let changes: [(&str, Value, &str, &str); 6] = [
        ("/paths/~1api~1graphs/get/tags", json!(["v1"]), "getV1List user graphs", "tags"),
        ("/paths/~1api~1graphs/get/security", Value::Null, "getV1List user graphs", "security"),
        (
            "/paths/~1api~1graphs~1{graph_id}/get/parameters/1/required",
            json!(true),
            "getV1Get specific graph",
            "parameter version",
        ),
        (
            "/paths/~1api~1graphs~1{graph_id}/get/parameters/1/schema",
            json!({"type": "integer"}),
            "getV1Get specific graph",
            "parameter version",
        ),
        (
            "/paths/~1api~1graphs/post/requestBody/required",
            json!(false),
            "postV1Create new graph",
            "body",
        ),
        ("/components/schemas/Stats/properties/cost/type", json!("string"), "Stats", "schema"),
    ];
    for (pointer, value, what, place) in changes {
        let mut changed = ours.clone();
        *changed.pointer_mut(pointer).unwrap() = value;
        let found: Vec<_> = differences(&changed, &operations, &schemas).into_keys().collect();
        assert_eq!(found, [(what.to_owned(), place.to_owned())], "{pointer}");
    }
}

/// The schema that a document gives an answer.
fn schema_of(document: &Value, (method, path): (&str, &str), status: &str) -> Value {
    document["paths"][path][method]["responses"][status]["content"]["application/json"]["schema"].clone()
}

#[tokio::test]
async fn the_failure_of_a_block_is_the_one_server_error_that_is_described_and_no_other_has_its_form() {
    let app = TestApp::start().await;
    let user = TestUser::new();
    let (_, key) = app.api_key(&user, json!(["EXECUTE_BLOCK"])).await;
    let broken = json!({"values": {}, "format": "{{ x"});
    for (base, document) in [("/api", "/openapi.json"), ("/external-api/v1", "/external-api/openapi.json")] {
        let document = app.request(Method::GET, document).send().await.body;
        let path = format!("{base}/blocks/{{block_id}}/execute");
        let schema = schema_of(&document, ("post", &path), "500");
        let validator = jsonschema::validator_for(&schema).unwrap();
        let request = app.request(Method::POST, &path.replace("{block_id}", FILL_TEMPLATE));
        let failed = request.by(&user).header("X-API-Key", &key).json(&broken).send().await;
        assert_eq!(failed.status, 500, "{}", failed.text);
        assert!(schema.is_object() && validator.is_valid(&failed.body), "{schema}\n{}", failed.text);
        let mut other = failed.body.clone();
        other["detail"] = json!("Internal server error");
        assert!(!validator.is_valid(&other), "{other}");
    }
}

#[tokio::test]
async fn server_errors_that_an_operation_has_of_its_own_are_declared() {
    let document = served().await;
    for (path, status) in [
        ("/api/graphs/{graph_id}/executions/{graph_exec_id}/stop", "504"),
        ("/api/files/upload", "507"),
        ("/api/store/submissions/media", "507"),
    ] {
        let response = &document["paths"][path]["post"]["responses"][status];
        assert_eq!(response["$ref"], "#/components/responses/HTTPError", "{path} {status}");
    }
}
